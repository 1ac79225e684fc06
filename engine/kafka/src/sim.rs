//! The write path on a simulated cluster: thousands of runs, each decided by a seed, in one thread and in virtual time.
//!
//! What runs is the real thing, worker, follower and local store; only what stands behind [`Broker`](crate::broker::Broker)
//! and [`Runtime`](crate::runtime::Runtime) is not. A run that fails says its seed, and `FOLDLINE_SEED=N cargo test -p
//! foldline-kafka one_seed -- --nocapture` replays it.

mod alone;
mod broker;
mod bugs;
mod check;
mod clients;
mod cluster;
mod erasure;
mod fixture;
mod group;
mod member;
mod persons;
mod process;
mod run;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

pub(crate) use self::alone::alone;
use self::bugs::Bug;
use self::fixture::Fixture;
use self::run::{Ran, run};

/// What must have come to pass in a thousand runs, so often at least: less proves nothing.
const FLOOR: [(&str, u64); 13] = [
    ("killed", 800),
    ("frozen", 800),
    ("stopped", 100),
    ("rebalance asked for", 800),
    ("member evicted", 100),
    ("lost member fenced", 100),
    ("commit refused by the group", 100),
    ("transaction timed out", 20),
    ("EndTxn lost", 100),
    ("late EndTxn taken", 100),
    ("late EndTxn refused", 400),
    ("key made", 1_000),
    ("person erased", 500),
];

fn runs(seeds: Range<u64>, bug: Option<Bug>) -> impl Iterator<Item = (u64, Ran)> {
    let mut fixture = Fixture::new();
    crate::failpoints::at_each(|_| world::World::point());
    seeds.map(move |seed| (seed, run(&mut fixture, seed, bug)))
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Runs all of them, and returns the turns that they took and what was seen.
fn all_is_well(seeds: Range<u64>) -> (u64, BTreeMap<&'static str, u64>) {
    let (mut steps, mut seen) = (0, BTreeMap::new());
    for (seed, ran) in runs(seeds, None) {
        assert!(
            ran.problems.is_empty(),
            "FOLDLINE_SEED={seed}: {:#?}",
            ran.problems
        );
        steps += ran.steps;
        for (what, times) in ran.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    (steps, seen)
}

#[test]
fn whatever_fails_every_command_is_decided_once_and_answered_alike() {
    let count = number("FOLDLINE_SEEDS", 10_000);
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
    let (mut steps, mut seen) = (0, BTreeMap::new());
    for (taken, also_seen) in shares.expect("a seed failed, which is said above") {
        steps += taken;
        for (what, times) in also_seen {
            *seen.entry(what).or_insert(0) += times;
        }
    }
    println!(
        "{count} seeds, {steps} turns in {:?}: {seen:#?}",
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
