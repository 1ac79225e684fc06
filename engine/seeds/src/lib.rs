//! Simulations in which a seed decides everything: many of them on all cores, one of them twice, and each with a mistake
//! planted in it. For tests alone: what is wrong ends in a panic that says the seed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::thread;
use std::time::Instant;

/// What came of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Turns that were given.
    pub turns: u64,
    /// A hash of every turn that was given, if one was taken: equal for equal runs.
    pub trace: u64,
    /// What came to pass, and how often.
    pub seen: BTreeMap<&'static str, u64>,
    /// What must not be.
    pub problems: Vec<String>,
}

/// What must come to pass in a thousand runs, so often at least: less proves nothing.
pub type Floor<'a> = &'a [(&'static str, u64)];

/// What the environment says, or else this: `FOLDLINE_SEEDS` is how many, `FOLDLINE_SEED` is which one.
///
/// # Panics
///
/// If it says something that is no number.
pub fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Runs so many seeds, a share of them on each core.
///
/// # Panics
///
/// If a run has a problem, or if too little came to pass.
pub fn are_well<R: Iterator<Item = (u64, Ran)>>(
    count: u64,
    floor: Floor<'_>,
    runs: impl Fn(Range<u64>) -> R + Sync,
) {
    let threads = thread::available_parallelism().map_or(1, |found| found.get() as u64);
    let started_at = Instant::now();
    let runs = &runs;
    let share = |thread: u64| (thread * count / threads)..((thread + 1) * count / threads);
    let shares = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || sum(runs(share(thread)))))
            .collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended.collect::<Result<Vec<_>, _>>()
    });
    let all = shares.expect("a seed failed, which is said above");
    let all = all.into_iter().fold(Ran::default(), added);
    let (took, turns, seen) = (started_at.elapsed(), all.turns, &all.seen);
    println!("{count} seeds, {turns} turns in {took:?}: {seen:#?}");
    for (what, at_least) in floor {
        let times = seen.get(what).copied().unwrap_or_default();
        assert!(
            times * 1_000 >= at_least * count,
            "no result: {what} only {times} times"
        );
    }
}

/// Runs one seed twice.
///
/// # Panics
///
/// If the two differ.
pub fn runs_twice_the_same(once: impl Fn() -> Ran) {
    let first = once();
    println!("{first:#?}");
    assert_eq!(first, once());
}

/// Runs seeds with each of these mistakes, until one has a problem.
///
/// # Panics
///
/// If a mistake goes unnoticed.
pub fn each_is_found<B: Debug + Copy, R: Iterator<Item = (u64, Ran)>>(
    bugs: &[B],
    within: u64,
    runs: impl Fn(Range<u64>, B) -> R,
) {
    let mut missed = Vec::new();
    for bug in bugs {
        match runs(0..within, *bug).find(|(_, ran)| !ran.problems.is_empty()) {
            Some((seed, ran)) => println!("{bug:?}: after {} seeds: {}", seed + 1, ran.problems[0]),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {within} seeds: {missed:?}");
}

fn sum(runs: impl Iterator<Item = (u64, Ran)>) -> Ran {
    let well = runs.map(|(seed, ran)| {
        assert!(
            ran.problems.is_empty(),
            "FOLDLINE_SEED={seed}: {:#?}",
            ran.problems
        );
        ran
    });
    well.fold(Ran::default(), added)
}

fn added(mut all: Ran, ran: Ran) -> Ran {
    all.turns += ran.turns;
    for (what, times) in ran.seen {
        *all.seen.entry(what).or_default() += times;
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;

    use super::{Ran, are_well, each_is_found};

    /// Sees something in each run; `bad` has a problem.
    fn runs(seeds: Range<u64>, bad: Option<u64>) -> impl Iterator<Item = (u64, Ran)> {
        seeds.map(move |seed| {
            let ran = Ran {
                turns: 1,
                seen: BTreeMap::from([("something", 1)]),
                problems: (bad == Some(seed))
                    .then(|| "wrong".to_owned())
                    .into_iter()
                    .collect(),
                ..Ran::default()
            };
            (seed, ran)
        })
    }

    #[test]
    fn all_seeds_are_run_once_and_what_they_see_is_added_up() {
        are_well(1_001, &[("something", 1_000)], |seeds| runs(seeds, None));
    }

    #[test]
    #[should_panic(expected = "a seed failed")]
    fn a_seed_with_a_problem_ends_in_a_panic() {
        are_well(100, &[], |seeds| runs(seeds, Some(71)));
    }

    #[test]
    #[should_panic(expected = "no result: something only 100 times")]
    fn too_little_is_no_result() {
        are_well(100, &[("something", 1_001)], |seeds| runs(seeds, None));
    }

    #[test]
    #[should_panic(expected = "not found in 10 seeds: [11]")]
    fn a_mistake_that_goes_unnoticed_ends_in_a_panic() {
        each_is_found(&[3, 11], 10, |seeds, bad| runs(seeds, Some(bad)));
    }
}
