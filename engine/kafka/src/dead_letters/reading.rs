//! Reads dead-letter topics, and single records of any topic.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use apache_avro::reader::datum::GenericDatumReader;
use foldline_core::{AggregateType, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{DeadLetter, DeadLetterError, DeadLetters, Done, Headers, NOTE_DONE, NOTE_OF, NOTE_REASON, Note};
use crate::broker::{Broker, KafkaBroker, Place};
use crate::follower::FollowError;
use crate::registry::{Registry, split_wire_format};
use crate::runtime::{Runtime, Threads};
use crate::security::token::{self, Plain};
use crate::settled::{OPEN_MAX, settled_ranges};

/// How long the next record may take.
const READ_MAX: Duration = Duration::from_secs(30);

/// A record, as it lies in its topic.
struct Found {
    partition: i32,
    offset: i64,
    at: Option<Timestamp>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

/// What a value holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing: it is null.
    Null,
    /// An Avro record by a schema of the registry, as JSON; fields that are null are left out.
    Avro {
        /// The schema's id.
        schema: u32,
        /// What it says.
        json: Value,
    },
    /// Bytes, and why they are not more than that.
    Bytes(String),
}

impl DeadLetters {
    /// The letters of a type, in one partition or in all.
    pub(super) fn of(
        &self,
        aggregate: &dyn AggregateType,
        partition: Option<i32>,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let info = aggregate.info();
        let topic = self.kafka.topics().dead_letters(info);
        let count = self.cluster.partitions.get(&info.qualified_name()).copied();
        let partitions =
            (0..count.unwrap_or_default()).filter(|one| partition.is_none_or(|only| only == *one));
        let ends = self.ends(&topic, partitions)?;
        let found = self.read(&topic, Offset::Beginning, ends, None)?;
        let mut notes: HashMap<(i32, i64), Note> = HashMap::new();
        let mut letters = Vec::new();
        for record in found {
            match note(&record) {
                // The first one counts: what comes after it was written by nobody of ours.
                Some((of, note)) => drop(notes.entry((record.partition, of)).or_insert(note)),
                None => letters.push(DeadLetter {
                    aggregate: info.qualified_name(),
                    partition: record.partition,
                    offset: record.offset,
                    set_aside_at: record.at,
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                    note: None,
                }),
            }
        }
        for letter in &mut letters {
            letter.note = notes.remove(&(letter.partition, letter.offset));
        }
        letters.sort_by_key(|letter| (letter.partition, letter.offset));
        Ok(letters)
    }

    /// The value of one event record; `None` if there is nothing at that place (any more).
    pub fn event_value(
        &self,
        aggregate: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Vec<u8>>, DeadLetterError> {
        let topic = self.kafka.topics().events(self.aggregate(aggregate)?.info());
        let ends = self.ends(&topic, [partition])?;
        let found = self.read(&topic, Offset::Offset(offset), ends, Some(1))?;
        let record = found.into_iter().find(|record| record.offset == offset);
        Ok(record.and_then(|record| record.value))
    }

    /// What a value says, by whichever schema wrote it.
    pub fn content(&self, value: Option<&[u8]>) -> Result<Content, DeadLetterError> {
        let Some(value) = value else {
            return Ok(Content::Null);
        };
        let (id, mut datum) = match split_wire_format(value) {
            Ok(split) => split,
            Err(error) => return Ok(Content::Bytes(error.to_string())),
        };
        let registry = Registry::new(&self.kafka)?;
        let schema = Handle::current().block_on(registry.schema(id))?;
        let Some(schema) = schema else {
            return Ok(Content::Bytes(format!("the registry has no schema {id}")));
        };
        let reader = GenericDatumReader::builder(&schema).build();
        let read = reader.and_then(|reader| reader.read_value(&mut datum));
        let json = read.and_then(Value::try_from);
        Ok(match json {
            Ok(json) => Content::Avro {
                schema: id,
                json: without_nulls(json),
            },
            Err(error) => Content::Bytes(format!("not written by schema {id}: {error}")),
        })
    }

    fn ends(
        &self,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<HashMap<i32, i64>, DeadLetterError> {
        let seam: (&dyn Broker, &dyn Runtime) = (&KafkaBroker::new(&self.kafka), &Threads::current());
        ends(seam, topic, partitions, OPEN_MAX).map_err(|error| match error {
            FollowError::Kafka { source, .. } => self.away(source),
            other => DeadLetterError::Follow(other),
        })
    }

    /// Committed records from there on to the ends, or so many of them.
    fn read(
        &self,
        topic: &str,
        from: Offset,
        mut ends: HashMap<i32, i64>,
        most: Option<usize>,
    ) -> Result<Vec<Found>, DeadLetterError> {
        let mut config = self.kafka.client();
        config
            .set("group.id", format!("{}foldline-dlq", self.kafka.topic_prefix))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "50");
        let consumer = token::consumer(&config, Plain).map_err(|error| self.away(error))?;
        let mut list = TopicPartitionList::new();
        for partition in ends.keys() {
            let added = list.add_partition_offset(topic, *partition, from);
            added.map_err(|error| self.away(error))?;
        }
        consumer.assign(&list).map_err(|error| self.away(error))?;
        let mut found = Vec::new();
        let mut waiting_since = Instant::now();
        while !ends.is_empty() && most.is_none_or(|most| found.len() < most) {
            match consumer.poll(Duration::from_millis(20)) {
                Some(Ok(message)) => {
                    found.push(record(&message));
                    waiting_since = Instant::now();
                }
                Some(Err(error)) if waiting_since.elapsed() > READ_MAX => return Err(self.away(error)),
                None if waiting_since.elapsed() > READ_MAX => {
                    let late = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                    return Err(self.away(late));
                }
                Some(Err(_)) => {}
                None => forget_what_is_read(&consumer, topic, &mut ends),
            }
        }
        Ok(found)
    }
}

/// The ends, as they are now, of the partitions in which there is something. What is open below them is waited for: a note
/// may lie behind it.
fn ends(
    seam: (&dyn Broker, &dyn Runtime),
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    at_most: Duration,
) -> Result<HashMap<i32, i64>, FollowError> {
    let partitions = partitions.into_iter();
    let places: Vec<Place<'_>> = partitions.map(|partition| (topic, partition)).collect();
    let ranges = settled_ranges(seam, &places, at_most)?;
    let mut ends = HashMap::new();
    for ((_, partition), (low, high)) in places.into_iter().zip(ranges) {
        if low < high {
            ends.insert(partition, high);
        }
    }
    Ok(ends)
}

/// Leaves the partitions that have been read to their ends; markers of transactions count as read.
fn forget_what_is_read(consumer: &BaseConsumer<Plain>, topic: &str, ends: &mut HashMap<i32, i64>) {
    let Ok(positions) = consumer.position() else {
        return;
    };
    for element in positions.elements_for_topic(topic) {
        if let (Offset::Offset(at), Some(end)) = (element.offset(), ends.get(&element.partition()))
            && at >= *end
        {
            ends.remove(&element.partition());
        }
    }
}

fn record(message: &impl Message) -> Found {
    let headers = message.headers().map(|headers| {
        let all = headers.iter();
        all.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    Found {
        partition: message.partition(),
        offset: message.offset(),
        at: message.timestamp().to_millis().map(Timestamp),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// A note, and the offset of the letter that it is about.
fn note(record: &Found) -> Option<(i64, Note)> {
    let header = |name: &str| {
        let (_, value) = record.headers.iter().rfind(|(known, _)| known == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    };
    let of = header(NOTE_OF)?.parse().ok()?;
    let note = Note {
        done: Done::read(header(NOTE_DONE)?)?,
        reason: header(NOTE_REASON).unwrap_or_default().to_owned(),
        at: record.at,
    };
    Some((of, note))
}

/// A record has a field for each kind of payload, and one of them is set.
fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
