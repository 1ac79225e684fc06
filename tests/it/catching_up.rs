//! A projector that is killed while it has much to catch up with.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::system::{Service, System};
use rustix::process::Signal;

use crate::PROGRAM;

/// So few that they are read faster than they are written: the next are there by then, and the batch is a full one.
const BATCH_MAX: u32 = 10;
/// Makes a hundred and fifty batches.
const EVENING: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 20,
    customers: 60,
    orders: 300,
};
/// How long it may take until a projector is where it is killed.
const THERE_MAX: Duration = Duration::from_secs(60);
/// Where it is killed, one start after the other: how often it has come there by then.
const KILLED_AT: [&str; 5] = [
    "loaded-ahead:1",
    "before-view-commit:2",
    "view-committed:3",
    "loaded-ahead:4",
    "view-committed:2",
];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_with_one_batch_committed_and_the_next_folded_has_each_event_once() {
    let mut chance = Chance::of_this_run("catching_up");
    let mut system = System::start("catching_up", PROGRAM).await;
    system.kill(Service::Projector).await;
    system.batch_max = BATCH_MAX;
    let load = Arc::new(Load::new(system.write()));
    restaurant::run(&load, EVENING, &mut chance).await;

    for point in KILLED_AT {
        system.killed_at = Some((Service::Projector, point.to_owned()));
        system.launch(Service::Projector);
        let ended = tokio::time::timeout(THERE_MAX, system.ended(Service::Projector)).await;
        let ended = ended.unwrap_or_else(|_| panic!("it never came to {point}"));
        assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "{point}");
    }
    system.killed_at = None;
    system.launch(Service::Projector);
    for service in Service::ALL {
        system.wait_until_ready(service).await;
    }
    check::all(&system, &load.history()).await;
}
