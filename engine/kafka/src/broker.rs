//! What the write path needs of Kafka, and no more. The worker and the follower know these traits alone: behind them
//! stands Kafka ([`KafkaBroker`]), or the simulated log of the tests.
//!
//! Errors are Kafka's own, because what is to be done about one depends on its code.

mod appender;
mod committer;
#[cfg(test)]
pub(crate) mod conformance;
mod group;
mod kafka;
mod member;
mod predecessors;
mod reader;
mod turns;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

pub(crate) use self::kafka::KafkaBroker;
pub(crate) use self::predecessors::end_what_is_open;
pub(crate) use self::reader::{FETCH, Quiet, is_of_one_broker};
use crate::follower::FollowError;
use crate::producer::{ClientError, TransactionError};

/// A partition of a topic.
pub(crate) type Place<'a> = (&'a str, i32);

/// A cluster, as one process sees it.
pub(crate) trait Broker: Send + Sync {
    /// Takes a seat in a consumer group, and the right to write in its name: whoever had the same name is fenced, and
    /// a transaction that it has left open is settled when this returns.
    fn join(&self, seat: Seat<'_>) -> Result<Box<dyn Member>, KafkaError>;

    /// A way to append single records, outside of transactions.
    fn appender(&self) -> Result<Box<dyn Appender>, KafkaError>;

    /// Reads committed records from these offsets on, as they come.
    fn follow(&self, from: &[(Place<'_>, i64)]) -> Result<Box<dyn Reader>, FollowError>;

    /// Hands over every committed record of a topic from the offsets on, to the ends as they are when they are reached.
    /// Returns the offset after the last one, for each partition.
    fn read_to_ends(
        &self,
        topic: &str,
        from: &HashMap<i32, i64>,
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<HashMap<i32, i64>, FollowError>;

    /// Hands over the committed records of a partition at these offsets: from the first one on, without the second. Fails as
    /// [unsettled](FollowError::Unsettled) while what is committed ends before.
    fn read_range(
        &self,
        place: Place<'_>,
        range: (i64, i64),
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<(), FollowError>;

    /// Says where partitions begin and end.
    fn watermarks(&self, isolation: Isolation) -> Result<Box<dyn Watermarks>, FollowError>;
}

/// What a [`Member`] is known by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat<'a> {
    /// The consumer group.
    pub(crate) group: &'a str,
    /// Names the group's member and its transactions: the same at every start.
    pub(crate) member: &'a str,
    pub(crate) topics: &'a [&'a str],
}

/// A member of a consumer group that writes in transactions, of which the group's offsets are a part. One thread owns
/// it.
pub(crate) trait Member: Send {
    /// Hands over what is there until it is told to stop; waits for the first record. What was assigned and not
    /// [resumed](Self::resume) yields nothing. Fails as [fenced](is_fenced) if another process has joined under our name.
    fn take(
        &mut self,
        at_most: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), KafkaError>;

    /// What the group has decided since this was asked last. It decides during [`take`](Self::take).
    fn changes(&mut self) -> Changes;

    /// Ends what is open in the name of those of this group whom it has given up: they were killed, or sleep, and are
    /// refused if they wake.
    fn fence_the_gone(&mut self) -> Result<(), KafkaError>;

    /// The offsets that the group has committed, in the order of the places; `None` before the first. Fails while a
    /// transaction is open that has offsets of them in it.
    fn committed(&self, places: &[Place<'_>]) -> Result<Vec<Option<i64>>, KafkaError>;

    /// Goes on at these offsets; at the first one that is there for `None`.
    fn seek(&mut self, to: &[(Place<'_>, Option<i64>)]) -> Result<(), KafkaError>;

    fn resume(&mut self, places: &[Place<'_>]) -> Result<(), KafkaError>;

    /// The end of what is committed in a partition.
    fn end_of(&self, place: Place<'_>) -> Result<i64, KafkaError>;

    fn begin(&mut self) -> Result<(), TransactionError>;

    fn send(&mut self, record: Record<'_>) -> Result<(), TransactionError>;

    /// Has what was sent committed together with the group's offsets. What becomes of it, [`end_commit`](Self::end_commit)
    /// says; until then nothing is begun.
    fn begin_commit(&mut self, offsets: &[(Place<'_>, i64)]) -> Result<(), TransactionError>;

    /// Waits for the commit that was begun. Refused, if the group has given the places to another.
    fn end_commit(&mut self) -> Result<(), TransactionError>;

    /// The two at once.
    #[cfg(test)]
    fn commit(&mut self, offsets: &[(Place<'_>, i64)]) -> Result<(), TransactionError> {
        self.begin_commit(offsets)?;
        self.end_commit()
    }

    /// The highest offset of the records that were sent with this number in the last transaction that has ended.
    fn delivered(&self, number: usize) -> Option<i64>;

    /// Starts anew under the same name: what was open is settled when this returns, and what is still under way of it
    /// is refused.
    fn renew(&mut self) -> Result<(), KafkaError>;

    /// Whether it has lost its place in the group and cannot say yet whether to another process, whom to fence would be
    /// wrong. [`take`](Self::take) finds out.
    fn is_in_doubt(&self) -> bool {
        false
    }
}

/// Topics and partitions that came and went.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) assigned: Vec<(String, i32)>,
    pub(crate) revoked: Vec<(String, i32)>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.assigned.is_empty() && self.revoked.is_empty()
    }

    /// Adds what has come and gone since.
    pub(crate) fn add(&mut self, later: Self) {
        self.assigned.retain(|place| !later.revoked.contains(place));
        self.revoked.extend(later.revoked);
        self.assigned.extend(later.assigned);
    }
}

/// Reads committed records.
pub(crate) trait Reader: Send {
    /// Hands over what is there until it is told to stop; waits for the first record.
    fn take(
        &mut self,
        at_most: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), KafkaError>;
}

/// Which end of a partition is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// The last stable offset: nothing below it is in an open transaction.
    ReadCommitted,
    /// The high watermark: the end of all there is.
    ReadUncommitted,
}

/// Where partitions begin and end, in the order of the places. One request asks for all of them.
pub(crate) trait Watermarks {
    /// The first offsets that are there.
    fn lows(&self, places: &[Place<'_>]) -> Result<Vec<i64>, FollowError>;

    /// The ends.
    fn highs(&self, places: &[Place<'_>]) -> Result<Vec<i64>, FollowError>;
}

/// The first offset that is there, and the end.
pub(crate) type Range = (i64, i64);

/// The ranges of partitions, in their order, whatever is open in them.
pub(crate) fn ranges(broker: &dyn Broker, places: &[Place<'_>]) -> Result<Vec<Range>, FollowError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let watermarks = broker.watermarks(Isolation::ReadUncommitted)?;
    let (lows, highs) = (watermarks.lows(places)?, watermarks.highs(places)?);
    Ok(lows.into_iter().zip(highs).collect())
}

/// Appends records.
pub(crate) trait Appender: Send + Sync {
    /// Returns when the record is in its topic for good. After an error it may be there all the same.
    fn append<'a>(
        &'a self,
        place: Place<'a>,
        key: &'a str,
        value: &'a [u8],
        headers: krafka::Headers,
    ) -> BoxFuture<'a, Result<(), AppendError>>;

    /// Asks for something small. Blocks until that is answered, or has not been for too long.
    fn is_there(&self, topic: Option<&str>, at_most: Duration) -> bool;
}

/// A record that was not appended, or of which nobody says that it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A record as it lies in its partition.
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Read only when they are asked for: most readers never do.
    pub(crate) headers: &'a dyn Headers,
}

/// The headers of a record.
pub(crate) trait Headers {
    fn each(&self, take: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// A record that is ready to be sent in a transaction.
pub(crate) struct Record<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: krafka::Headers,
    /// What [`Member::delivered`] is asked by.
    pub(crate) number: usize,
}

/// Another process has joined under our name.
pub(crate) fn is_fenced(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced)
    )
}

/// As its client takes it.
impl From<Record<'_>> for krafka::Record {
    fn from(record: Record<'_>) -> Self {
        let mut taken = Self::new(record.topic, Vec::new()).partition(record.partition);
        taken.key = record.key;
        taken.value = record.value;
        taken.headers = record.headers;
        taken
    }
}
