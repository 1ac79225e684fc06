//! Snapshots that cannot be used are noticed, and what they stand for is folded from its events.

use foldline_core::{AggregateSnapshot, Checkpoint, Snapshot, snapshot_codec};
use foldline_kafka::{KafkaSettings, wire_format};
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::producer::schema_id;
use foldline_tests::{domains, metrics, stack};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;
use uuid::Uuid;

use super::engines::{assert_checkpoints_hold, assert_knows_all, folder, snapshots, start, work};
use crate::PROGRAM;

/// What becomes of a snapshot, and of the checkpoint behind it, and the reason that is given for not using them.
type Damage = (
    &'static str,
    fn(AggregateSnapshot) -> Vec<u8>,
    fn(Checkpoint) -> Checkpoint,
);

const DAMAGES: [Damage; 4] = [
    ("checksum", another_state, as_it_is),
    ("unreadable", cut, as_it_is),
    // As an older version would have written it: one aggregate, or all.
    ("shape", of_another_shape, as_it_is),
    ("shape", whole, of_other_states),
];

fn another_state(snapshot: AggregateSnapshot) -> Vec<u8> {
    let state = snapshot.state.replace(':', ": ");
    assert_ne!(state, snapshot.state);
    written(AggregateSnapshot { state, ..snapshot })
}

fn cut(snapshot: AggregateSnapshot) -> Vec<u8> {
    let mut datum = written(snapshot);
    datum.truncate(datum.len() - 5);
    datum
}

fn of_another_shape(snapshot: AggregateSnapshot) -> Vec<u8> {
    let shape = Uuid::from_u128(1);
    written(AggregateSnapshot { shape, ..snapshot }.sealed())
}

fn whole(snapshot: AggregateSnapshot) -> Vec<u8> {
    written(snapshot)
}

fn as_it_is(checkpoint: Checkpoint) -> Checkpoint {
    checkpoint
}

fn of_other_states(checkpoint: Checkpoint) -> Checkpoint {
    let shape = Uuid::from_u128(1);
    Checkpoint { shape, ..checkpoint }
}

fn written(snapshot: AggregateSnapshot) -> Vec<u8> {
    encoded(&Snapshot::Aggregate(snapshot))
}

fn encoded(snapshot: &Snapshot) -> Vec<u8> {
    let domains = domains();
    let counters = domains.aggregate("counter", "counters").unwrap();
    let mut datum = Vec::new();
    snapshot
        .encode(&snapshot_codec(counters.info()), &mut datum)
        .unwrap();
    datum
}

/// Puts the damage behind what stands on the topic of the counters. Returns its partition.
async fn damage(kafka: &KafkaSettings, (_, spoil, change): Damage) -> i32 {
    let domains = domains();
    let counters = domains.aggregate("counter", "counters").unwrap();
    let at = domains
        .aggregates()
        .iter()
        .position(|aggregate| aggregate.info().qualified_name() == counters.info().qualified_name());
    let current = snapshots(kafka, &domains).await.swap_remove(at.unwrap());
    let topic = kafka.topics().snapshots(counters.info());
    let snapshot = current.aggregates.into_values().next().unwrap();
    let partition = foldline_core::partition_of(&snapshot.aggregate_id, stack::PARTITIONS);
    let checkpoint = change(current.checkpoints[&partition].clone());
    let schema_id = schema_id(kafka, &topic).await;
    let producer: FutureProducer = kafka.client().create().unwrap();
    let records = [
        (snapshot.aggregate_id.to_string(), spoil(snapshot)),
        (
            Snapshot::CHECKPOINT_KEY.to_owned(),
            encoded(&Snapshot::Checkpoint(checkpoint)),
        ),
    ];
    for (key, datum) in records {
        let value = wire_format(schema_id, &datum);
        let record = FutureRecord::to(&topic)
            .partition(partition)
            .key(&key)
            .payload(&value);
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
    partition
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_or_one_of_another_shape_is_noticed_and_written_anew() {
    let domains = domains();
    let kafka = stack::kafka("damage", &domains).await;
    let engine = start(&kafka, &folder(), &domains, 10).await;
    work(&engine, &domains, 0..4).await;
    engine.stop().await;
    for found in DAMAGES {
        let partition = damage(&kafka, found).await;

        let mut handler = Handler::launch_with(&kafka, "0", PROGRAM, &["--snapshot-every", "1"]).await;
        handler.wait_until_ready().await;
        let refused = "foldline_snapshots_refused_total";
        let reason = format!("reason=\"{}\"", found.0);
        assert_eq!(
            metrics::sum(&handler.write(), refused, &reason).await,
            1,
            "{reason}"
        );
        assert_eq!(metrics::sum(&handler.write(), refused, "").await, 1);
        let said = format!("partition={partition}");
        let log = handler.log();
        let warned = log.lines().find(|line| line.contains("snapshots cannot be used"));
        assert!(warned.is_some_and(|line| line.contains(&said)), "{log}");
        let write = handler.write();
        eventually("all is written anew", Duration::from_secs(30), || async {
            let written = metrics::sum(&write, "foldline_checkpoints_total", "counter.counters").await;
            (written > 0).then_some(())
        })
        .await;
        handler.stop().await;
        assert_checkpoints_hold(&kafka, &domains).await;

        let engine = start(&kafka, &folder(), &domains, 0).await;
        assert_knows_all(&engine, &kafka, &domains).await;
        engine.stop().await;
    }
}
