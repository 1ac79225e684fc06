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

/// The first offset that is there, and the end.
pub(crate) type Range = (i64, i64);

/// The ranges of partitions, in their order: in two requests, however many they are.
pub(crate) fn ranges<'a>(
    kafka: &KafkaSettings,
    places: impl Iterator<Item = (&'a str, i32)>,
) -> Result<Vec<Range>, FollowError> {
    let places: Vec<(&str, i32)> = places.collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let consumer = kafka
        .client()
        .set("isolation.level", "read_uncommitted")
        .create_with_context(Quiet::default());
    let consumer: BaseConsumer<Quiet> = consumer.map_err(|source| kafka_error("the log", source))?;
    let lows = offsets(&consumer, &places, Offset::Beginning)?;
    let highs = offsets(&consumer, &places, Offset::End)?;
    Ok(lows.into_iter().zip(highs).collect())
}

/// The first or the last offset of each partition, as the consumer's isolation level has them: in one request.
pub(crate) fn offsets(
    consumer: &BaseConsumer<Quiet>,
    places: &[(&str, i32)],
    which: Offset,
) -> Result<Vec<i64>, FollowError> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        // In this request, an end is a time.
        let added = list.add_partition_offset(topic, *partition, which);
        added.map_err(|source| kafka_error(topic, source))?;
    }
    let found = consumer.offsets_for_times(list, REQUEST_MAX);
    let found = found.map_err(|source| kafka_error("the log", source))?;
    let offset = |(topic, partition): &(&str, i32)| {
        let missing = || kafka_error(topic, KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset));
        let element = found.find_partition(topic, *partition).ok_or_else(missing)?;
        element.error().map_err(|source| kafka_error(topic, source))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err(missing()),
        }
    };
    places.iter().map(offset).collect()
}
