//! A program that kills itself when it comes to a named point of its loop.

use std::sync::atomic::{AtomicU32, Ordering};

use foldline_kafka::failpoints;
use rustix::process::{Signal, getpid, kill_process};

/// The variable that says where: `before-commit:3` is the third time that a commit is about to be asked for.
pub const KILLED_AT: &str = "FOLDLINE_TEST_KILLED_AT";

/// Arms the point that the variable names, if it is set. Panics if it is not a point and a count.
pub fn arm() {
    let Ok(named) = std::env::var(KILLED_AT) else {
        return;
    };
    let (point, hits) = named.split_once(':').expect("a point, a colon and a count");
    let known = [
        &failpoints::OF_THE_WORKER[..],
        &failpoints::OF_A_TAKE_OVER,
        &failpoints::OF_THE_PROJECTOR,
        &failpoints::OF_FULL_BATCHES,
        &failpoints::OF_AN_ERASURE,
    ];
    assert!(known.concat().contains(&point), "{point} is no point");
    let (point, hits): (String, u32) = (point.to_owned(), hits.parse().expect("a count"));
    let count = AtomicU32::new(0);
    failpoints::at_each(move |reached| {
        if reached == point && count.fetch_add(1, Ordering::SeqCst) + 1 == hits {
            // Not an exit: nothing is flushed, closed or told, as if it had been pulled out.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    });
}
