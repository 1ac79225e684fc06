//! Services that have next to no processor are slow, and nothing else; one that has too little memory is killed, and
//! started again.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::client::eventually;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::share::Share;
use foldline_tests::system::{Service, System};
use foldline_tests::{check, skip};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::PROGRAM;

/// Of one processor, for all services together.
const PERCENT: u32 = 20;
const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 5,
    customers: 20,
    orders: 60,
};
/// What a service may want beside what it has once it is up. Each command adds less than a kilobyte to what it keeps.
const MORE_MIB: u64 = 1;
const NIGHT: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 5,
    customers: 40,
    orders: 600,
};
/// It is slow, which is not what is asked here.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn services_with_a_fifth_of_a_processor_answer_all_and_keep_what_they_promise() {
    let Some(share) = Share::of_a_processor(PERCENT) else {
        return skip::for_want_of("control groups for processors, or not for us");
    };
    let mut chance = Chance::of_this_run("starved");
    let system = System::start("starved", PROGRAM).await;
    for service in Service::ALL {
        share.take(system.pid(service));
    }
    let load = Arc::new(Load::among(vec![system.write()], PATIENCE, PATIENCE));
    restaurant::run(&load, EVENING, &mut chance).await;
    let (asked, answered) = load.counts();
    assert_eq!(asked, answered);
    println!("{answered} commands in {:?}", load.elapsed());
    drop(share);
    check::all(&system, &load.history()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_for_want_of_memory_goes_on_when_it_is_started_again() {
    let Some(share) = Share::of_memory(MORE_MIB) else {
        return skip::for_want_of("control groups for memory, or not for us");
    };
    let mut chance = Chance::of_this_run("want-of-memory");
    let mut system = System::start("want-of-memory", PROGRAM).await;
    let load = Arc::new(Load::among(vec![system.write()], PATIENCE, PATIENCE));
    let mut night = chance.fork();
    let run = restaurant::run(&load, NIGHT, &mut night);
    let starve = async {
        for service in [Service::CommandHandler, Service::Projector] {
            share.take(system.pid(service));
            let ended = timeout(PATIENCE, system.ended(service)).await;
            let ended = ended.expect("it wants more");
            assert_eq!(
                ended.signal(),
                Some(Signal::KILL.as_raw()),
                "{service:?}: {ended}"
            );
            let before = load.answered();
            system.restart(service).await;
            eventually("the load goes on", PATIENCE, async || {
                (load.answered() > before).then_some(())
            })
            .await;
        }
    };
    tokio::join!(run, starve);
    let (asked, answered) = load.counts();
    assert_eq!(asked, answered);
    check::all(&system, &load.history()).await;
}
