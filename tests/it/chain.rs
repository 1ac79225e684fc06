//! The chain of the events, as the write side makes it.

use std::collections::HashMap;

use foldline_core::{CommandMeta, CommandResult, EventHash, result_codec};
use foldline_tests::{domains, log, records, stack};
use serde_json::json;
use uuid::Uuid;

use crate::engine::{meta, send, send_as, start};

const TYPE: &str = "counter.counters";

#[tokio::test(flavor = "multi_thread")]
async fn each_event_names_the_hash_of_the_one_before_it_and_each_result_that_of_its_last_event() {
    let domains = domains();
    let kafka = stack::kafka("chain", &domains).await;
    let folder = stack::folder().join(stack::unique_name("state"));
    let counters = domains.aggregate("counter", "counters").unwrap();
    let count = json!({"type": "IncrementCounter", "by": 1});

    // Decided in one batch, on a state that is kept, and on one that is folded from the log.
    for life in ["first", "store kept", "store lost"] {
        if life == "store lost" {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let engine = start(&kafka, &folder, &domains).await;
        let gateway = engine.gateway();
        if life == "first" {
            for id in ["a", "b"] {
                send(&gateway, counters, id, json!({"type": "StartCounter"})).await;
            }
        }
        let asked = (0..12).map(|n| {
            let id = if n % 3 == 0 { "b" } else { "a" };
            let body = json!([count, count]);
            let (gateway, counters) = (gateway.clone(), counters.clone());
            tokio::spawn(async move { send(&gateway, &counters, id, body).await })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert_eq!(asked.await.unwrap().outcome, "accepted");
        }
        drop(gateway);
        engine.stop().await;
    }

    let mut tips: HashMap<String, EventHash> = HashMap::new();
    let mut by_event: HashMap<Uuid, EventHash> = HashMap::new();
    let events = records::events(&kafka, TYPE);
    assert_eq!(events.len(), 2 + 3 * 12 * 2);
    for event in &events {
        let hash = EventHash::of(&event.record.value);
        let before = tips.insert(event.meta.aggregate_id.to_string(), hash);
        assert_eq!(event.meta.previous_hash, before, "{:?}", event.meta);
        by_event.insert(event.meta.event_id, hash);
    }
    for record in log::read(&kafka, &kafka.topics().results(counters.info())) {
        let codec = result_codec(counters.info());
        let result: CommandResult = codec.decode_meta(&record.value[5..]).unwrap();
        let last = result.events.last().unwrap();
        assert_eq!(
            result.last_event_hash,
            Some(by_event[&last.event_id]),
            "{result:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_says_who_asked_and_a_repeated_one_says_the_same_hash() {
    let domains = domains();
    let kafka = stack::kafka("asked", &domains).await;
    let folder = stack::folder().join(stack::unique_name("state"));
    let counters = domains.aggregate("counter", "counters").unwrap();
    let engine = start(&kafka, &folder, &domains).await;
    let gateway = engine.gateway();
    let asked = || CommandMeta {
        actor: Some("ada".into()),
        causation_id: Some("the order 7".into()),
        ..meta("a", Uuid::from_u128(1))
    };

    let first = send_as(&gateway, counters, asked(), json!({"type": "StartCounter"})).await;
    let again = send_as(&gateway, counters, asked(), json!({"type": "StartCounter"})).await;
    let refused = send(
        &gateway,
        counters,
        "b",
        json!({"type": "IncrementCounter", "by": 1}),
    )
    .await;
    let dry = CommandMeta {
        dry_run: true,
        ..meta("c", Uuid::from_u128(2))
    };
    let dry = send_as(&gateway, counters, dry, json!({"type": "StartCounter"})).await;
    drop(gateway);
    engine.stop().await;

    assert_eq!(first.actor.as_deref(), Some("ada"));
    assert_eq!(first.causation_id.as_deref(), Some("the order 7"));
    assert_eq!(first.issued_at, Some(asked().issued_at));
    let events = records::events(&kafka, TYPE);
    assert_eq!(events.len(), 1);
    assert_eq!(
        first.last_event_hash,
        Some(EventHash::of(&events[0].record.value))
    );
    assert!(again.replayed);
    assert_eq!(again.last_event_hash, first.last_event_hash);
    assert_eq!((refused.last_event_hash, dry.last_event_hash), (None, None));
}
