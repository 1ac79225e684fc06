//! The only broker, killed or stopped and started again while commands are decided.

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
/// Whether it is killed.
const ENDS: [bool; 4] = [true, false, true, true];
/// Answered commands between two ends.
const BETWEEN: usize = 200;
const GOES_ON_MAX: Duration = Duration::from_secs(60);

/// It is away for longer than the group waits for a member, and then refuses what the member itself has asked for before.
/// Nothing here starts a command handler again that ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_broker_goes_and_comes_back_and_the_command_handler_goes_on_by_itself() {
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
    let end = async {
        for is_killed in ENDS {
            goes_on(&load, BETWEEN + chance.below(BETWEEN)).await;
            let ended_at = Instant::now();
            match is_killed {
                true => stack.broker_mut().kill().await,
                false => stack.broker_mut().stop().await,
            }
            let started = stack.broker_mut().start(&Quiet).await;
            started.expect("it comes back");
            goes_on(&load, EVENING.clients).await;
            println!("killed: {is_killed}, back after {:.1?}", ended_at.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(run, end);
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
