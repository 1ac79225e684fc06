//! Logs that are copied, record by record, into topics of their own: the copies may be tampered with.

use std::time::Duration;

use foldline_core::AggregateInfo;
use foldline_kafka::KafkaSettings;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::log::{self, Record};

/// The events and the results of an aggregate type, partition by partition.
#[derive(Debug, Clone)]
pub struct Copied {
    /// What has happened.
    pub events: Vec<Vec<Record>>,
    /// What became of what was asked.
    pub results: Vec<Vec<Record>>,
}

impl Copied {
    /// Reads both topics.
    pub fn of(kafka: &KafkaSettings, info: &AggregateInfo) -> Self {
        let names = kafka.topics();
        Self {
            events: by_partition(log::read(kafka, &names.events(info))),
            results: by_partition(log::read(kafka, &names.results(info))),
        }
    }

    /// Writes both into other topics, which are empty. A record's offset is then its place in its partition.
    pub fn write(&self, kafka: &KafkaSettings, info: &AggregateInfo) {
        let names = kafka.topics();
        let producer: ThreadedProducer<DefaultProducerContext> = kafka
            .client()
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        for (topic, partitions) in [
            (names.events(info), &self.events),
            (names.results(info), &self.results),
        ] {
            for (partition, records) in (0..).zip(partitions) {
                for record in records {
                    let copy = BaseRecord::to(&topic).partition(partition);
                    let sent = producer.send(copy.key(&record.key).payload(&record.value));
                    sent.map_err(|(error, _)| error).expect("room in the queue");
                }
            }
        }
        producer.flush(Duration::from_secs(30)).expect("all are written");
    }

    /// Where the events of an aggregate are: the partition, and their places in it.
    pub fn events_of(&self, id: &str) -> (usize, Vec<usize>) {
        let is_in = |records: &Vec<Record>| records.iter().any(|record| record.key == id);
        let partition = self.events.iter().position(is_in).expect("it has events");
        let records = self.events[partition].iter().enumerate();
        let own = records.filter(|(_, record)| record.key == id).map(|(at, _)| at);
        (partition, own.collect())
    }
}

fn by_partition(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut partitions = Vec::new();
    for record in records {
        let partition = usize::try_from(record.partition).expect("partitions are counted from 0");
        if partitions.len() <= partition {
            partitions.resize_with(partition + 1, Vec::new);
        }
        partitions[partition].push(record);
    }
    partitions
}
