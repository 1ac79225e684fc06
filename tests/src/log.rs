//! Reads a topic as anybody would: a consumer, committed records only, from the beginning to the end.

use std::time::Duration;

use foldline_kafka::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

/// A record as it lies in the topic.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where.
    pub partition: i32,
    /// Where.
    pub offset: i64,
    /// The key, as text.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// Whether there is no value at all.
    pub is_null: bool,
    /// The headers, as text.
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Every committed record of a topic, partition by partition.
pub fn read(kafka: &KafkaSettings, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", format!("{}analysts-tests", kafka.topic_prefix))
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // Whoever reads for longer than 5 s would hear of its own commits, and take that for silence.
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .expect("metadata");
    let mut open = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&list).expect("an assignment");
    let mut records = Vec::new();
    while open > 0 {
        match consumer
            .poll(Duration::from_secs(30))
            .expect("the end of each partition")
        {
            Ok(message) => records.push(record(&message)),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    records.sort_by_key(|record: &Record| (record.partition, record.offset));
    records
}

fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: text(message.key()),
        value: message.payload().unwrap_or_default().to_vec(),
        is_null: message.payload().is_none(),
        headers: headers.unwrap_or_default(),
    }
}
