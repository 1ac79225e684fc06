//! A command handler whose clock is set while it works. What is decided does not go by it; what is written carries it.

use std::sync::Arc;
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::client::eventually;
use foldline_tests::clock::Clock;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::system::{Service, System};

use crate::PROGRAM;

const EVENING: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 5,
    customers: 20,
    orders: 150,
};
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// Commands between two settings.
const A_WHILE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);
const TRY_MAX: Duration = Duration::from_secs(10);

/// An evening at which the clock of the command handler is set again and again.
async fn with_clocks(test: &str, set: impl AsyncFnOnce(&Clock, &System, &Load)) {
    let clock = Clock::new();
    let program = clock.is_seen_by(Service::CommandHandler, PROGRAM);
    let mut chance = Chance::of_this_run(test);
    let system = System::start(test, &program.display().to_string()).await;
    let load = Arc::new(Load::among(vec![system.write()], TRY_MAX, PATIENCE));
    let mut evening = chance.fork();
    let run = restaurant::run(&load, EVENING, &mut evening);
    tokio::join!(run, set(&clock, &system, &load));
    let (asked, answered) = load.counts();
    assert_eq!(asked, answered);
    check::all(&system, &load.history()).await;
}

async fn until_more_are_answered(load: &Load) {
    let before = load.answered();
    eventually("the load goes on", PATIENCE, async || {
        (load.answered() >= before + A_WHILE).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_and_forth_changes_nothing_that_is_promised() {
    with_clocks("clock-moves", async |clock, _, load| {
        until_more_are_answered(load).await;
        for ahead in [-24 * HOUR, 20 * MINUTE, -MINUTE, 0] {
            clock.set(ahead);
            until_more_are_answered(load).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_further_ahead_than_kafka_takes_is_named_and_what_waits_is_answered_when_it_is_right()
{
    with_clocks("clock-ahead", async |clock, system, load| {
        until_more_are_answered(load).await;
        clock.set(2 * HOUR);
        eventually("the log says why", PATIENCE, async || {
            let log = system.log_of(Service::CommandHandler);
            log.contains("InvalidTimestamp").then_some(())
        })
        .await;
        clock.set(0);
        until_more_are_answered(load).await;
    })
    .await;
}
