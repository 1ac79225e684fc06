//! Commands that come over Kafka and over HTTP: one path, the same answers.

mod doors;
mod script;

use std::collections::HashMap;
use std::time::Duration;

use foldline_core::{CommandMeta, CommandResult, EventMeta, Outcome, RefusalKind, Token, partition_of};
use foldline_domains::restaurant::orders::{Order, OrderCommand};
use foldline_tests::client::eventually;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::records::{self, Event};
use foldline_tests::shared;
use foldline_tests::stack::PARTITIONS;
use serde_json::{Value, json};
use uuid::Uuid;

use self::doors::Doors;
use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn each_command_has_the_same_outcome_whichever_way_it_comes() {
    let system = shared::system(PROGRAM).await;
    let doors = Doors::open(system).await;
    let over_http = script::run(system, &doors, "http").await;
    let over_kafka = script::run(system, &doors, "kafka").await;
    for ((step, http), kafka) in script::STEPS.iter().zip(&over_http).zip(&over_kafka) {
        assert_eq!(http.words(), *step, "over HTTP");
        assert_eq!(kafka.words(), *step, "over Kafka");
        assert_eq!(http, kafka, "{step}");
    }
    assert_eq!(over_http.len(), script::STEPS.len());
    let outcomes: Vec<&String> = over_http.iter().flat_map(|seen| &seen.outcome).collect();
    for name in ["menu", "customers", "orders"] {
        let info = records::aggregate(&format!("restaurant.{name}")).info().clone();
        for command in info.commands {
            let is_asked = over_http.iter().any(|seen| seen.command == command.name);
            assert!(is_asked, "{} is not in the script", command.name);
        }
        for event in info.events {
            assert!(
                outcomes.contains(&&event),
                "{event} does not happen in the script"
            );
        }
    }
}

