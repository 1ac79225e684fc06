//! Folding partitions up to their ends: before a worker leads them, and when a no must rest on the newest
//! states.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::broker::{Isolation, Place};
use crate::catalog::Slice;
use crate::fold::Folding;
use crate::follower::{FollowError, Follower, topic_of};
use crate::producer::TRANSACTION_MAX;
use crate::runtime::Job;
use crate::store::Log;

/// Records that are folded between two writes to the store.
const BATCH_MAX: usize = 10_000;

/// How often it is said that a transaction stays open.
const SAY_AGAIN: Duration = Duration::from_secs(10);

impl Follower {
    /// Folds both logs of the partitions up to their ends as of now.
    pub(crate) fn catch_up(&self, slices: &[Slice]) -> Result<(), FollowError> {
        let both = slices
            .iter()
            .flat_map(|slice| [(*slice, Log::Events), (*slice, Log::Results)]);
        let logs: Vec<(Slice, Log)> = both.collect();
        let behind = self.wait_for_stable_ends(&logs)?;
        let mut topics: BTreeMap<(usize, Log), Vec<Slice>> = BTreeMap::new();
        for (slice, log) in behind {
            topics.entry((slice.index, log)).or_default().push(slice);
        }
        let read = topics
            .into_iter()
            .map(|((_, log), slices)| -> Job<'_> { Box::new(move || self.catch_up_topic(&slices, log)) });
        self.runtime.side_by_side(read.collect())
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
        let place = |(slice, log): &(Slice, Log)| (topic_of(self.catalog.get(*slice), *log), slice.partition);
        let places: Vec<Place<'_>> = logs.iter().map(place).collect();
        let high = self
            .broker
            .watermarks(Isolation::ReadUncommitted)?
            .highs(&places)?;
        let mut behind = Vec::new();
        for ((slice, log), high) in logs.iter().zip(&high) {
            let position = self.store.position(self.catalog.get(*slice), *slice, *log)?;
            if position.next < *high {
                behind.push((*slice, *log));
            }
        }
        let stable = self.broker.watermarks(Isolation::ReadCommitted)?;
        let mut said_at = self.runtime.now() + TRANSACTION_MAX * 2;
        loop {
            let ends = stable.highs(&places)?;
            let mut open = places.iter().zip(ends.iter().zip(&high));
            let Some(((topic, partition), (end, _))) = open.find(|(_, (end, high))| end < high) else {
                return Ok(behind);
            };
            if self.is_ending() {
                return Err(FollowError::Stopped);
            }
            let now = self.runtime.now();
            if now > said_at + SAY_AGAIN {
                said_at = now;
                // Each of ours is given up by Kafka after TRANSACTION_MAX, whatever becomes of its writer.
                tracing::warn!(
                    topic,
                    partition,
                    offset = end,
                    "a transaction stays open, and nobody reads what follows it: if its writer is gone, Kafka has lost its end"
                );
            }
            self.runtime.sleep(Duration::from_millis(2));
        }
    }

    fn catch_up_topic(&self, slices: &[Slice], log: Log) -> Result<(), FollowError> {
        let Some(first) = slices.first() else {
            return Ok(());
        };
        let installed = self.catalog.get(*first);
        let topic = topic_of(installed, log);
        let mut from = HashMap::new();
        for slice in slices {
            from.insert(slice.partition, self.store.position(installed, *slice, log)?.next);
        }
        let mut folding = Folding::new(self);
        let (started_at, mut count) = (self.runtime.now(), 0_usize);
        self.broker.read_to_ends(topic, &from, &mut |message| {
            folding.fold(installed.slice(message.partition), log, message)?;
            count += 1;
            if count.is_multiple_of(BATCH_MAX) {
                std::mem::replace(&mut folding, Folding::new(self)).apply()?;
                tracing::info!(topic, folded = count, "catching up");
            }
            Ok(())
        })?;
        folding.apply()?;
        let took = self.runtime.now() - started_at;
        tracing::debug!(topic, folded = count, ?took, "caught up");
        Ok(())
    }
}
