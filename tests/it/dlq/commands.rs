use foldline_core::partition_of;
use foldline_kafka::{Compatibility, Registry, Subject, wire_format};
use foldline_tests::bar::GOOD;
use foldline_tests::log;
use foldline_tests::producer::{Place, Raw, Upstream, id_in, meta};
use foldline_tests::records::{aggregate, dead_letters};
use foldline_tests::results::Results;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::System;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::PROGRAM;

const NAME: &str = "counter.counters";

/// The letter of the record that was sent last.
async fn newest_letter(system: &System, upstream: &Upstream, partition: i32) -> String {
    // A command behind it is decided: so the record before it was set aside.
    let id = id_in(partition, &Uuid::now_v7().to_string());
    let command = upstream.command(&json!({"type": "StartCounter"}));
    upstream.ask(meta(&id, Uuid::now_v7()), &command).await;
    let letters = block_in_place(|| dead_letters(&system.kafka, NAME));
    let own = letters
        .iter()
        .filter(|letter| letter.partition == partition && !letter.is_null);
    let newest = own.max_by_key(|letter| letter.offset).expect("a dead letter");
    format!("{NAME}/{partition}/{}", newest.offset)
}

fn commands(system: &System) -> usize {
    let topic = system.kafka.topics().commands(aggregate(NAME).info());
    block_in_place(|| log::read(&system.kafka, &topic).len())
}

