//! Becoming the one writer of a partition.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::intake::Taken;
use super::{RETRY_AFTER, Shared, Worker, WorkerError};
use crate::broker::Place;
use crate::catalog::Slice;
use crate::failpoints::reached;
use crate::follower::FollowError;

impl Worker {
    /// Acts on what the group has decided since the last batch. Nothing is in flight then.
    pub(super) fn follow_the_group(&mut self) -> Result<(), WorkerError> {
        self.let_go();
        let assigned = std::mem::take(&mut self.changes.assigned);
        let assigned = self.slices(&assigned);
        if !assigned.is_empty() {
            self.take_over(&assigned)?;
        }
        Ok(())
    }

    /// Leads no more what the group has taken away.
    pub(super) fn let_go(&mut self) {
        let revoked = std::mem::take(&mut self.changes.revoked);
        let revoked = self.slices(&revoked);
        if !revoked.is_empty() {
            tracing::info!(partitions = revoked.len(), "partitions given up");
            revoked.iter().for_each(|slice| {
                self.led.remove(slice);
            });
            self.cache.clear();
            self.checkpoints.end(&revoked);
            self.shared.follower.take_back(&self.post.member, &revoked);
        }
    }

    fn take_over(&mut self, slices: &[Slice]) -> Result<(), WorkerError> {
        let started_at = self.shared.runtime.now();
        loop {
            if self.shared.is_stopped.load(Ordering::SeqCst) {
                return Ok(());
            }
            self.fence_the_gone();
            match self.catch_up(slices) {
                Ok(()) => break,
                Err(WorkerError::Follow(FollowError::Stopped)) => return Ok(()),
                Err(WorkerError::Follow(error)) if error.is_passing() => {
                    tracing::warn!(%error, "cannot take partitions over yet");
                }
                Err(WorkerError::Kafka(error)) => {
                    tracing::warn!(%error, "cannot take partitions over yet");
                }
                Err(error) => return Err(error),
            }
            self.shared.runtime.sleep(RETRY_AFTER);
        }
        let shared = Arc::clone(&self.shared);
        self.member.resume(&places(&shared, slices))?;
        self.led.extend(slices);
        self.has_joined.store(true, Ordering::SeqCst);
        let took = self.shared.runtime.now() - started_at;
        tracing::info!(partitions = slices.len(), ?took, "partitions taken over");
        Ok(())
    }

    /// So that we need not wait until Kafka gives up a transaction that nobody will end.
    fn fence_the_gone(&mut self) {
        if let Err(error) = self.member.fence_the_gone() {
            tracing::warn!(%error, "cannot end what a lost member may have left open; Kafka will");
        }
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
        let shared = Arc::clone(&self.shared);
        let places = places(&shared, slices);
        let committed = self.member.committed(&places)?;
        reached("offsets-asked");
        // Whose events were committed by a predecessor, their keys were too, and no second one may be made.
        self.shared.catalog.keys.catch_up()?;
        self.shared.follower.hand_over(&self.post.member, slices)?;
        reached("caught-up");
        let to: Vec<(Place<'_>, Option<i64>)> = places.into_iter().zip(committed).collect();
        self.member.seek(&to)?;
        self.checkpoints.begin(&self.shared, slices);
        Ok(())
    }

    /// Drops what came from partitions that are not ours (any more): their writer reads it again.
    pub(super) fn only_led(&self, mut batch: Vec<Taken>) -> Vec<Taken> {
        batch.retain(|taken| self.led.contains(&taken.slice));
        batch
    }

    pub(super) fn slices(&self, partitions: &[(String, i32)]) -> Vec<Slice> {
        let slice = |(topic, partition): &(String, i32)| {
            let installed = self.shared.catalog.by_command_topic(topic)?;
            Some(installed.slice(*partition))
        };
        partitions.iter().filter_map(slice).collect()
    }
}

/// Where the commands come from.
fn places<'a>(shared: &'a Shared, slices: &[Slice]) -> Vec<Place<'a>> {
    slices
        .iter()
        .map(|slice| shared.catalog.commands(*slice))
        .collect()
}
