//! Records, by every schema that was ever released.

use std::fs;
use std::sync::Arc;

use apache_avro::Schema;
use foldline_core::{
    AggregateInfo, AggregateSnapshot, AggregateType, Checkpoint, CommandIds, CommandMeta, CommandResult,
    ContractKind, RecordCodec, Snapshot, Timestamp, Writer, contracts, result_codec, snapshot_codec,
};
use foldline_domains::installed;
use foldline_tests::fuzz::{corpus, fuzz, root, unhex};
use foldline_tests::log;
use foldline_tests::shared;
use foldline_tests::system::System;
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

/// Before the datum: 0, and the id of the schema.
const HEADER: usize = 5;

/// The schemas of a topic that are kept, ready to read what they have written.
fn writers(info: &AggregateInfo, kind: ContractKind, codec: &RecordCodec) -> Vec<Writer> {
    let all = contracts(&installed());
    let folder = std::path::Path::new(&info.domain)
        .join(&info.name)
        .join(kind.name());
    let contract = all.iter().find(|contract| contract.folder == folder);
    let read = |file: &std::path::Path| fs::read_to_string(root().join("schemas").join(file)).ok();
    let kept = contract.expect("it is installed").kept(read);
    assert!(!kept.is_empty());
    let writer = |text: &String| codec.written_by(Schema::parse_str(text).expect("a schema"));
    kept.iter()
        .map(|text| writer(text).expect("it is read into ours"))
        .collect()
}

/// Data as they lie in a topic, and what the corpus has.
fn data(system: &System, topic: &str) -> Vec<Vec<u8>> {
    let records = tokio::task::block_in_place(|| log::read(&system.kafka, topic));
    let values = records.into_iter().map(|record| record.value);
    let kept = corpus("avro")
        .into_iter()
        .map(|text| unhex(&String::from_utf8_lossy(&text)));
    values
        .filter(|value| value.len() > HEADER)
        .map(|value| value[HEADER..].to_vec())
        .take(50)
        .chain(kept)
        .collect()
}

fn said<T, E: ToString>(what: &Result<T, E>) -> String {
    what.as_ref()
        .map_or_else(ToString::to_string, |_| "read".to_owned())
}