/// Registers schemas that nobody needs until the next one gets this id. The registry counts them; another test may count
/// on at the same time, and then there is no such id any more.
async fn register_at(registry: &Registry, id: u32, schema: &Value) -> bool {
    let subject = |schema: Value| Subject {
        name: format!("nobody-{}", Uuid::now_v7()),
        schema,
        compatibility: Compatibility::FullTransitive,
    };
    loop {
        let filler =
            json!({"type": "record", "name": format!("Filler{}", Uuid::now_v7().simple()), "fields": []});
        let at = registry
            .register(&subject(filler))
            .await
            .expect("it registers")
            .id;
        if at + 1 == id {
            let registered = registry.register(&subject(schema.clone())).await;
            return registered.expect("it registers").id == id;
        }
        if at >= id {
            return false;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_has_become_readable_is_handed_in_again_and_decided_once() {
    let system = System::start_bar("letters", PROGRAM, GOOD).await;
    let upstream = Upstream::to(&system.kafka, NAME).await;
    let cli = system.cli();
    let registry = Registry::new(&system.kafka).expect("a client");
    let mut schema = upstream.aggregate.command_codec().schema().clone();
    schema["doc"] = format!("As a producer has it, {}.", Uuid::now_v7()).into();

    // A producer is ahead of the registry: its schema is not there yet.
    let mut tries = 0;
    let (letter, id) = loop {
        tries += 1;
        let probe =
            json!({"type": "record", "name": format!("Probe{}", Uuid::now_v7().simple()), "fields": []});
        let probe = Subject {
            name: format!("nobody-{}", Uuid::now_v7()),
            schema: probe,
            compatibility: Compatibility::FullTransitive,
        };
        let ahead = registry.register(&probe).await.expect("it registers").id + 20;
        let id = id_in(1, &Uuid::now_v7().to_string());
        let command = upstream.command(&json!({"type": "StartCounter"}));
        let good = upstream.record(meta(&id, Uuid::now_v7()), &command);
        let datum = good.value.as_deref().expect("a value")[5..].to_vec();
        let headers = vec![("sent-by", "a hasty producer")];
        let value = Some(wire_format(ahead, &datum));
        upstream
            .send_raw(Raw {
                value,
                headers,
                ..good
            })
            .await;
        let letter = newest_letter(&system, &upstream, 1).await;
        if register_at(&registry, ahead, &schema).await {
            break (letter, id);
        }
        block_in_place(|| {
            cli.text(
                GOOD,
                &["dlq", "drop", &letter, "--reason", "another test was faster"],
            )
        });
        assert!(tries < 10, "no result: the ids were always taken");
    };
    let before = commands(&system);
    let mut results = Results::open(&system.kafka, upstream.aggregate.info());
    block_in_place(|| {
        let list = cli.json(GOOD, &["dlq", "list"]);
        assert_eq!(list[0]["letter"], letter.as_str(), "{list:#}");
        assert!(
            list[0]["reason"]
                .as_str()
                .expect("a reason")
                .contains("no schema"),
            "{list:#}"
        );
        let shown = cli.json(GOOD, &["dlq", "show", &letter]);
        assert_eq!(shown["headers"]["sent-by"], "a hasty producer");
        assert_eq!(shown["value"]["aggregate_id"], id.as_str(), "{shown:#}");

        let done = cli.text(GOOD, &["dlq", "retry", &letter]);
        assert!(done.contains("handed in again"), "{done}");
        let again = cli.refused(GOOD, &["dlq", "retry", &letter]);
        assert!(again.contains("it was retried before"), "{again}");
        assert_eq!(cli.text(GOOD, &["dlq", "list"]).trim(), "0 open");
        let all = cli.json(GOOD, &["dlq", "list", "--all"]);
        let states: Vec<_> = all
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["letter"] == letter.as_str())
            .collect();
        assert_eq!(states[0]["state"], "retried");
    });
    assert_eq!(commands(&system), before + 1, "handed in once");
    let topic = system.kafka.topics().commands(upstream.aggregate.info());
    let records = block_in_place(|| log::read(&system.kafka, &topic));
    let last = records
        .iter()
        .rfind(|record| record.key == id)
        .expect("it is there");
    let headers: Vec<_> = last.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["sent-by"], "as it was found");
    let place = Place {
        partition: last.partition,
        offset: last.offset,
    };
    let result = results.of(place).await;
    assert!(result.refusal.is_none(), "{result:?}");
    assert_eq!(result.aggregate_id.as_str(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_the_wrong_partition_is_handed_in_to_the_right_one_and_garbage_is_given_up() {
    let system = System::start_bar("astray", PROGRAM, GOOD).await;
    let upstream = Upstream::to(&system.kafka, NAME).await;
    let cli = system.cli();
    let id = id_in(2, "astray");
    let command = upstream.command(&json!({"type": "StartCounter"}));
    let good = upstream.record(meta(&id, Uuid::now_v7()), &command);
    upstream
        .send_raw(Raw {
            partition: 0,
            ..good.clone()
        })
        .await;
    let astray = newest_letter(&system, &upstream, 0).await;
    let garbage = Raw {
        partition: 3,
        key: Some(vec![0xff, 0]),
        value: Some(b"\x07garbage".to_vec()),
        headers: Vec::new(),
    };
    upstream.send_raw(garbage).await;
    let garbage = newest_letter(&system, &upstream, 3).await;
    block_in_place(|| {
        let shown = cli.json(GOOD, &["dlq", "show", &garbage]);
        assert_eq!(shown["key"], "0xff00");
        assert_eq!(shown["value_base64"], "B2dhcmJhZ2U=");
        cli.text(GOOD, &["dlq", "retry", &astray]);
        // Handed in as it is, it is no command once more.
        cli.text(GOOD, &["dlq", "retry", &garbage]);
    });
    assert_eq!(partition_of(&id.parse().expect("an id"), PARTITIONS), 2);
    let topic = system.kafka.topics().commands(upstream.aggregate.info());
    let records = block_in_place(|| log::read(&system.kafka, &topic));
    let of_id: Vec<i32> = records
        .iter()
        .filter(|record| record.key == id)
        .map(|record| record.partition)
        .collect();
    assert_eq!(of_id, [0, 2]);
    let again = newest_letter(&system, &upstream, 3).await;
    assert_ne!(again, garbage);
    block_in_place(|| {
        cli.text(
            GOOD,
            &["dlq", "drop", &again, "--reason", "the producer was repaired"],
        );
        assert_eq!(cli.text(GOOD, &["dlq", "list"]).trim(), "0 open");
        let all = cli.text(GOOD, &["dlq", "list", "--all"]);
        assert!(all.contains("dropped: the producer was repaired"), "{all}");
        let nothing = cli.refused(GOOD, &["dlq", "retry", &format!("{NAME}/3/4000")]);
        assert!(
            nothing.contains("has no dead letter in partition 3 at offset 4000"),
            "{nothing}"
        );
    });
}
