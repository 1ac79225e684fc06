//! Reading partitions of one topic to their ends, as they are when they are reached.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaSettings;
use crate::follower::{FollowError, Quiet, kafka_error, log_consumer};

const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Hands over every committed record from the offsets on. Returns the offset after the last one, for each partition.
pub(crate) fn read_to_ends(
    kafka: &KafkaSettings,
    topic: &str,
    from: &HashMap<i32, i64>,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), FollowError>,
) -> Result<HashMap<i32, i64>, FollowError> {
    let failed = |source| kafka_error(topic, source);
    let consumer = log_consumer(kafka, true, 5)?;
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let mut open = from.len();
    while open > 0 {
        match consumer.poll(REQUEST_MAX) {
            Some(Ok(message)) => each(&message)?,
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(source)) => return Err(failed(source)),
            None => {
                let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut);
                return Err(failed(timed_out));
            }
        }
    }
    let mut ends = from.clone();
    for element in consumer.position().map_err(failed)?.elements() {
        // None, if nothing was there.
        if let Offset::Offset(offset) = element.offset() {
            ends.insert(element.partition(), offset);
        }
    }
    Ok(ends)
}

/// The first offset of each partition that is there, and the end of what is committed.
pub(crate) fn ranges(
    kafka: &KafkaSettings,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> Result<HashMap<i32, (i64, i64)>, FollowError> {
    let consumer: BaseConsumer<Quiet> = log_consumer(kafka, false, 500)?;
    let range = |partition| {
        let found = consumer.fetch_watermarks(topic, partition, REQUEST_MAX);
        Ok((partition, found.map_err(|source| kafka_error(topic, source))?))
    };
    partitions.map(range).collect()
}
