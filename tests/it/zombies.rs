//! A process that sleeps while another one takes its place, and wakes up in the middle of what it was doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::handler_log::{refused_transactions, take_overs};
use foldline_tests::load::{Load, restaurant};
use foldline_tests::proxy::Proxy;
use foldline_tests::stack;
use foldline_tests::system::{HandlerOptions, Service, System};

use crate::PROGRAM;

const EVENING: restaurant::Size = restaurant::Size {
    clients: 400,
    menu: 10,
    customers: 50,
    orders: 1_000,
};
const COMMANDS_MIN: usize = 5_000;
/// A group waits 6 s for a member, Kafka 10 s for a transaction that nobody ends, and looks every 10 s.
const NAP_MAX: Duration = Duration::from_secs(60);
/// How often its transaction may have ended before it is asleep.
const NAPS_MAX: usize = 8;
/// What it is called among its like.
const SLEEPER: &str = "sleeper";

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_slept_while_another_took_over_writes_nothing_when_it_wakes() {
    let mut chance = Chance::of_this_run("zombies");
    let (_stack, kafka, proxy, before) = stack::proxied("zombies", 1, 0).await;
    let sleeper = HandlerOptions {
        bootstrap_servers: Some(before),
        arguments: vec!["--instance".to_owned(), SLEEPER.to_owned()],
    };
    let system = System::start_with(kafka, "zombies", PROGRAM, sleeper).await;
    let successor = Handler::launch(&system.kafka, "1", PROGRAM).await;
    successor.wait_until_ready().await;
    let load = Arc::new(Load::new(successor.write()));
    let is_over = AtomicBool::new(false);
    let (mut evening, mut moment) = (chance.fork(), chance.fork());

    let started_at = Instant::now();
    let run = async {
        while !is_over.load(Ordering::SeqCst) {
            restaurant::run(&load, EVENING, &mut evening).await;
        }
    };
    let sleep = async {
        for nap in 1..=NAPS_MAX {
            reached(&load, load.answered() + 500 + moment.below(500)).await;
            falls_asleep(&system, &proxy).await;
            if has_failed_after_its_nap(&system, &successor, &load).await {
                is_over.store(true, Ordering::SeqCst);
                return nap;
            }
        }
        panic!("no result: {NAPS_MAX} times its transaction had ended before it slept");
    };
    let ((), naps) = tokio::join!(run, sleep);
    println!(
        "{} commands in {:?}, {naps} naps",
        load.answered(),
        started_at.elapsed()
    );
    // It was nobody's namesake: it goes on.
    system.wait_until_ready(Service::CommandHandler).await;

    let history = load.history();
    assert!(
        history.len() >= COMMANDS_MIN,
        "no result: {} commands",
        history.len()
    );
    check::all(&system, &history).await;
    println!("done in {:?}", started_at.elapsed());
}

/// In the middle of a transaction.
async fn falls_asleep(system: &System, proxy: &Proxy) {
    // One that others have ended while it slept counts as open until now.
    proxy.forget_open_transactions();
    let opens = proxy.opens(&format!("-{SLEEPER}-"), NAP_MAX).await;
    assert!(opens, "it writes nothing");
    system.pause(Service::CommandHandler);
}

/// Sleeps until another one has taken over and gone on, and wakes. Whether it then tried to write.
async fn has_failed_after_its_nap(system: &System, successor: &Handler, load: &Load) -> bool {
    let own_log = || system.log_of(Service::CommandHandler);
    let (failed, own, successors) = (
        refused_transactions(&own_log()),
        take_overs(&own_log()),
        take_overs(&successor.log()),
    );
    eventually("somebody else takes over", NAP_MAX, async || {
        (take_overs(&successor.log()) > successors).then_some(())
    })
    .await;
    reached(load, load.answered() + 200).await;
    system.resume(Service::CommandHandler);
    eventually(
        "it fails, or both of its workers begin anew",
        NAP_MAX,
        async || {
            let is_back = take_overs(&own_log()) >= own + 2;
            (is_back || refused_transactions(&own_log()) > failed).then_some(())
        },
    )
    .await;
    refused_transactions(&own_log()) > failed
}

async fn reached(load: &Load, answered: usize) {
    eventually("the load goes on", NAP_MAX, async || {
        (load.answered() >= answered).then_some(())
    })
    .await;
}
