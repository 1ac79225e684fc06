//! The only broker, away for longer than its group waits for a member.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
const TIMES: usize = 3;
/// A group waits 6 s for a member, and a member as long for its group.
const AWAY: Duration = Duration::from_secs(8);
/// Answered commands between two times.
const BETWEEN: usize = 200;
const GOES_ON_MAX: Duration = Duration::from_secs(60);

/// It sleeps. That it is stopped, and started again, is no test: Kafka itself does not live through that each time, as
/// docs/faults.md tells. Nothing here starts a command handler again that ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_broker_is_away_and_the_command_handler_goes_on_by_itself() {
    let mut chance = Chance::of_this_run("only_broker");
    let (stack, kafka) = stack::cluster("only-broker", 1).await;
    let system = System::start_on(kafka, "only-broker", PROGRAM).await;
    let load = Arc::new(Load::new(system.write()));
    let (mut evening, is_over) = (chance.fork(), AtomicBool::new(false));

    let run = async {
        while !is_over.load(Ordering::SeqCst) {
            restaurant::run(&load, EVENING, &mut evening).await;
        }
    };
    let sleep = async {
        for _ in 0..TIMES {
            goes_on(&load, BETWEEN + chance.below(BETWEEN)).await;
            stack.broker().pause();
            tokio::time::sleep(AWAY).await;
            stack.broker().resume();
            let awake_at = Instant::now();
            goes_on(&load, EVENING.clients).await;
            println!(
                "away for {AWAY:?}, and {:.1?} later all goes on",
                awake_at.elapsed()
            );
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(run, sleep);
    println!(
        "{} commands, sent again {} times",
        load.answered(),
        load.retries()
    );
    for service in Service::ALL {
        system.wait_until_ready(service).await;
    }
    check::all(&system, &load.history()).await;
}

/// Returns when so many more commands are answered.
async fn goes_on(load: &Load, more: usize) {
    let enough = load.answered() + more;
    eventually("commands are answered", GOES_ON_MAX, async || {
        (load.answered() >= enough).then_some(())
    })
    .await;
}
