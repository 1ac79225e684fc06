//! A request to commit that arrives when its transaction is over, and another one is open (KAFKA-17754).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_tests::chance::Chance;
use foldline_tests::check::{self, Topics, Violation};
use foldline_tests::domains;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::proxy::{Held, Proxy};
use foldline_tests::stack;
use foldline_tests::system::{HandlerOptions, Service, System};

use crate::PROGRAM;

const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 10,
    customers: 50,
    orders: 150,
};
/// Each torn transaction costs a restart.
const SHORT_EVENING: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 5,
    customers: 10,
    orders: 20,
};
/// Of so many commits, one comes late.
const ONE_IN: usize = 5;
const LATE_MIN: usize = 20;
/// Of some, nothing is to be seen: the second half of the transaction was written before the kill.
const TORN_MIN: usize = 3;
/// How much of the same load at most until so many were late: a fast machine makes few, large transactions.
const EVENINGS_MAX: usize = 5;
/// Commands of a torn transaction may never have a result.
const NEVER_SETTLED_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_late_ends_no_other_transaction() {
    let (late, broken) = late_commits("late-commits", true).await;
    assert_eq!(
        late.taken, 0,
        "the broker took one in the middle of another transaction"
    );
    assert!(late.refused >= LATE_MIN, "no result: {late:?}");
    check::expect_none(broken);
}

/// The negative control: what a client of Kafka does by itself, and a check that finds what comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_late_commits_tear_transactions_and_the_check_finds_it() {
    let (late, broken) = late_commits("torn-commits", false).await;
    assert!(late.taken >= TORN_MIN, "no result: {late:?}");
    assert!(
        !broken.is_empty(),
        "{} transactions were torn, and the check says that all is well",
        late.taken
    );
}

/// Whatever an evening writes meets late commits.
async fn whole_evenings(load: &Arc<Load>, proxy: &Proxy, chance: &mut Chance) {
    proxy.hold_one_in(ONE_IN);
    for _ in 0..EVENINGS_MAX {
        restaurant::run(load, EVENING, chance).await;
        if proxy.held().answered() >= LATE_MIN {
            break;
        }
    }
}

/// Orders alone meet them. Of what is personal, a torn transaction may leave an event without its key, and there a worker
/// stops for good, as it should: nothing would be answered any more.
async fn orders_alone(load: &Arc<Load>, proxy: &Proxy, chance: &mut Chance) {
    let world = restaurant::open(load, SHORT_EVENING, chance).await;
    proxy.hold_one_in(ONE_IN);
    for _ in 0..EVENINGS_MAX {
        restaurant::orders(load, &world, SHORT_EVENING, chance).await;
        if proxy.held().taken >= TORN_MIN {
            break;
        }
    }
}

/// Loads a command handler until enough of its commits have come late. Where one was taken in the middle of another
/// transaction, the handler is killed before it can go on with that one.
async fn late_commits(test: &str, is_careful: bool) -> (Held, Vec<Violation>) {
    let mut chance = Chance::of_this_run(test);
    let (_stack, kafka, proxy, before) = stack::proxied(test, &mut chance, 1, 0).await;
    let handler = HandlerOptions {
        bootstrap_servers: Some(before),
        arguments: if is_careful {
            vec![]
        } else {
            vec!["--trust-broken-connections".to_owned()]
        },
    };
    let mut system = System::start_with(kafka, test, PROGRAM, handler).await;
    let load = Arc::new(Load::new(system.write()));
    let has_ended = AtomicBool::new(false);

    let started_at = Instant::now();
    let mut evening = chance.fork();
    let run = async {
        if is_careful {
            whole_evenings(&load, &proxy, &mut evening).await;
        } else {
            orders_alone(&load, &proxy, &mut evening).await;
        }
        has_ended.store(true, Ordering::SeqCst);
    };
    let crash = async {
        let mut counts = proxy.follow();
        let mut torn = 0;
        while !has_ended.load(Ordering::SeqCst) {
            // News, or a look at whether the load has ended.
            let _ = tokio::time::timeout(LOOK_EVERY, counts.changed()).await;
            let taken = counts.borrow_and_update().taken;
            if taken > torn {
                torn = taken;
                if torn >= TORN_MIN {
                    proxy.hold_one_in(0);
                }
                system.kill(Service::CommandHandler).await;
                system.launch(Service::CommandHandler);
            }
        }
    };
    tokio::join!(run, crash);
    let late = proxy.held();
    println!(
        "{} commands in {:?}, {late:?}",
        load.answered(),
        started_at.elapsed()
    );
    system.wait_until_ready(Service::CommandHandler).await;
    let all = tokio::task::block_in_place(|| match is_careful {
        true => Topics::read_at_last(&system.kafka, &domains()),
        false => Topics::read_within(&system.kafka, &domains(), NEVER_SETTLED_MAX),
    });
    let broken = check::violations_in(&all, &system, &load.history()).await;
    println!("{} violations, done in {:?}", broken.len(), started_at.elapsed());
    for violation in broken.iter().take(10) {
        println!("  {violation}");
    }
    (late, broken)
}
