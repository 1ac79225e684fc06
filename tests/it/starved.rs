//! Services that have next to no processor: they are slow, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::share::Share;
use foldline_tests::system::{Service, System};
use foldline_tests::{check, skip};

use crate::PROGRAM;

/// Of one processor, for all services together.
const PERCENT: u32 = 20;
const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 5,
    customers: 20,
    orders: 60,
};
/// It is slow, which is not what is asked here.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn services_with_a_fifth_of_a_processor_answer_all_and_keep_what_they_promise() {
    let Some(share) = Share::of(PERCENT) else {
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
