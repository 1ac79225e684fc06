//! Consumers that belong to no group: of committed records, and of the ends of partitions.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{Headers, Isolation, Message, Place, Reader, Watermarks};
use crate::KafkaSettings;
use crate::follower::{FollowError, kafka_error};
use crate::security::token;
use crate::seldom::Seldom;

const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How much of a partition a fetch may bring (by default 1 MB).
pub(crate) const FETCH: (&str, &str) = ("fetch.message.max.bytes", "262144");
/// How many KiB a consumer keeps that nobody has taken yet (by default 64 MB).
pub(super) const AHEAD: (&str, &str) = ("queued.max.messages.kbytes", "4096");

/// Says of a disturbance what is worth saying: that the end of a partition is reached is none.
#[derive(Default)]
pub(crate) struct Quiet(Seldom);

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token::fresh(file)
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // This callback is given it as a code, unlike `poll`.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.0.tell("reader of the log", &error, reason);
        }
    }
}

impl ConsumerContext for Quiet {}

/// A consumer of committed records, with a queue of its own.
fn log_consumer(
    kafka: &KafkaSettings,
    says_at_end: bool,
    fetch_wait_ms: u32,
) -> Result<BaseConsumer<Quiet>, FollowError> {
    let mut config = kafka.tuned(&[FETCH, AHEAD]);
    config
        // librdkafka asks for a group, though nothing is subscribed to and nothing committed.
        .set("group.id", format!("{}foldline-follower", kafka.topic_prefix))
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", says_at_end.to_string())
        .set("enable.auto.commit", "false")
        // What is not folded yet and is gone must not be skipped in silence.
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", fetch_wait_ms.to_string())
        .set("fetch.queue.backoff.ms", "2");
    token::consumer(&config, Quiet::default()).map_err(|source| kafka_error("the log", source))
}

/// A record as the seam has it.
pub(super) fn message<'a>(found: &'a BorrowedMessage<'_>) -> Message<'a> {
    Message {
        topic: found.topic(),
        partition: found.partition(),
        offset: found.offset(),
        key: found.key(),
        value: found.payload(),
        headers: found,
    }
}

impl Headers for BorrowedMessage<'_> {
    fn each(&self, take: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for header in self.headers().into_iter().flat_map(|headers| headers.iter()) {
            take(header.key, header.value);
        }
    }
}

pub(super) struct KafkaReader(BaseConsumer<Quiet>);

