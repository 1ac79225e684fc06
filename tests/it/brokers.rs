//! Three brokers, of which one is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_stack::Quiet;
use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::client::eventually;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::stack::{self, PARTITIONS, coordinator_of, leader_of};
use foldline_tests::system::{Service, System};

use crate::PROGRAM;

/// One after the other, until it was killed often enough.
const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 10,
    customers: 20,
    orders: 80,
};
const EVENTS: &str = "restaurant.orders.events";
const GROUP: &str = "foldline-commands";
const KILLS: usize = 3;
/// Answered commands between two kills.
const BETWEEN: usize = 300;
/// So many are more than what was under way when a broker was killed.
const SERVED: usize = 3 * EVENING.clients;
/// Longer than an election takes, on a machine that is not ours alone.
const GOES_ON_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_brokers_is_killed_and_nothing_is_lost() {
    let mut chance = Chance::of_this_run("brokers");
    let (mut stack, kafka) = stack::cluster("brokers", 3).await;
    let system = System::start_on(kafka, "brokers", PROGRAM).await;
    let load = Arc::new(Load::new(system.write()));
    let (mut evening, is_over) = (chance.fork(), AtomicBool::new(false));

    let run = async {
        while !is_over.load(Ordering::SeqCst) {
            restaurant::run(&load, EVENING, &mut evening).await;
        }
    };
    let kill = async {
        for kill in 0..KILLS {
            goes_on(&load, BETWEEN).await;
            let partition = i32::try_from(chance.below(4)).expect("one of four");
            // Also while the command handler hears nothing of its group for longer than a session.
            let killed = match kill {
                0 => coordinator_of(&system.kafka, GROUP).await,
                _ => leader_of(&system.kafka, EVENTS, partition % PARTITIONS).await,
            };
            let killed = killed.expect("somebody leads it");
            let killed_at = Instant::now();
            stack.brokers_mut()[killed].kill().await;
            // Before it comes back: that the others serve is what they are for.
            goes_on(&load, SERVED).await;
            println!(
                "broker {} was killed, {SERVED} more answered after {:.1?}",
                killed + 1,
                killed_at.elapsed()
            );
            let started = stack.brokers_mut()[killed].start(&Quiet).await;
            started.expect("it comes back");
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(run, kill);
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
