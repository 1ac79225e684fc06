//! Becoming the one writer of a partition.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::intake::Taken;
use super::{RETRY_AFTER, Worker, WorkerError};
use crate::catalog::Slice;
use crate::failpoints::reached;

const REQUEST_MAX: Duration = Duration::from_secs(10);

impl Worker {
    /// Acts on what the group has decided since the last batch.
    pub(super) fn follow_the_group(&mut self) -> Result<(), WorkerError> {
        let changes = self.consumer.context().take_changes();
        let revoked = self.slices(&changes.revoked);
        if !revoked.is_empty() {
            tracing::info!(partitions = revoked.len(), "partitions given up");
            revoked.iter().for_each(|slice| {
                self.led.remove(slice);
            });
            self.cache.clear();
            self.checkpoints.end(&revoked);
            self.shared.follower.take_back(&revoked);
        }
        let assigned = self.slices(&changes.assigned);
        if !assigned.is_empty() {
            self.take_over(&assigned)?;
        }
        Ok(())
    }

    fn take_over(&mut self, slices: &[Slice]) -> Result<(), WorkerError> {
        let started_at = Instant::now();
        loop {
            if self.shared.is_stopped.load(Ordering::SeqCst) {
                return Ok(());
            }
            match self.catch_up(slices) {
                Ok(()) => break,
                Err(WorkerError::Follow(error)) if error.is_passing() => {
                    tracing::warn!(%error, "cannot take partitions over yet");
                }
                Err(WorkerError::Kafka(error)) => {
                    tracing::warn!(%error, "cannot take partitions over yet");
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(RETRY_AFTER);
        }
        self.consumer.resume(&self.list(slices, |_| None)?)?;
        self.led.extend(slices);
        self.has_joined.store(true, Ordering::SeqCst);
        tracing::info!(partitions = slices.len(), took = ?started_at.elapsed(), "partitions taken over");
        Ok(())
    }

    /// Brings the local store to the end of the log, and the consumer to the first command that is not decided.
    ///
    /// In this order, on which the single writer rests: the group's offsets are asked for first, and Kafka
    /// gives them only when no predecessor has a transaction with offsets open. From then on none can commit:
    /// its generation is over. So what lies below the ends that are read next is all there will ever be.
    pub(super) fn catch_up(&mut self, slices: &[Slice]) -> Result<(), WorkerError> {
        if slices.is_empty() {
            return Ok(());
        }
        let committed = self
            .consumer
            .committed_offsets(self.list(slices, |_| None)?, REQUEST_MAX)?;
        reached("offsets-asked");
        self.shared.follower.hand_over(slices)?;
        reached("caught-up");
        let offset = |slice: Slice| {
            let topic = &self.shared.catalog.get(slice).commands.name;
            let found = committed
                .find_partition(topic, slice.partition)
                .map(|element| element.offset());
            match found {
                Some(Offset::Offset(offset)) => Some(Offset::Offset(offset)),
                _ => Some(Offset::Beginning),
            }
        };
        self.seek(self.list(slices, offset)?)?;
        self.checkpoints.begin(&self.shared, slices);
        Ok(())
    }

    /// A partition that was just assigned cannot be sought before its fetcher has started.
    fn seek(&self, to: TopicPartitionList) -> Result<(), WorkerError> {
        let started_at = Instant::now();
        loop {
            let sought = self.consumer.seek_partitions(to.clone(), REQUEST_MAX);
            let failed = sought.and_then(|list| {
                list.elements()
                    .iter()
                    .try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
            });
            match failed {
                Ok(()) => return Ok(()),
                Err(error) if started_at.elapsed() > REQUEST_MAX => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Drops what came from partitions that are not ours (any more): their writer reads it again.
    pub(super) fn only_led(&self, mut batch: Vec<Taken>) -> Vec<Taken> {
        batch.retain(|taken| self.led.contains(&taken.slice));
        batch
    }

    fn slices(&self, partitions: &[(String, i32)]) -> Vec<Slice> {
        let slice = |(topic, partition): &(String, i32)| {
            let installed = self.shared.catalog.by_command_topic(topic)?;
            Some(installed.slice(*partition))
        };
        partitions.iter().filter_map(slice).collect()
    }

    fn list(
        &self,
        slices: &[Slice],
        offset: impl Fn(Slice) -> Option<Offset>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(slices.len());
        for slice in slices {
            let topic = &self.shared.catalog.get(*slice).commands.name;
            match offset(*slice) {
                Some(offset) => list.add_partition_offset(topic, slice.partition, offset)?,
                None => {
                    list.add_partition(topic, slice.partition);
                }
            }
        }
        Ok(list)
    }
}