impl KafkaReader {
    pub(super) fn new(kafka: &KafkaSettings, from: &[(Place<'_>, i64)]) -> Result<Self, FollowError> {
        let consumer = log_consumer(kafka, false, 500)?;
        assign(&consumer, from.iter().copied())?;
        Ok(Self(consumer))
    }
}

impl Reader for KafkaReader {
    fn take(
        &mut self,
        at_most: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), KafkaError> {
        let mut next = self.0.poll(at_most);
        while let Some(polled) = next {
            match polled {
                Ok(found) if each(&message(&found)).is_break() => break,
                Ok(_) => {}
                Err(error) if is_of_one_broker(&error) => {}
                Err(error) => return Err(error),
            }
            next = self.0.poll(Duration::ZERO);
        }
        Ok(())
    }
}

/// Of several brokers, one that is away must not keep a reader from the others: librdkafka tells of each try to reach it, and
/// reads on where the partition's new leader is. When all are away it says so.
pub(crate) fn is_of_one_broker(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

enum Next<'a> {
    Record(BorrowedMessage<'a>),
    /// Of this partition. It is told again whenever a partition that has grown is read to its end.
    End(i32),
}

/// What comes next; an error if nothing does for a while.
fn next<'a>(consumer: &'a BaseConsumer<Quiet>, topic: &str) -> Result<Next<'a>, FollowError> {
    let asked_at = Instant::now();
    loop {
        let left = REQUEST_MAX.saturating_sub(asked_at.elapsed());
        match consumer.poll(left) {
            Some(Ok(found)) => return Ok(Next::Record(found)),
            Some(Err(KafkaError::PartitionEOF(partition))) => return Ok(Next::End(partition)),
            Some(Err(error)) if is_of_one_broker(&error) && !left.is_zero() => {}
            Some(Err(source)) => return Err(kafka_error(topic, source)),
            None => return Err(timed_out(topic)),
        }
    }
}

/// See [`Broker::read_to_ends`](super::Broker::read_to_ends).
pub(super) fn read_to_ends(
    kafka: &KafkaSettings,
    topic: &str,
    from: &HashMap<i32, i64>,
    each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
) -> Result<HashMap<i32, i64>, FollowError> {
    // One topic, because the client says of which partition it has reached the end, but not of which topic.
    let consumer = log_consumer(kafka, true, 5)?;
    assign(
        &consumer,
        from.iter()
            .map(|(partition, offset)| ((topic, *partition), *offset)),
    )?;
    let mut open: HashSet<i32> = from.keys().copied().collect();
    while !open.is_empty() {
        match next(&consumer, topic)? {
            Next::Record(found) => each(&message(&found))?,
            Next::End(partition) => {
                open.remove(&partition);
            }
        }
    }
    let mut ends = from.clone();
    let positions = consumer.position().map_err(|source| kafka_error(topic, source))?;
    for element in positions.elements() {
        // None, if nothing was there.
        if let Offset::Offset(offset) = element.offset() {
            ends.insert(element.partition(), offset);
        }
    }
    Ok(ends)
}

/// See [`Broker::read_range`](super::Broker::read_range).
pub(super) fn read_range(
    kafka: &KafkaSettings,
    place: Place<'_>,
    (from, to): (i64, i64),
    each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
) -> Result<(), FollowError> {
    let topic = place.0;
    let consumer = log_consumer(kafka, true, 5)?;
    let ends = consumer.fetch_watermarks(topic, place.1, REQUEST_MAX);
    let (_, end) = ends.map_err(|source| kafka_error(topic, source))?;
    if end < to {
        return Err(FollowError::Unsettled {
            topic: topic.to_owned(),
        });
    }
    assign(&consumer, std::iter::once((place, from)))?;
    loop {
        match next(&consumer, topic)? {
            Next::Record(found) if found.offset() < to => {
                each(&message(&found))?;
                if found.offset() == to - 1 {
                    return Ok(());
                }
            }
            // The last of the range may be no record, but the marker of a transaction.
            Next::Record(_) | Next::End(_) => return Ok(()),
        }
    }
}

fn assign<'a>(
    consumer: &BaseConsumer<Quiet>,
    from: impl Iterator<Item = (Place<'a>, i64)>,
) -> Result<(), FollowError> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in from {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .map_err(|source| kafka_error(topic, source))?;
    }
    let assigned = consumer.assign(&list);
    assigned.map_err(|source| kafka_error("the log", source))
}

fn timed_out(topic: &str) -> FollowError {
    let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut);
    kafka_error(topic, timed_out)
}

pub(super) struct KafkaWatermarks(BaseConsumer<Quiet>);

impl KafkaWatermarks {
    pub(super) fn new(kafka: &KafkaSettings, isolation: Isolation) -> Result<Self, FollowError> {
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let mut config = kafka.client();
        config.set("isolation.level", isolation);
        let consumer = token::consumer(&config, Quiet::default());
        Ok(Self(consumer.map_err(|source| kafka_error("the log", source))?))
    }

    fn offsets(&self, places: &[Place<'_>], which: Offset) -> Result<Vec<i64>, FollowError> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            // In this request, an end is a time.
            let added = list.add_partition_offset(topic, *partition, which);
            added.map_err(|source| kafka_error(topic, source))?;
        }
        let found = self.0.offsets_for_times(list, REQUEST_MAX);
        let found = found.map_err(|source| kafka_error("the log", source))?;
        let offset = |(topic, partition): &Place<'_>| {
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
}

impl Watermarks for KafkaWatermarks {
    fn lows(&self, places: &[Place<'_>]) -> Result<Vec<i64>, FollowError> {
        self.offsets(places, Offset::Beginning)
    }

    fn highs(&self, places: &[Place<'_>]) -> Result<Vec<i64>, FollowError> {
        self.offsets(places, Offset::End)
    }
}
