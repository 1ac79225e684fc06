//! The only broker, stopped in good order and started again while commands are decided.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_stack::Quiet;
use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::client::eventually;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::stack;
use foldline_tests::system::{Service, System};

use crate::PROGRAM;

const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 10,
    customers: 20,
    orders: 80,
};
const STOPS: usize = 5;
/// Answered commands between two stops.
const BETWEEN: usize = 200;
const GOES_ON_MAX: Duration = Duration::from_secs(60);

/// Had it given its partitions up before it ended, transactions could have lost their markers, and nobody could lead
/// again: see docs/faults.md.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_broker_is_stopped_under_load_and_all_goes_on() {
    let mut chance = Chance::of_this_run("only_broker");
    let (mut stack, kafka) = stack::cluster("only-broker", 1).await;
    let system = System::start_on(kafka, "only-broker", PROGRAM).await;
    let load = Arc::new(Load::new(system.write()));
    let (mut evening, is_over) = (chance.fork(), AtomicBool::new(false));

    let run = async {
        while !is_over.load(Ordering::SeqCst) {
            restaurant::run(&load, EVENING, &mut evening).await;
        }
    };
    let stop = async {
        for _ in 0..STOPS {
            goes_on(&load, BETWEEN + chance.below(BETWEEN)).await;
            let stopped_at = Instant::now();
            stack.broker_mut().stop().await;
            let started = stack.broker_mut().start(&Quiet).await;
            started.expect("it comes back");
            goes_on(&load, EVENING.clients).await;
            println!("stopped, and back after {:.1?}", stopped_at.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(run, stop);
    let skipped = markers_skipped(&stack.broker().folder().join("broker.log"));
    println!(
        "{} commands, sent again {} times; markers of {skipped} transactions skipped",
        load.answered(),
        load.retries()
    );
    for service in Service::ALL {
        system.wait_until_ready(service).await;
    }
    check::all(&system, &load.history()).await;
}

/// How often Kafka has taken partitions that nobody led for ones that are deleted.
fn markers_skipped(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).expect("a log");
    log.matches("Couldn't find leader endpoint").count()
}

/// Returns when so many more commands are answered.
async fn goes_on(load: &Load, more: usize) {
    let enough = load.answered() + more;
    eventually("commands are answered", GOES_ON_MAX, async || {
        (load.answered() >= enough).then_some(())
    })
    .await;
}
