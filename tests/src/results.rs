//! Waits for outcomes on a results topic, as an upstream producer does.

use std::time::Duration;

use foldline_core::{AggregateInfo, CommandResult, RecordCodec, result_codec};
use foldline_kafka::KafkaSettings;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::timeout;

use crate::producer::Place;
use crate::stack::PARTITIONS;

/// How long an outcome may take: longer than a consumer group needs to notice that a member is gone.
const OUTCOME_MAX: Duration = Duration::from_secs(40);

/// The outcomes of an aggregate type's commands, from the first one on.
pub struct Results {
    consumer: StreamConsumer,
    codec: RecordCodec,
    seen: Vec<(i32, CommandResult)>,
}

impl Results {
    /// From the beginning of the topic.
    pub fn open(kafka: &KafkaSettings, info: &AggregateInfo) -> Self {
        let consumer: StreamConsumer = kafka
            .client()
            .set("group.id", format!("{}producers-tests", kafka.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .create()
            .expect("a consumer");
        let topic = kafka.topics().results(info);
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&topic, partition, Offset::Beginning)
                .expect("a partition");
        }
        consumer.assign(&list).expect("an assignment");
        Self {
            consumer,
            codec: result_codec(info),
            seen: Vec::new(),
        }
    }

    /// The outcome of the command that lies there. Panics if it does not come.
    pub async fn of(&mut self, place: Place) -> CommandResult {
        let is_it = |(partition, result): &&(i32, CommandResult)| {
            (*partition, result.command_offset) == (place.partition, place.offset)
        };
        loop {
            if let Some((_, result)) = self.seen.iter().find(is_it) {
                return result.clone();
            }
            let next = timeout(OUTCOME_MAX, self.consumer.recv()).await;
            let Ok(message) = next.unwrap_or_else(|_| panic!("no outcome of the command at {place:?}"))
            else {
                continue;
            };
            let (_, datum) = message.payload().expect("a value").split_at(5);
            let result = self.codec.decode_meta(datum).expect("a result");
            self.seen.push((message.partition(), result));
        }
    }
}