fn sign_up(id: &str) -> Value {
    json!({"type": "SignUp", "email": format!("{id}@example.org")})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_twice_has_its_events_once_and_its_answer_twice() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, "restaurant.customers").await;
    let once = meta("twice", Uuid::now_v7());
    let command = upstream.command(&sign_up("twice"));
    let places = [
        upstream.send(once.clone(), &command).await,
        upstream.send(once.clone(), &command).await,
    ];
    let first = upstream.outcome(places[0]).await;
    let second = upstream.outcome(places[1]).await;
    assert_eq!((first.outcome.as_str(), first.replayed), ("accepted", false));
    assert_eq!(first.command_id, once.command_id);
    let expected = CommandResult {
        replayed: true,
        command_offset: places[1].offset,
        ..first
    };
    assert_eq!(second, expected);
    let events = records::events_of(&system.kafka, "restaurant.customers", "twice");
    assert_eq!(events.len(), 1);

    let other = upstream.command(&json!({"type": "AddAddress", "nickname": "a", "location": "b"}));
    let reused = upstream.ask(once, &other).await;
    assert_eq!(
        refusal(&reused),
        ("command-id-reused".into(), RefusalKind::CommandId)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_came_through_one_door_is_known_at_the_other() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, "restaurant.customers").await;
    let write = system.write();
    let post = async |id: &str, key: Uuid| {
        let request = write.request("POST".parse().unwrap(), &format!("/customers/{id}/commands"));
        let request = request.header("Idempotency-Key", key.to_string());
        write.send(request.json(&sign_up(id))).await
    };

    let key = Uuid::now_v7();
    let answer = post("http-first", key).await.expect(201);
    let again = upstream
        .ask(meta("http-first", key), &upstream.command(&sign_up("http-first")))
        .await;
    assert!(again.replayed);
    assert_eq!(json!(again.events), answer.body["events"]);
    assert_eq!(again.consistency_token, answer.text("/consistency_token"));

    let key = Uuid::now_v7();
    let first = upstream
        .ask(
            meta("kafka-first", key),
            &upstream.command(&sign_up("kafka-first")),
        )
        .await;
    assert_eq!((first.outcome.as_str(), first.replayed), ("accepted", false));
    // Who asks while the first is still open joins it, and is told no repetition.
    let is_known =
        async || (write.get(&format!("/commands/{key}")).await.body["status"] == "accepted").then_some(());
    eventually("the outcome is known", Duration::from_secs(10), is_known).await;
    let again = post("kafka-first", key).await.expect(201);
    assert_eq!(again.body["replayed"], true);
    assert_eq!(again.body["events"], json!(first.events));
    let outcome = write.get(&format!("/commands/{key}")).await.expect(200);
    assert_eq!(outcome.body["events"], json!(first.events));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_none_is_refused_over_kafka_too() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, "restaurant.orders").await;
    let command = foldline_core::AnyCommand::new::<Order>(OrderCommand::OpenOrder {
        customer: foldline_core::Link::new("/menu/items/7"),
    });
    let result = upstream.ask(meta("no-link", Uuid::now_v7()), &command).await;
    assert_eq!(
        refusal(&result),
        ("malformed-link".into(), RefusalKind::Malformed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_producer_says_of_a_command_is_heeded_and_passed_on() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, "restaurant.menu").await;
    let add =
        json!({"type": "AddMenuItem", "description": "Soup", "price": {"amount": 1, "currency": "EUR"}});
    let said = CommandMeta {
        correlation_id: Some("conversation-7".into()),
        causation_id: Some("order-of-the-chef".into()),
        actor: Some("chef".into()),
        expected_sequence: Some(0),
        ..meta("said", Uuid::now_v7())
    };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut record = upstream.record(said.clone(), &upstream.command(&add));
    record.headers.push(("traceparent", trace));
    let place = upstream.send_raw(record).await;
    let result = upstream.outcome(place).await;
    assert_eq!(
        (result.outcome.as_str(), result.correlation_id.as_str()),
        ("accepted", "conversation-7")
    );

    let events = records::events_of(&system.kafka, "restaurant.menu", "said");
    let Event {
        record, meta: event, ..
    } = &events[0];
    assert_eq!(event.correlation_id, "conversation-7");
    assert_eq!(event.causation_id, said.command_id.to_string());
    assert_eq!(event.actor.as_deref(), Some("chef"));
    assert_eq!(event.occurred_at, said.issued_at);
    assert_eq!(record.header("traceparent"), Some(trace));
    assert_eq!(record.header("ce_correlationid"), Some("conversation-7"));

    let late = CommandMeta {
        expected_sequence: Some(0),
        ..meta("said", Uuid::now_v7())
    };
    let remove = upstream.command(&json!({"type": "RemoveMenuItem"}));
    let result = upstream.ask(late, &remove).await;
    assert_eq!(
        refusal(&result),
        ("sequence-mismatch".into(), RefusalKind::Sequence)
    );
    // Further than anybody has seen.
    let mut ahead: Token = result.consistency_token.parse().expect("a token");
    ahead.see("restaurant.menu", 0, i64::MAX);
    let early = CommandMeta {
        consistency_token: Some(ahead.to_string()),
        ..meta("said", Uuid::now_v7())
    };
    let result = upstream.ask(early, &remove).await;
    assert_eq!(refusal(&result).0, "token-not-reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_says_where_it_comes_from_and_stands_in_line() {
    let system = shared::system(PROGRAM).await;
    let doors = Doors::open(system).await;
    script::run(system, &doors, "line").await;
    for name in ["restaurant.menu", "restaurant.customers", "restaurant.orders"] {
        // Events first: what they come from is there then.
        let events = records::events(&system.kafka, name);
        let commands = records::commands(&system.kafka, name);
        let commands: HashMap<(i32, i64), Uuid> = commands
            .into_iter()
            .map(|(record, meta)| ((record.partition, record.offset), meta.command_id))
            .collect();
        assert!(!events.is_empty());
        let mut last: HashMap<&str, i64> = HashMap::new();
        let mut made: HashMap<Uuid, Vec<&EventMeta>> = HashMap::new();
        for event in &events {
            let meta = &event.meta;
            let sequence = last.entry(meta.aggregate_id.as_str()).or_default();
            *sequence += 1;
            assert_eq!(meta.sequence, *sequence, "{event:?}");
            made.entry(meta.command_id).or_default().push(meta);
            let origin = commands.get(&(event.record.partition, meta.command_offset));
            assert_eq!(origin, Some(&meta.command_id), "{event:?}");
            check_record(event, name);
        }
        for events in made.into_values() {
            for (index, meta) in events.iter().enumerate() {
                assert_eq!((meta.index as usize, meta.count as usize), (index, events.len()));
            }
        }
    }
}

fn check_record(Event { record, meta, .. }: &Event, name: &str) {
    assert_eq!(record.key, meta.aggregate_id.as_str());
    assert_eq!(record.partition, partition_of(&meta.aggregate_id, PARTITIONS));
    assert_eq!(meta.event_id, EventMeta::id_of(&meta.command_id, meta.index));
    assert_eq!(meta.causation_id, meta.command_id.to_string());
    assert!(!meta.correlation_id.is_empty());
    let revision = if meta.event_type == "ItemAddedToOrder" {
        2
    } else {
        1
    };
    assert_eq!((meta.revision, meta.written_revision), (revision, revision));
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", meta.event_id.to_string()),
        ("ce_source", format!("/{}", name.replace('.', "/"))),
        ("ce_type", meta.event_type.clone()),
        ("ce_subject", meta.aggregate_id.to_string()),
        ("ce_time", meta.recorded_at.to_string()),
        ("ce_correlationid", meta.correlation_id.clone()),
        ("content-type", "application/vnd.confluent.avro".to_owned()),
    ];
    for (header, value) in headers {
        assert_eq!(
            record.header(header),
            Some(value.as_str()),
            "{header} of {record:?}"
        );
    }
}

fn refusal(result: &CommandResult) -> (String, RefusalKind) {
    match result.decided() {
        Outcome::Refused(refusal) => (refusal.code, refusal.kind),
        Outcome::Accepted(_) => panic!("accepted: {result:?}"),
    }
}
