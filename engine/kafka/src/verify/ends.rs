use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::VerifyError;
use crate::KafkaSettings;
use crate::broker::Quiet;
use crate::producer::TRANSACTION_MAX;
use crate::security::token;

const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Asks for the ends of partitions.
pub(super) struct Offsets {
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer<Quiet>,
}

/// Up to where a partition of events and that of its results are read.
///
/// Each event below `events` has its result below `results`, and each result below `covered` has its events below
/// `events`: a transaction is seen in one partition a moment before it is in the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) events: i64,
    pub(super) results: i64,
    pub(super) covered: i64,
}

impl Offsets {
    pub(super) fn open(kafka: &KafkaSettings) -> Result<Self, VerifyError> {
        let consumer = |isolation: &str| {
            let mut config = kafka.client();
            config.set("isolation.level", isolation);
            token::consumer(&config, Quiet::default()).map_err(|source| error("the log", source))
        };
        Ok(Self {
            committed: consumer("read_committed")?,
            uncommitted: consumer("read_uncommitted")?,
        })
    }

    pub(super) fn partitions(&self, topic: &str) -> Result<i32, VerifyError> {
        let metadata = self.committed.fetch_metadata(Some(topic), REQUEST_MAX);
        let metadata = metadata.map_err(|source| error(topic, source))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |found| found.partitions().len());
        match i32::try_from(count) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(error(
                topic,
                KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition),
            )),
        }
    }

    /// The first offset, and the one after the last record, committed or not.
    pub(super) fn written(&self, topic: &str, partition: i32) -> Result<(i64, i64), VerifyError> {
        let found = self.uncommitted.fetch_watermarks(topic, partition, REQUEST_MAX);
        found.map_err(|source| error(topic, source))
    }

    fn stable(&self, topic: &str, partition: i32) -> Result<i64, VerifyError> {
        let found = self.committed.fetch_watermarks(topic, partition, REQUEST_MAX);
        Ok(found.map_err(|source| error(topic, source))?.1)
    }

    /// The order is what makes it right: see [`Ends`].
    pub(super) fn fix(&self, events: &str, results: &str, partition: i32) -> Result<Ends, VerifyError> {
        // Nothing comes of it but a fresh token, which a client is given when it is polled: a log may take longer than
        // one is good for.
        for consumer in [&self.committed, &self.uncommitted] {
            let _ = consumer.poll(Duration::ZERO);
        }
        let covered = self.stable(results, partition)?;
        Ok(Ends {
            events: self.settled(events, partition)?,
            results: self.settled(results, partition)?,
            covered,
        })
    }

    /// The end as of now, once no transaction is open below it.
    fn settled(&self, topic: &str, partition: i32) -> Result<i64, VerifyError> {
        let (_, end) = self.written(topic, partition)?;
        let started_at = Instant::now();
        loop {
            let offset = self.stable(topic, partition)?;
            if offset >= end {
                return Ok(end);
            }
            if started_at.elapsed() > TRANSACTION_MAX * 3 {
                let topic = topic.to_owned();
                return Err(VerifyError::Stuck {
                    topic,
                    partition,
                    offset,
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(super) fn error(topic: &str, source: KafkaError) -> VerifyError {
    let topic = topic.to_owned();
    VerifyError::Kafka { topic, source }
}
