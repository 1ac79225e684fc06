//! A request to commit that arrives when its transaction is over, and another one is open (KAFKA-17754).

use std::sync::Arc;
use std::time::Instant;

use foldline_tests::chance::Chance;
use foldline_tests::check::{self, Topics};
use foldline_tests::domains;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::stack;
use foldline_tests::system::{HandlerOptions, System};

use crate::PROGRAM;

const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 10,
    customers: 50,
    orders: 150,
};
/// Of so many commits, one comes late.
const ONE_IN: usize = 5;
const LATE_MIN: usize = 20;
/// How much of the same load at most until so many were late: a fast machine makes few, large transactions.
const EVENINGS_MAX: usize = 5;
/// Each transaction has an epoch of its own (KIP-890): what asks for the end of one says of which, and the broker refuses it once
/// that is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_late_ends_no_other_transaction() {
    let test = "late-commits";
    let mut chance = Chance::of_this_run(test);
    let (_stack, kafka, proxy, before) = stack::proxied(test, 1, 0).await;
    let handler = HandlerOptions {
        bootstrap_servers: Some(before),
        arguments: vec![],
    };
    let system = System::start_with(kafka, test, PROGRAM, handler).await;
    let load = Arc::new(Load::new(system.write()));

    let started_at = Instant::now();
    proxy.hold_one_in(ONE_IN);
    for _ in 0..EVENINGS_MAX {
        restaurant::run(&load, EVENING, &mut chance).await;
        if proxy.held().answered() >= LATE_MIN {
            break;
        }
    }
    let late = proxy.held();
    println!(
        "{} commands in {:?}, {late:?}",
        load.answered(),
        started_at.elapsed()
    );
    let all = tokio::task::block_in_place(|| Topics::read_at_last(&system.kafka, &domains()));
    let broken = check::violations_in(&all, &system, &load.history()).await;
    assert_eq!(
        late.taken, 0,
        "the broker took one in the middle of another transaction"
    );
    assert!(late.refused >= LATE_MIN, "no result: {late:?}");
    check::expect_none(broken);
}
