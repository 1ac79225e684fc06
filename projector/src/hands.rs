use std::panic::resume_unwind;
use std::thread;

/// How many threads there are for two pieces of work that do not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hands {
    /// One: the first is done, and then the second. For a simulation, which decides itself what comes when.
    #[cfg(test)]
    One,
    /// Two. One is begun for it, so there should be more to do than that.
    Two,
}

impl Hands {
    /// Does both. The second is always done by the thread that asks; a panic of either is one of the whole.
    pub(crate) fn both<A: Send, B>(
        self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        match self {
            #[cfg(test)]
            Self::One => (first(), second()),
            Self::Two => thread::scope(|scope| {
                let thread = thread::Builder::new().name("second-hand".to_owned());
                let first = thread
                    .spawn_scoped(scope, first)
                    .expect("the operating system gives us a thread");
                let second = second();
                (first.join().unwrap_or_else(|panic| resume_unwind(panic)), second)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::thread;

    use super::Hands;

    #[test]
    fn the_second_is_done_by_who_asks_and_the_first_by_another_if_there_are_two() {
        let here = thread::current().id();
        let who = || thread::current().id();
        assert_eq!(Hands::One.both(who, who), (here, here));
        let (first, second) = Hands::Two.both(who, who);
        assert!(first != here && second == here);
    }

    #[test]
    fn a_panic_of_either_is_one_of_the_whole() {
        for hands in [Hands::One, Hands::Two] {
            assert!(catch_unwind(|| hands.both(|| panic!("first"), || ())).is_err());
            assert!(catch_unwind(|| hands.both(|| (), || panic!("second"))).is_err());
        }
    }
}
