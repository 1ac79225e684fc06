//! The projector on a simulated log: thousands of runs, each decided by a seed, in one thread.
//!
//! What runs is the real thing, the loop, the fold, the build beside, and SQLite; what is not real stands behind
//! [`Logs`](foldline_kafka::Logs). A run that fails says its seed, and `FOLDLINE_SEED=N cargo test -p foldline-projector
//! one_seed -- --nocapture` runs it again.

mod bugs;
mod check;
mod log;
mod process;
mod run;
mod tomorrow;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use self::bugs::Bug;
use self::run::{Ran, run};
use crate::build::Site;

/// What must have come to pass in a thousand runs, so often at least: less proves nothing.
const FLOOR: [(&str, u64); 8] = [
    ("killed", 1_000),
    ("frozen", 1_000),
    ("replaced while it lives", 1_000),
    ("fenced", 300),
    ("deployed", 300),
    ("build begun", 300),
    ("build served", 200),
    ("killed while it has the database to itself", 5),
];

/// In memory, where the system has such a place: what a disk does is not what is looked for.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    folder.expect("a folder")
}

/// What a projector of today's program is opened with, on a log in which nothing has happened.
pub(crate) fn site_of_today(path: &Path) -> Site {
    run::site(path, &world::World::new(fastrand::Rng::with_seed(0), None))
}

/// The same, for the program of tomorrow.
pub(crate) fn site_of_tomorrow(path: &Path) -> Site {
    Site {
        domains: tomorrow::bar(),
        ..site_of_today(path)
    }
}

fn runs(seeds: Range<u64>, bug: Option<Bug>) -> impl Iterator<Item = (u64, Ran)> {
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    foldline_kafka::failpoints::at_each(|_| world::point());
    seeds.map(move |seed| (seed, run(folder.path(), runtime.handle(), seed, bug)))
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Runs all of them, and returns the turns that they took and what was seen.
fn all_is_well(seeds: Range<u64>) -> (u64, BTreeMap<&'static str, u64>) {
    let (mut turns, mut seen) = (0, BTreeMap::new());
    for (seed, ran) in runs(seeds, None) {
        assert!(
            ran.problems.is_empty(),
            "FOLDLINE_SEED={seed}: {:#?}",
            ran.problems
        );
        turns += u64::from(ran.turns);
        for (what, times) in ran.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    (turns, seen)
}

#[test]
fn whatever_fails_rows_are_the_fold_of_the_log_up_to_where_the_view_says_it_is() {
    let count = number("FOLDLINE_SEEDS", 2_000);
    let threads = std::thread::available_parallelism().map_or(1, |found| found.get() as u64);
    let started_at = Instant::now();
    let share = |thread: u64| (thread * count / threads)..((thread + 1) * count / threads);
    let shares = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || all_is_well(share(thread))))
            .collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.collect::<Result<Vec<_>, _>>()
    });
    let (mut turns, mut seen) = (0, BTreeMap::new());
    for (taken, also_seen) in shares.expect("a seed failed, which is said above") {
        turns += taken;
        for (what, times) in also_seen {
            *seen.entry(what).or_insert(0) += times;
        }
    }
    println!(
        "{count} seeds, {turns} turns in {:?}: {seen:#?}",
        started_at.elapsed()
    );
    for (what, at_least) in FLOOR {
        let times = seen.get(what).copied().unwrap_or_default();
        assert!(
            times * 1_000 >= at_least * count,
            "no result: {what} only {times} times"
        );
    }
}

#[test]
fn one_seed_runs_twice_the_same() {
    let seed = number("FOLDLINE_SEED", 7);
    let once = || runs(seed..seed + 1, None).next();
    let first = once();
    println!("{first:#?}");
    assert_eq!(first, once());
}

#[test]
fn every_planted_bug_is_found() {
    let within = number("FOLDLINE_SEEDS", 1_000);
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let mut found = runs(0..within, Some(bug)).filter(|(_, ran)| !ran.problems.is_empty());
        match found.next() {
            Some((seed, ran)) => println!("{bug:?}: after {} seeds: {}", seed + 1, ran.problems[0]),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {within} seeds: {missed:?}");
}
