//! Where a transaction commits: events, results, dead letters, snapshots that are due and the commands' offsets, all
//! or nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::Offset;

use super::counts::Counts;
use super::decide::{Decided, Decision};
use super::intake::Taken;
use super::records::{Record, number, records};
use super::{BatchError, Worker};
use crate::catalog::Slice;
use crate::failpoints::reached;
use crate::fold::is_remembered;
use crate::store::{Log, Position, StoreError};

const REQUEST_MAX: Duration = Duration::from_secs(10);

impl Worker {
    /// Commits what was decided, then lets it be known: in the local store, and to who waits for it.
    pub(super) fn commit(&mut self, batch: &[Taken], mut decided: Decided) -> Result<(), BatchError> {
        let started_at = Instant::now();
        reached("decided");
        // All are written before the transaction begins: what cannot be written need not be aborted.
        let shared = Arc::clone(&self.shared);
        let mut records = records(&shared, batch, &mut decided)?;
        let consumer = &self.consumer;
        let end_of = |topic: &str, partition| Ok(consumer.fetch_watermarks(topic, partition, REQUEST_MAX)?.1);
        records.extend(self.checkpoints.records(&shared, batch.len(), end_of)?);
        if records.is_empty() {
            return Ok(());
        }
        let offsets = self.offsets(batch)?;
        let group = self.consumer.group_metadata();
        let group = group.ok_or(KafkaError::Canceled)?;
        self.producer.begin()?;
        reached("begun");
        for Record {
            topic,
            partition,
            key,
            value,
            headers,
            number,
        } in records
        {
            let mut record = BaseRecord::with_opaque_to(topic, number).partition(partition);
            record.key = key.as_deref();
            record.payload = value.as_deref();
            record.headers = headers;
            self.producer.send(record)?;
        }
        reached("records-sent");
        self.producer.commit(&offsets, &group)?;
        reached("committed");
        metrics::histogram!("foldline_append_transaction_duration_seconds").record(started_at.elapsed());
        self.make_known(batch, decided)?;
        let producer = &self.producer;
        self.checkpoints
            .committed(&shared, |number| producer.delivered(number))?;
        Ok(())
    }

    fn offsets(&self, batch: &[Taken]) -> Result<TopicPartitionList, KafkaError> {
        let mut next: HashMap<Slice, i64> = HashMap::new();
        for taken in batch {
            next.insert(taken.slice, taken.offset + 1);
        }
        if let Some(slice) = self.checkpoints.slice().filter(|_| next.is_empty()) {
            // Snapshots without commands: the same offset again, because it is with the offsets that a worker which
            // has lost its partitions is refused.
            next.insert(slice, self.committed_offset(slice)?);
        }
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (slice, offset) in next {
            let topic = &self.shared.catalog.get(slice).commands.name;
            list.add_partition_offset(topic, slice.partition, Offset::Offset(offset))?;
        }
        Ok(list)
    }

    fn committed_offset(&self, slice: Slice) -> Result<i64, KafkaError> {
        let topic = &self.shared.catalog.get(slice).commands.name;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, slice.partition);
        let committed = self.consumer.committed_offsets(list, REQUEST_MAX)?;
        match committed
            .find_partition(topic, slice.partition)
            .map(|element| element.offset())
        {
            Some(Offset::Offset(offset)) => Ok(offset),
            // The first command is still to come.
            _ => Ok(0),
        }
    }

    fn make_known(&mut self, batch: &[Taken], decided: Decided) -> Result<(), StoreError> {
        let catalog = &self.shared.catalog;
        let mut changes = self.shared.store.changes();
        let mut commands: HashMap<(Slice, Log), i64> = HashMap::new();
        for (taken, decision) in batch.iter().zip(&decided.decisions) {
            let Decision::Made(made) = decision else { continue };
            commands.insert((taken.slice, Log::Results), taken.offset);
            if !made.events.is_empty() {
                commands.insert((taken.slice, Log::Events), taken.offset);
            }
            if is_remembered(&made.result) {
                changes.result(catalog.get(taken.slice), taken.slice, &made.result);
            }
        }
        for ((index, id), known) in &decided.states {
            changes.state(&catalog.types()[*index], id, known);
        }
        let mut results = HashMap::new();
        for ((slice, log), command_offset) in commands {
            // Each had a record in this transaction, and each record has its report.
            let Some(offset) = self.producer.delivered(number(slice, log)) else {
                continue;
            };
            let position = Position {
                next: offset + 1,
                command_offset,
            };
            changes.position(catalog.get(slice), slice, log, position);
            if log == Log::Results {
                results.insert(slice, position);
            }
        }
        changes.apply()?;
        reached("stored");
        self.checkpoints.note(batch, &decided, &results);
        self.cache_and_answer(batch, decided);
        Ok(())
    }

    fn cache_and_answer(&mut self, batch: &[Taken], decided: Decided) {
        for (key, known) in decided.states {
            self.cache.put(key, known);
        }
        reached("before-answer");
        let mut counts = Counts::default();
        for (taken, decision) in batch.iter().zip(&decided.decisions) {
            match decision {
                Decision::Made(made) => {
                    self.shared.waiters.answer(&made.result);
                    counts.decided(taken.slice.index, made);
                }
                Decision::DeadLetter => counts.dead_letter(taken.slice.index),
            }
        }
        counts.tell(&self.shared.catalog);
    }
}
