//! A partition, read once from one offset to another: for tools that judge a log, and keep no place in it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaSettings;
use crate::broker::{Quiet, is_of_one_broker};
use crate::security::token;

const REQUEST_MAX: Duration = Duration::from_secs(10);
/// A broker that sends nothing for so long is taken for gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads one partition at a time; committed records only. Blocking, as [`EventLog`](crate::EventLog) is.
pub struct Scan {
    consumer: BaseConsumer<Quiet>,
    servers: String,
    reading: Option<Reading>,
}

struct Reading {
    topic: String,
    partition: i32,
    end: i64,
}

/// A record as it lies in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedRecord {
    /// Its place in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// A partition cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Kafka does not answer.
    #[error("Kafka at {servers} does not answer: {reason}")]
    Unavailable {
        /// Who was asked.
        servers: String,
        /// What is wrong.
        reason: String,
    },
    /// The records that are asked for are not there.
    #[error(
        "{topic} partition {partition} is to be read from {from} to {to}, but holds {low} to {high}: records were \
         removed, or the topic was made anew"
    )]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where reading is to begin.
        from: i64,
        /// Where it is to end.
        to: i64,
        /// The first offset that is there.
        low: i64,
        /// The first one that is not there any more.
        high: i64,
    },
}

impl Scan {
    /// A reader; nothing is asked yet.
    pub fn new(kafka: &KafkaSettings) -> Result<Self, ScanError> {
        let mut config = kafka.client();
        config
            // librdkafka asks for a group, though nothing is subscribed to and nothing committed.
            .set("group.id", format!("{}foldline-scan", kafka.topic_prefix))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // How the end is found where the last records are markers of transactions, which are not handed out.
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20")
            .set("check.crcs", "true");
        let servers = kafka.bootstrap_servers.clone();
        let consumer = token::consumer(&config, Quiet::default());
        let consumer = consumer.map_err(|error: KafkaError| ScanError::Unavailable {
            servers: servers.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            consumer,
            servers,
            reading: None,
        })
    }

    /// The first offset of a partition that is there, and the end of what is committed.
    pub fn range(&self, topic: &str, partition: i32) -> Result<(i64, i64), ScanError> {
        let asked = self.consumer.fetch_watermarks(topic, partition, REQUEST_MAX);
        asked.map_err(|error| self.away(&error))
    }

    /// Begins to read a partition: the records from the offset `from` on, up to the one before `to`.
    pub fn begin(&mut self, topic: &str, partition: i32, from: i64, to: i64) -> Result<(), ScanError> {
        let (low, high) = self.range(topic, partition)?;
        if from < low || to > high {
            return Err(ScanError::OutOfRange {
                topic: topic.to_owned(),
                partition,
                from,
                to,
                low,
                high,
            });
        }
        self.reading = None;
        if from >= to {
            return self.consumer.unassign().map_err(|error| self.away(&error));
        }
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(topic, partition, Offset::Offset(from))
            .and_then(|()| self.consumer.assign(&place))
            .map_err(|error| self.away(&error))?;
        self.reading = Some(Reading {
            topic: topic.to_owned(),
            partition,
            end: to,
        });
        Ok(())
    }

    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<ScannedRecord>, ScanError> {
        let Some(reading) = &self.reading else {
            return Ok(None);
        };
        let asked_at = Instant::now();
        let record = loop {
            let left = SILENCE_MAX.saturating_sub(asked_at.elapsed());
            match self.consumer.poll(left) {
                None => return Err(self.silent(reading)),
                Some(Err(KafkaError::PartitionEOF(_))) => break None,
                // librdkafka connects again by itself, and tells of each try.
                Some(Err(error)) if (is_of_one_broker(&error) || are_all_away(&error)) && !left.is_zero() => {
                }
                Some(Err(error)) => return Err(self.away(&error)),
                Some(Ok(message)) if message.offset() >= reading.end => break None,
                Some(Ok(message)) => {
                    break Some(ScannedRecord {
                        offset: message.offset(),
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                    });
                }
            }
        };
        if record.is_none() {
            self.reading = None;
            self.consumer.unassign().map_err(|error| self.away(&error))?;
        }
        Ok(record)
    }

    fn silent(&self, reading: &Reading) -> ScanError {
        ScanError::Unavailable {
            servers: self.servers.clone(),
            reason: format!(
                "nothing of {} partition {} came for {} s",
                reading.topic,
                reading.partition,
                SILENCE_MAX.as_secs()
            ),
        }
    }

    fn away(&self, error: &KafkaError) -> ScanError {
        ScanError::Unavailable {
            servers: self.servers.clone(),
            reason: error.to_string(),
        }
    }
}

/// Whoever runs a tool would rather wait for a broker that comes back than begin again.
fn are_all_away(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::OperationTimedOut)
    )
}
