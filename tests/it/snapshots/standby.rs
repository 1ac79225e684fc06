use std::time::{Duration, Instant};

use foldline_tests::client::{Client, eventually};
use foldline_tests::handler::Handler;
use foldline_tests::producer::id_in;
use foldline_tests::{domains, metrics, stack};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAM;

const ROUNDS: usize = 10;

/// All events of these rounds: one of each command, one of each email's claim, and one more of each email that
/// was given up. The last of these are decided after everybody has an answer.
const EVENTS: usize = stack::PARTITIONS as usize * (3 * ROUNDS + ROUNDS + (ROUNDS - 1));

/// A command in each partition of three types, so that each of two handlers has some. All are answered.
async fn ask_everywhere(write: &Client, rounds: std::ops::Range<usize>) {
    for round in rounds {
        for partition in 0..stack::PARTITIONS {
            let id = id_in(partition, "standby");
            let price = json!({"amount": round + 1, "currency": "EUR"});
            let item = |kind: &str| json!({"type": kind, "description": "Soup", "price": price});
            let email = format!("{id}.{round}@example.org");
            let (count, item, sign) = match round {
                0 => (
                    json!({"type": "StartCounter"}),
                    item("AddMenuItem"),
                    json!({"type": "SignUp", "email": email}),
                ),
                _ => (
                    json!({"type": "IncrementCounter", "by": 1}),
                    item("ModifyMenuItem"),
                    json!({"type": "ChangeEmail", "email": email}),
                ),
            };
            ask(write, &format!("/counters/{id}/commands"), &count).await;
            ask(write, &format!("/menu/items/{id}/commands"), &item).await;
            ask(write, &format!("/customers/{id}/commands"), &sign).await;
        }
    }
}

async fn ask(write: &Client, path: &str, body: &Value) {
    let request = write
        .request(Method::POST, path)
        .header("Prefer", "wait=60")
        .header("Idempotency-Key", Uuid::now_v7().to_string());
    let answer = write.send(request.json(body)).await;
    assert!([200, 201].contains(&answer.status), "{answer:#?}");
}

/// Events that a handler has from the log, and those that it has decided itself.
async fn known(handler: &Handler) -> (u64, u64) {
    let write = handler.write();
    let folded = metrics::sum(&write, "foldline_events_folded_total", "").await;
    let decided = metrics::sum(&write, "foldline_events_appended_total", "").await;
    (folded, decided)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_with_what_it_has() {
    let kafka = stack::kafka("standby", &domains()).await;
    let mut first = Handler::launch(&kafka, "0", PROGRAM).await;
    first.wait_until_ready().await;
    let second = Handler::launch(&kafka, "1", PROGRAM).await;
    second.wait_until_ready().await;
    ask_everywhere(&first.write(), 0..ROUNDS).await;
    let decided = eventually("all is decided", Duration::from_secs(60), || async {
        let (by_first, by_second) = (known(&first).await.1, known(&second).await.1);
        (by_first + by_second == EVENTS as u64).then_some(by_first)
    })
    .await;
    assert!(decided > 0, "the first one leads nothing");
    let (folded, _) = eventually("it has followed", Duration::from_secs(30), || async {
        let known = known(&second).await;
        (known.0 >= decided).then_some(known)
    })
    .await;

    first.kill().await;
    let alone_since = Instant::now();
    ask_everywhere(&second.write(), ROUNDS..ROUNDS + 1).await;
    let waited = alone_since.elapsed();
    // What it had followed, it did not read again; and in between, there was nobody to write.
    assert_eq!(known(&second).await.0, folded);
    println!("{decided} events followed; it answers for all {waited:?} after the kill");
    let log = second.log();
    for line in log.lines().filter(|line| line.contains("partitions taken over")) {
        println!("{line}");
    }
}
