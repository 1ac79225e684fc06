//! What a program reaches on this broker that does nothing else: the least that Foldline's work can cost.
//!
//! - `pipe`: consume, produce, commit, exactly once. `roundtrip`: the same, with clients that wait for the answer.
//! - `upsert`: consume, and write each record into SQLite.
//! - `answer`: an HTTP server that has its answer ready.
//!
//! All of it is written as one should: see the note on each thing that is not the obvious one. A floor that is badly
//! made flatters what stands on it.

mod answer;
mod pipe;
mod roundtrip;
mod upsert;

use std::time::Duration;

use anyhow::{Context, bail};
use foldline_kafka::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub(crate) use self::answer::Server;
pub(crate) use self::pipe::pipe;
pub(crate) use self::roundtrip::Roundtrip;
pub(crate) use self::upsert::upsert;

/// As many as Foldline's own topics have.
const PARTITIONS: i32 = 12;
/// Who has seen nothing for so long will see nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Makes topics that are not there.
pub(crate) async fn make_topics(kafka: &KafkaSettings, names: &[&str]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create()?;
    let new = names
        .iter()
        .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    let new: Vec<NewTopic<'_>> = new.collect();
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_MAX));
    for made in admin.create_topics(&new, &options).await? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("Kafka refuses to make {topic}: {code}"),
        }
    }
    Ok(())
}

/// Appends records of so many bytes, with keys of 36 bytes as Foldline's are, over all partitions.
pub(crate) fn fill(kafka: &KafkaSettings, topic: &str, records: usize, bytes: usize) -> anyhow::Result<()> {
    let producer: ThreadedProducer<_> = throughput(kafka).create()?;
    let body = incompressible(bytes);
    for number in 0..records {
        let key = format!("{number:036}");
        send(
            &producer,
            BaseRecord::to(topic).key(key.as_str()).payload(body.as_slice()),
        )?;
    }
    Ok(producer.flush(REQUEST_MAX)?)
}

/// A producer's settings for filling a topic fast.
pub(crate) fn throughput(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = kafka.client();
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "1000000");
    config
}

/// Hands a record over, and waits for a place in the queue if there is none.
pub(crate) fn send<C>(
    producer: &ThreadedProducer<C>,
    mut record: BaseRecord<'_, str, [u8], C::DeliveryOpaque>,
) -> anyhow::Result<()>
where
    C: rdkafka::producer::ProducerContext + 'static,
{
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                record = again;
                std::thread::sleep(Duration::from_micros(200));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// A consumer that sees committed records only. What is not set here would cost milliseconds, or throughput.
fn consumer(kafka: &KafkaSettings, group: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = kafka.client();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        // A full queue is looked at again after this; the default is a second.
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "200000");
    Ok(config.create()?)
}

/// Every partition of a topic, from its beginning.
fn from_the_beginning(topic: &str) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .context("a list of partitions")?;
    }
    Ok(list)
}

/// Bytes that a compressing producer gains nothing from: xorshift.
fn incompressible(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}
