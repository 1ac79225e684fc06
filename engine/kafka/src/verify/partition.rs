use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldline_core::{CommandResult, EventHash, EventMeta, Lying, PartitionReport, Verifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::ends::{Offsets, error};
use super::{Counts, Topics, VerifyError};
use crate::broker::Quiet;
use crate::security::token;
use crate::{KafkaSettings, ReadError, RegistryError};

/// Nothing has come for that long: it will not come.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads a partition of events and that of its results, side by side.
pub(super) struct Pair {
    offsets: Offsets,
    events: BaseConsumer<Quiet>,
    results: BaseConsumer<Quiet>,
}

/// One of the two.
struct Side<'a> {
    consumer: &'a BaseConsumer<Quiet>,
    topic: &'a str,
    partition: i32,
    end: i64,
    /// The offset that comes next; at the end, all has been read.
    next: i64,
    /// The command of the last record.
    command: i64,
}

impl Pair {
    pub(super) fn open(kafka: &KafkaSettings) -> Result<Self, VerifyError> {
        let consumer = || {
            let mut config = kafka.client();
            // librdkafka asks for a group, though nothing is subscribed to and nothing committed.
            config
                .set("group.id", format!("{}foldline-verify", kafka.topic_prefix))
                .set("isolation.level", "read_committed")
                .set("enable.partition.eof", "true")
                .set("enable.auto.commit", "false")
                .set("auto.offset.reset", "error")
                .set("fetch.wait.max.ms", "5")
                .set("fetch.queue.backoff.ms", "2");
            token::consumer(&config, Quiet::default()).map_err(|source| error("the log", source))
        };
        Ok(Self {
            offsets: Offsets::open(kafka)?,
            events: consumer()?,
            results: consumer()?,
        })
    }

    pub(super) fn verify(
        &self,
        topics: &Topics,
        partition: i32,
        counts: &Counts,
    ) -> Result<PartitionReport, VerifyError> {
        let ends = self
            .offsets
            .fix(&topics.events.name, &topics.results.name, partition)?;
        let (events, results) = topics.anchors(partition);
        let mut verifier = Verifier::new(partition, topics.partitions, events, results);
        let mut events = self.side(&self.events, &topics.events.name, partition, ends.events)?;
        let mut results = self.side(&self.results, &topics.results.name, partition, ends.results)?;
        while !(events.is_done() && results.is_done()) {
            // Whichever is behind, so that little has to be remembered of a command until its other half comes.
            if results.is_done() || (!events.is_done() && events.command <= results.command) {
                if let Some(message) = events.poll()? {
                    events.command = take_event(topics, &mut verifier, &message)?.unwrap_or(events.command);
                    counts.events.fetch_add(1, Ordering::Relaxed);
                }
            } else if let Some(message) = results.poll()? {
                let is_covered = message.offset() < ends.covered;
                let command = take_result(topics, &mut verifier, &message, is_covered)?;
                results.command = command.unwrap_or(results.command);
                counts.results.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(verifier.finish(ends.events, ends.results))
    }

    fn side<'a>(
        &self,
        consumer: &'a BaseConsumer<Quiet>,
        topic: &'a str,
        partition: i32,
        end: i64,
    ) -> Result<Side<'a>, VerifyError> {
        let (first, _) = self.offsets.written(topic, partition)?;
        let mut list = TopicPartitionList::with_capacity(1);
        let added = list.add_partition_offset(topic, partition, Offset::Offset(first));
        added
            .and_then(|()| consumer.assign(&list))
            .map_err(|source| error(topic, source))?;
        Ok(Side {
            consumer,
            topic,
            partition,
            end,
            next: first,
            command: -1,
        })
    }
}

impl<'a> Side<'a> {
    fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// The next record below the end; `None` if there is none.
    fn poll(&mut self) -> Result<Option<BorrowedMessage<'a>>, VerifyError> {
        let since = Instant::now();
        while since.elapsed() < SILENCE_MAX {
            match self.consumer.poll(Duration::from_secs(1)) {
                // What comes of the partition before it was read for nothing.
                Some(Ok(message))
                    if message.topic() != self.topic || message.partition() != self.partition => {}
                Some(Ok(message)) => {
                    self.next = message.offset() + 1;
                    let is_below = message.offset() < self.end;
                    return Ok(is_below.then_some(message));
                }
                // No transaction is open below the end: what is left below it are markers.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.next = self.end;
                    return Ok(None);
                }
                Some(Err(problem)) => tracing::warn!(topic = self.topic, %problem, "cannot read on yet"),
                None => {}
            }
        }
        Err(VerifyError::Stuck {
            topic: self.topic.to_owned(),
            partition: self.partition,
            offset: self.next,
        })
    }
}

/// Returns where the command of the event lies.
fn take_event(
    topics: &Topics,
    verifier: &mut Verifier,
    message: &BorrowedMessage<'_>,
) -> Result<Option<i64>, RegistryError> {
    let (codec, reader) = (topics.aggregate.event_codec(), &topics.events.reader);
    let value = message.payload().unwrap_or_default();
    let read = readable(reader.meta::<EventMeta>(codec, value))?;
    let is_chained = match &read {
        Ok(meta) if meta.previous_hash.is_none() => {
            readable(reader.knows(codec, value, "previous_hash"))?.unwrap_or_default()
        }
        _ => true,
    };
    verifier.event(lying(message, value, &read), is_chained);
    Ok(read.ok().map(|meta| meta.command_offset))
}

/// Returns where the command of the result lies.
fn take_result(
    topics: &Topics,
    verifier: &mut Verifier,
    message: &BorrowedMessage<'_>,
    is_covered: bool,
) -> Result<Option<i64>, RegistryError> {
    let value = message.payload().unwrap_or_default();
    let read = readable(
        topics
            .results
            .reader
            .meta::<CommandResult>(&topics.result_codec, value),
    )?;
    verifier.result(lying(message, value, &read), is_covered);
    Ok(read.ok().map(|result| result.command_offset))
}

/// That the registry is away says nothing of the record.
fn readable<T>(read: Result<T, ReadError>) -> Result<Result<T, String>, RegistryError> {
    match read {
        Err(ReadError::Registry(away)) => Err(away),
        read => Ok(read.map_err(|problem| problem.to_string())),
    }
}

fn lying<'a, T>(message: &'a BorrowedMessage<'_>, value: &[u8], read: &'a Result<T, String>) -> Lying<'a, T> {
    Lying {
        offset: message.offset(),
        key: message.key().unwrap_or_default(),
        hash: EventHash::of(value),
        record: read.as_ref().map_err(String::as_str),
    }
}
