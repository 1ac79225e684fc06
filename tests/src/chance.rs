//! Chance that comes again: the same seed, the same choices.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The variable that sets the seed of a run, to see the same choices again.
pub const SEED: &str = "FOLDLINE_TEST_SEED";

/// SplitMix64: a few lines, and good enough to choose moments and commands by.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// By a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// By the seed in [`SEED`], or by the clock. The seed is said, for a run that fails.
    pub fn of_this_run(test: &str) -> Self {
        let given = std::env::var(SEED)
            .ok()
            .map(|text| text.parse().expect("a seed is a number"));
        let clock = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ since.as_secs()
        };
        let seed = given.unwrap_or_else(clock);
        println!("{test}: {SEED}={seed}");
        Self(seed)
    }

    /// Another one, whose choices are its own.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.any())
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one, which is more than 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("64 bits are enough");
        usize::try_from(self.any() % bound).expect("it is below a usize")
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// An id.
    pub fn uuid(&mut self) -> Uuid {
        let bits = u128::from(self.any()) << 64 | u128::from(self.any());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn the_same_seed_makes_the_same_choices_and_another_one_others() {
        let ids = |seed| {
            let mut chance = Chance::new(seed);
            [chance.uuid(), chance.uuid(), chance.fork().uuid()]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert_ne!(ids(7)[0], ids(7)[1]);
    }
}
