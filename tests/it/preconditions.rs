//! Commands on a condition, and commands that only ask what would happen.

use foldline_core::{CommandMeta, Outcome};
use foldline_tests::client::{Answer, Client};
use foldline_tests::log;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::records;
use foldline_tests::shared;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

/// Starts a counter on a condition.
async fn post(write: &Client, id: &str, condition: (&str, &str)) -> Answer {
    let request = write.request(Method::POST, &format!("/counters/{id}/commands"));
    let request = request.header(condition.0, condition.1);
    write.send(request.json(&json!({"type": "StartCounter"}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_only_be_made_if_it_is_not_there_is_made_once() {
    let system = shared::system(PROGRAM).await;
    let write = system.write();
    let none = ("If-None-Match", "*");
    post(&write, "only-once", ("If-Match", "\"3\""))
        .await
        .expect_problem(412, "sequence-mismatch");
    post(&write, "only-once", none).await.expect(201);
    let refused = post(&write, "only-once", none).await;
    let refused = refused.expect_problem(412, "sequence-mismatch");
    assert_eq!(refused.body["sequence"], 1);
    assert_eq!(refused.header("etag"), Some("\"1\""));
    // Without the condition, it is the domain that says no.
    let plain = json!({"type": "StartCounter"});
    let refused = write.post("/counters/only-once/commands", &plain).await;
    refused.expect_problem(409, "counter-already-started");

    // A producer says it with the sequence of what is not there.
    let upstream = Upstream::to(&system.kafka, "counter.counters").await;
    let command = upstream.command(&plain);
    let not_there = |key| CommandMeta {
        expected_sequence: Some(0),
        ..meta("only-once-kafka", key)
    };
    let first = upstream.ask(not_there(Uuid::now_v7()), &command).await;
    assert_eq!((first.outcome.as_str(), first.sequence), ("accepted", 1));
    let second = upstream.ask(not_there(Uuid::now_v7()), &command).await;
    assert_eq!((second.outcome.as_str(), second.sequence), ("refused", 1));
    assert!(matches!(second.decided(), Outcome::Refused(refusal) if refusal.code == "sequence-mismatch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_over_kafka_says_what_would_happen_and_leaves_nothing_behind() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, "restaurant.customers").await;
    let sign_up =
        |id: &str| upstream.command(&json!({"type": "SignUp", "email": format!("{id}@dry.example.org")}));
    let claims = system
        .kafka
        .topics()
        .commands(records::aggregate("restaurant.customers-email").info());
    let key = Uuid::now_v7();
    // A claim does not tell the email, but what has caused it.
    let caused_by_it = |records: Vec<log::Record>| {
        let cause = key.to_string();
        let mine = |record: &&log::Record| String::from_utf8_lossy(&record.value).contains(&cause);
        records.iter().filter(mine).count()
    };
    let dry = |id: &str| CommandMeta {
        dry_run: true,
        ..meta(id, key)
    };
    let would = upstream.ask(dry("dry"), &sign_up("dry")).await;
    assert_eq!(
        (would.outcome.as_str(), would.sequence, would.dry_run),
        ("accepted", 1, true)
    );
    let named: Vec<_> = would.events.iter().map(|event| &*event.event_type).collect();
    assert_eq!(named, ["CustomerSignedUp"]);
    let add = upstream.command(&json!({"type": "AddAddress", "nickname": "a", "location": "b"}));
    let would_not = upstream.ask(dry("dry"), &add).await;
    assert_eq!((would_not.outcome.as_str(), would_not.dry_run), ("refused", true));

    assert!(records::events_of(&system.kafka, "restaurant.customers", "dry").is_empty());
    assert_eq!(
        caused_by_it(log::read(&system.kafka, &claims)),
        0,
        "no value is reserved"
    );
    let write = system.write();
    let status = write.get(&format!("/commands/{key}")).await;
    status.expect_problem(404, "unknown-command");

    // The same id, in earnest: its events are those that were foretold.
    let real = upstream.ask(meta("dry", key), &sign_up("dry")).await;
    assert_eq!(
        (real.outcome.as_str(), real.replayed, real.dry_run),
        ("accepted", false, false)
    );
    assert_eq!(real.events, would.events);
    assert_eq!(caused_by_it(log::read(&system.kafka, &claims)), 1);
    assert_eq!(
        records::events_of(&system.kafka, "restaurant.customers", "dry").len(),
        1
    );
}
