//! A producer that hangs in its transaction, and never ends it.

use std::time::Duration;

use foldline_tests::client::eventually;
use foldline_tests::producer::{Raw, Upstream, id_in, meta};
use foldline_tests::system::System;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::PROGRAM;

const NAME: &str = "counter.counters";
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Long enough for the others to be decided meanwhile.
const GIVEN_UP_AFTER_MS: &str = "15000";
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends a command in a transaction, and stays there.
fn hang(system: &System, raw: &Raw) -> BaseProducer {
    let mut config = system.kafka.client();
    config
        .set("transactional.id", format!("hangs-{}", Uuid::now_v7()))
        .set("transaction.timeout.ms", GIVEN_UP_AFTER_MS);
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(REQUEST_MAX).expect("it is known");
    producer.begin_transaction().expect("it begins");
    let topic = format!("{}{NAME}.commands", system.kafka.topic_prefix);
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).partition(raw.partition);
    record.key = raw.key.as_deref();
    record.payload = raw.value.as_deref();
    producer
        .send(record)
        .map_err(|(error, _)| error)
        .expect("it is queued");
    producer.flush(REQUEST_MAX).expect("it is in the log");
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_hangs_in_its_transaction_holds_up_one_partition_until_kafka_gives_it_up() {
    let system = System::start("hanging", PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, NAME).await;
    let write = system.write();
    let start = upstream.command(&json!({"type": "StartCounter"}));
    let (hung, behind, beside) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let raw = upstream.record(meta(&id_in(1, "hung"), hung), &start);
    let _stays_there = block_in_place(|| hang(&system, &raw));

    upstream.send(meta(&id_in(1, "behind"), behind), &start).await;
    let decided = upstream.ask(meta(&id_in(2, "beside"), beside), &start).await;
    assert!(decided.refusal.is_none(), "{decided:?}");
    let path = |id: Uuid| format!("/commands/{id}");
    assert_ne!(write.get(&path(behind)).await.status, 200);
    let answer = eventually("it is decided", PATIENCE, async || {
        let answer = write.get(&path(behind)).await;
        // Once it can be read it is pending, until it is decided.
        (answer.status == 200 && answer.text("/status") != "pending").then_some(answer)
    })
    .await;
    assert_eq!(answer.text("/status"), "accepted", "{answer:#?}");
    // It was asked in a transaction that was never committed.
    write.get(&path(hung)).await.expect(404);
}
