//! Folding partitions up to their ends: before a worker leads them, and when a no must rest on the newest
//! states.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::catalog::Slice;
use crate::fold::Folding;
use crate::follower::{FollowError, Follower, Quiet, kafka_error, log_consumer, topic_of};
use crate::producer::TRANSACTION_MAX;
use crate::snapshots::read::offsets;
use crate::store::Log;

const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Records that are folded between two writes to the store.
const BATCH_MAX: usize = 10_000;

impl Follower {
    /// Folds both logs of the partitions up to their ends as of now.
    pub(crate) fn catch_up(&self, slices: &[Slice]) -> Result<(), FollowError> {
        let both = slices
            .iter()
            .flat_map(|slice| [(*slice, Log::Events), (*slice, Log::Results)]);
        let logs: Vec<(Slice, Log)> = both.collect();
        let behind = self.wait_for_stable_ends(&logs)?;
        let mut topics: HashMap<(usize, Log), Vec<Slice>> = HashMap::new();
        for (slice, log) in behind {
            topics.entry((slice.index, log)).or_default().push(slice);
        }
        // A consumer for each topic, because the client says of which partition it has reached the end, but not
        // of which topic.
        std::thread::scope(|scope| {
            let readers = topics.iter().map(|((_, log), slices)| {
                let read = || self.catch_up_topic(slices, *log);
                scope.spawn(read)
            });
            let readers: Vec<_> = readers.collect();
            let ended = readers
                .into_iter()
                .map(|reader| reader.join().expect("folding does not panic"));
            ended.collect::<Result<Vec<()>, _>>()
        })?;
        Ok(())
    }

    /// Waits until no transaction is open below the ends as they are now. Returns what is not folded up to its
    /// end.
    ///
    /// A predecessor's transaction may be committed and not yet marked so in a partition: what it wrote there
    /// lies above the last stable offset, which is where a committed reader thinks the end is.
    fn wait_for_stable_ends(&self, logs: &[(Slice, Log)]) -> Result<Vec<(Slice, Log)>, FollowError> {
        if logs.is_empty() {
            return Ok(Vec::new());
        }
        let uncommitted = self
            .kafka
            .client()
            .set("isolation.level", "read_uncommitted")
            .create_with_context(Quiet::default());
        let uncommitted: BaseConsumer<Quiet> =
            uncommitted.map_err(|source| kafka_error("the log", source))?;
        let high = self.ends(&uncommitted, logs)?;
        let mut behind = Vec::new();
        for ((slice, log), high) in logs.iter().zip(&high) {
            let position = self.store.position(self.catalog.get(*slice), *slice, *log)?;
            if position.next < *high {
                behind.push((*slice, *log));
            }
        }
        let committed = log_consumer(&self.kafka, false, 500)?;
        let started_at = Instant::now();
        while self
            .ends(&committed, logs)?
            .iter()
            .zip(&high)
            .any(|(stable, high)| stable < high)
        {
            if started_at.elapsed() > TRANSACTION_MAX * 3 {
                tracing::warn!(waited = ?started_at.elapsed(), "somebody's transaction is open for a long time");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(behind)
    }

    /// The ends of the partitions, as the consumer's isolation level has them.
    fn ends(&self, consumer: &BaseConsumer<Quiet>, logs: &[(Slice, Log)]) -> Result<Vec<i64>, FollowError> {
        let place = |(slice, log): &(Slice, Log)| (topic_of(self.catalog.get(*slice), *log), slice.partition);
        let places: Vec<(&str, i32)> = logs.iter().map(place).collect();
        offsets(consumer, &places, Offset::End)
    }

    fn catch_up_topic(&self, slices: &[Slice], log: Log) -> Result<(), FollowError> {
        let Some(first) = slices.first() else {
            return Ok(());
        };
        let topic = topic_of(self.catalog.get(*first), log);
        let consumer = log_consumer(&self.kafka, true, 5)?;
        let assigned = self.assign_some(&consumer, slices.iter().map(|slice| (*slice, log)))?;
        let mut behind: HashSet<i32> = slices.iter().map(|slice| slice.partition).collect();
        let mut folding = Folding::new(self);
        let (started_at, mut count) = (Instant::now(), 0_usize);
        while !behind.is_empty() {
            match consumer.poll(REQUEST_MAX) {
                Some(Ok(message)) => {
                    let Some((slice, log)) = assigned.find(&message) else {
                        continue;
                    };
                    folding.fold(slice, log, &message)?;
                    count += 1;
                    if count.is_multiple_of(BATCH_MAX) {
                        folding.apply()?;
                        folding = Folding::new(self);
                        tracing::info!(topic, folded = count, "catching up");
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    behind.remove(&partition);
                }
                Some(Err(source)) => return Err(kafka_error(topic, source)),
                None => {
                    let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut);
                    return Err(kafka_error(topic, timed_out));
                }
            }
        }
        folding.apply()?;
        tracing::debug!(topic, folded = count, took = ?started_at.elapsed(), "caught up");
        Ok(())
    }
}
