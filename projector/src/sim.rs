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

use std::ops::Range;
use std::path::Path;

use foldline_seeds::{Floor, Ran, are_well, each_is_found, number, runs_twice_the_same};

use self::bugs::Bug;
use self::run::run;
use crate::build::Site;

/// What must have come to pass in a thousand runs, so often at least: less proves nothing.
const FLOOR: Floor<'static> = &[
    ("killed", 1_000),
    ("frozen", 1_000),
    ("replaced while it lives", 1_000),
    ("fenced", 300),
    ("folded on a batch that was not committed", 1_000),
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
    foldline_kafka::failpoints::at_each(world::point);
    seeds.map(move |seed| (seed, run(folder.path(), runtime.handle(), seed, bug)))
}

#[test]
fn whatever_fails_rows_are_the_fold_of_the_log_up_to_where_the_view_says_it_is() {
    are_well(number("FOLDLINE_SEEDS", 2_000), FLOOR, |seeds| runs(seeds, None));
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
