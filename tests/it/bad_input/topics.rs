//! Records on a command topic that are no commands: set aside with the reason, and the partition goes on.

use std::time::Duration;

use foldline_core::Outcome;
use foldline_kafka::wire_format;
use foldline_tests::client::eventually;
use foldline_tests::log::Record;
use foldline_tests::metrics;
use foldline_tests::producer::{Place, Raw, Upstream, id_in, meta, schema_id};
use foldline_tests::records::{self, dead_letters};
use foldline_tests::shared;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::System;
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

const NAME: &str = "counter.counters";
const HEADERS: [(&str, &str); 2] = [("trace", "7"), ("sent-by", "a bad producer")];
/// With the headers of a letter it has no room in a record of Kafka's default size.
const TOO_LARGE: usize = 999_700;

/// A record that is no command, and a part of the reason why.
struct Bad {
    raw: Raw,
    reason: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_is_set_aside_with_its_reason_and_the_partition_goes_on() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, NAME).await;
    let before = counted(system).await;

    let mut sent = Vec::new();
    for Bad { raw, reason } in bad_records(system, &upstream).await {
        let raw = Raw {
            headers: HEADERS.to_vec(),
            ..raw
        };
        let place = upstream.send_raw(raw.clone()).await;
        assert_is_decided(&upstream, raw.partition).await;
        sent.push((place, raw, reason));
    }
    let letters = dead_letters(&system.kafka, NAME);
    assert_eq!(letters.len(), sent.len());
    for (place, raw, reason) in &sent {
        assert_is_set_aside(&letters, system, *place, raw, reason);
    }
    // They are counted after the commit that shows them.
    let sent = sent.len() as u64;
    let all_counted = || async { Some(counted(system).await - before).filter(|count| *count >= sent) };
    let count = eventually("all are counted", Duration::from_secs(30), all_counted).await;
    assert_eq!(count, sent);
}

/// A record of each kind.
async fn bad_records(system: &System, upstream: &Upstream) -> Vec<Bad> {
    let command = upstream.command(&json!({"type": "StartCounter"}));
    let good = |partition: i32| upstream.record(meta(&id_in(partition, "good"), Uuid::now_v7()), &command);
    let value = |value: &[u8]| Raw {
        value: Some(value.to_vec()),
        ..good(1)
    };
    let cut = good(1).value.map(|value| value[..value.len() - 3].to_vec());
    let more = good(1).value.map(|mut value| {
        value.push(0);
        value
    });
    let stranger = Upstream::to(&system.kafka, "cloakroom.coats").await;
    let coat = stranger.command(&json!({"type": "HandIn", "colour": "teal"}));
    let coat = stranger.record(meta(&id_in(1, "good"), Uuid::now_v7()), &coat);
    let bad = |raw: Raw, reason| Bad { raw, reason };
    let event_id = schema_id(
        &system.kafka,
        &system.kafka.topics().events(upstream.aggregate.info()),
    )
    .await;
    vec![
        bad(value(b"{\"type\": \"StartCounter\"}"), "wire format"),
        bad(value(b""), "wire format"),
        bad(value(&vec![b'x'; 600_000]), "600000 bytes"),
        bad(value(&vec![b'x'; TOO_LARGE]), "999700 bytes"),
        bad(value(&wire_format(4_000_000, b"datum")), "no schema 4000000"),
        bad(value(&wire_format(event_id, b"datum")), ""),
        bad(
            Raw {
                value: coat.value,
                ..good(1)
            },
            "",
        ),
        bad(
            Raw {
                value: cut,
                ..good(1)
            },
            "",
        ),
        bad(
            Raw {
                value: more,
                ..good(1)
            },
            "",
        ),
        bad(
            Raw {
                value: None,
                ..good(2)
            },
            "null",
        ),
        bad(
            Raw {
                key: Some(b"somebody-else".to_vec()),
                ..good(2)
            },
            "key",
        ),
        bad(Raw { key: None, ..good(2) }, "key"),
        bad(
            Raw {
                partition: 3,
                ..good(2)
            },
            "partition 2",
        ),
    ]
}

/// A good command behind a bad one.
async fn assert_is_decided(upstream: &Upstream, partition: i32) {
    assert!((0..PARTITIONS).contains(&partition));
    let id = id_in(partition, &Uuid::now_v7().to_string());
    let command = upstream.command(&json!({"type": "StartCounter"}));
    let result = upstream.ask(meta(&id, Uuid::now_v7()), &command).await;
    assert!(matches!(result.decided(), Outcome::Accepted(_)), "{result:?}");
}

fn assert_is_set_aside(letters: &[Record], system: &System, place: Place, raw: &Raw, reason: &str) {
    let offset = place.offset.to_string();
    let partition = place.partition.to_string();
    let is_it = |letter: &&Record| {
        letter.header("__foldline.errors.offset") == Some(&offset)
            && letter.header("__foldline.errors.partition") == Some(&partition)
    };
    let letter = letters.iter().find(is_it);
    let letter = letter.unwrap_or_else(|| panic!("{raw:?} is not set aside: {letters:?}"));
    assert_eq!(letter.key.as_bytes(), raw.key.as_deref().unwrap_or_default());
    let value = raw.value.clone().filter(|value| value.len() < TOO_LARGE);
    let left_out = (value != raw.value).then_some("value");
    assert_eq!(letter.header("__foldline.errors.left_out"), left_out);
    assert_eq!(letter.is_null, value.is_none());
    assert_eq!(letter.value, value.unwrap_or_default());
    for (name, value) in HEADERS {
        assert_eq!(letter.header(name), Some(value));
    }
    let topic = system.kafka.topics().commands(records::aggregate(NAME).info());
    assert_eq!(letter.header("__foldline.errors.topic"), Some(topic.as_str()));
    assert_eq!(letter.header("__foldline.errors.stage"), Some("decode"));
    let said = letter.header("__foldline.errors.reason").expect("a reason");
    assert!(
        !said.is_empty() && said.contains(reason),
        "{said:?} does not say {reason:?}"
    );
}

/// How many dead letters of this type there were, says the command handler.
async fn counted(system: &System) -> u64 {
    metrics::sum(
        &system.write(),
        "foldline_dead_letters_total",
        "counter.counters.commands",
    )
    .await
}
