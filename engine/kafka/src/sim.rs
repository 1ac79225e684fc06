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

use std::ops::Range;

use foldline_seeds::{Floor, Ran, are_well, each_is_found, number, runs_twice_the_same};

pub(crate) use self::alone::alone;
use self::bugs::Bug;
use self::fixture::Fixture;
pub(crate) use self::fixture::nowhere;
use self::run::run;

/// What must have come to pass in a thousand runs, so often at least: less proves nothing.
const FLOOR: Floor<'static> = &[
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

#[test]
fn whatever_fails_every_command_is_decided_once_and_answered_alike() {
    are_well(number("FOLDLINE_SEEDS", 3_000), FLOOR, |seeds| runs(seeds, None));
}

#[test]
fn one_seed_runs_twice_the_same() {
    let seed = number("FOLDLINE_SEED", 7);
    runs_twice_the_same(|| {
        let ran = runs(seed..seed + 1, None).next();
        ran.expect("one seed is run").1
    });
}

#[test]
fn every_planted_bug_is_found() {
    let within = number("FOLDLINE_SEEDS", 1_000);
    each_is_found(&Bug::ALL, within, |seeds, bug| runs(seeds, Some(bug)));
}