/// One of each, so that each topic has records.
async fn fill(system: &System) {
    let price = json!({"amount": 1, "currency": "EUR"});
    let write = system.write();
    for (path, body) in [
        (
            "/menu/items/fuzz",
            json!({"type": "AddMenuItem", "description": "Soup", "price": price}),
        ),
        (
            "/customers/fuzz",
            json!({"type": "SignUp", "email": "fuzz@example.org"}),
        ),
        (
            "/customers/fuzz",
            json!({"type": "AddAddress", "nickname": "home", "location": "here"}),
        ),
        (
            "/orders/fuzz",
            json!({"type": "OpenOrder", "customer": "/customers/fuzz"}),
        ),
        ("/orders/fuzz", json!({"type": "PlaceOrder"})),
        (
            "/orders/fuzz",
            json!([{"type": "AddItemToOrder", "menu_item": "/menu/items/fuzz", "quantity": 1}, {"type": "CancelOrder"}]),
        ),
        ("/counters/fuzz", json!({"type": "StartCounter"})),
    ] {
        write.post(&format!("{path}/commands"), &body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_makes_its_decoder_panic_whichever_schema_is_said_to_have_written_it() {
    let system = shared::system(PROGRAM).await;
    fill(system).await;
    tokio::task::block_in_place(|| {
        for aggregate in installed().aggregates() {
            commands(system, aggregate);
            events(system, aggregate);
            results(system, aggregate.info());
        }
    });
}

fn commands(system: &System, aggregate: &Arc<dyn AggregateType>) {
    let info = aggregate.info();
    let codec = aggregate.command_codec();
    let writers = writers(info, ContractKind::Commands, codec);
    let seeds = data(system, &system.kafka.topics().commands(info));
    fuzz(
        &format!("commands of {}", info.qualified_name()),
        seeds,
        |datum| {
            let mut answer = said(&aggregate.decode_command(datum).map(drop));
            answer += &said(&codec.peek_meta::<CommandMeta>(datum).map(drop));
            for writer in &writers {
                let ours = codec.transcode(writer, datum);
                if let Ok(ours) = &ours {
                    answer += &said(&aggregate.decode_command(ours).map(drop));
                }
                answer += &said(&ours);
            }
            answer
        },
    );
}

fn events(system: &System, aggregate: &Arc<dyn AggregateType>) {
    let info = aggregate.info();
    let writers = writers(info, ContractKind::Events, aggregate.event_codec());
    let mut seeds = data(system, &system.kafka.topics().events(info));
    // As they were first written, of every revision.
    let golden = root()
        .join("domains/tests/golden")
        .join(&info.domain)
        .join(&info.name);
    for file in fs::read_dir(golden).expect("golden bytes") {
        let file = file.expect("a file").path();
        if file.extension().is_some_and(|extension| extension == "hex") {
            let text = fs::read_to_string(file).expect("a file");
            seeds.push(unhex(text.split_once('\n').expect("a head").1));
        }
    }
    fuzz(&format!("events of {}", info.qualified_name()), seeds, |datum| {
        let mut answer = String::new();
        let own = aggregate.decode_event(datum);
        for event in std::iter::once(own).chain(
            writers
                .iter()
                .map(|writer| aggregate.decode_event_by(writer, datum)),
        ) {
            if let Ok(event) = &event {
                // What was read can be folded and shown.
                aggregate.evolve(&mut aggregate.initial(), &event.event);
                aggregate.event_text(event);
            }
            answer += &said(&event.map(drop));
        }
        answer
    });
}

fn results(system: &System, info: &AggregateInfo) {
    let codec = result_codec(info);
    let writers = writers(info, ContractKind::Results, &codec);
    let seeds = data(system, &system.kafka.topics().results(info));
    fuzz(&format!("results of {}", info.qualified_name()), seeds, |datum| {
        let mut answer = String::new();
        let ours = writers
            .iter()
            .filter_map(|writer| codec.transcode(writer, datum).ok());
        for datum in std::iter::once(datum.to_vec()).chain(ours.collect::<Vec<_>>()) {
            let result = codec.decode_meta::<CommandResult>(&datum);
            if let Ok(result) = &result {
                // Asked of every result that is folded.
                result.decided();
            }
            answer += &said(&result.map(drop));
        }
        answer
    });
}

#[test]
fn no_snapshot_record_makes_its_decoder_panic_and_a_changed_one_is_not_whole() {
    let domains = installed();
    let aggregate = domains
        .aggregate("restaurant", "orders")
        .expect("it is installed");
    let codec = snapshot_codec(aggregate.info());
    let state = AggregateSnapshot {
        aggregate_id: "fuzz".parse().expect("an id"),
        sequence: 7,
        shape: aggregate.state_shape(),
        last_event_hash: None,
        event_offset: 12,
        state: aggregate.state_json(&aggregate.initial()).to_string(),
        checksum: Uuid::nil(),
    };
    let ids = [Uuid::from_u128(7), Uuid::from_u128(u128::MAX)];
    let digests = ids.iter().flat_map(CommandIds::digest).collect();
    let all = [
        Snapshot::Aggregate(state.sealed()),
        Snapshot::Checkpoint(Checkpoint {
            event_offset: 12,
            command_offset: 9,
            shape: aggregate.state_shape(),
            taken_at: Timestamp(1_700_000_000_000),
        }),
        Snapshot::CommandIds(
            CommandIds {
                from_offset: 0,
                to_offset: 9,
                command_offset: 8,
                digests,
                checksum: Uuid::nil(),
            }
            .sealed(),
        ),
    ];
    let encoded = |snapshot: &Snapshot| {
        let mut datum = Vec::new();
        snapshot.encode(&codec, &mut datum).expect("it can be written");
        datum
    };
    let writers = writers(aggregate.info(), ContractKind::Snapshots, &codec);
    fuzz("snapshots", all.iter().map(encoded).collect(), |datum| {
        let mut answer = String::new();
        let ours = writers
            .iter()
            .filter_map(|writer| codec.transcode(writer, datum).ok());
        for datum in std::iter::once(datum.to_vec()).chain(ours.collect::<Vec<_>>()) {
            let snapshot = Snapshot::decode(&codec, &datum);
            let is_one_of_ours = |found: &Snapshot| all.contains(found);
            match &snapshot {
                Ok(Snapshot::Aggregate(found)) if found.is_whole() => {
                    assert!(is_one_of_ours(&Snapshot::Aggregate(found.clone())), "{found:?}");
                    aggregate.state_from_text(&found.state);
                }
                Ok(Snapshot::CommandIds(found)) if found.is_whole() => {
                    assert!(is_one_of_ours(&Snapshot::CommandIds(found.clone())), "{found:?}");
                }
                _ => {}
            }
            answer += &said(&snapshot.map(drop));
        }
        answer
    });
}
