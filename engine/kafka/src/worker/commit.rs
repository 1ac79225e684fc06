//! Where a transaction commits: events, results, dead letters, snapshots that are due and the commands' offsets, all
//! or nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rdkafka::error::KafkaError;

use super::counts::Counts;
use super::decide::{Decided, Decision};
use super::intake::Taken;
use super::records::{number, records};
use super::{BatchError, Worker};
use crate::broker::Place;
use crate::catalog::Slice;
use crate::failpoints::reached;
use crate::fold::is_remembered;
use crate::store::{Log, Position, StoreError};

impl Worker {
    /// Commits what was decided, then lets it be known: in the local store, and to who waits for it.
    pub(super) fn commit(&mut self, batch: &[Taken], mut decided: Decided) -> Result<(), BatchError> {
        let started_at = self.shared.runtime.now();
        reached("decided");
        // All are written before the transaction begins: what cannot be written need not be aborted.
        let shared = Arc::clone(&self.shared);
        let mut records = records(&shared, batch, &mut decided)?;
        let member = &self.member;
        let end_of = |topic: &str, partition| member.end_of((topic, partition));
        records.extend(self.checkpoints.records(&shared, batch.len(), end_of)?);
        if records.is_empty() {
            return Ok(());
        }
        let offsets = self.offsets(batch)?;
        self.member.begin()?;
        reached("begun");
        for record in records {
            self.member.send(record)?;
        }
        reached("records-sent");
        let place = |(slice, offset): (Slice, i64)| (shared.catalog.commands(slice), offset);
        let offsets: Vec<(Place<'_>, i64)> = offsets.into_iter().map(place).collect();
        self.member.commit(&offsets)?;
        reached("committed");
        metrics::histogram!("foldline_append_transaction_duration_seconds")
            .record(self.shared.runtime.now() - started_at);
        self.make_known(batch, decided)?;
        let member = &self.member;
        self.checkpoints
            .committed(&shared, |number| member.delivered(number))?;
        Ok(())
    }

    /// Where the group goes on after this batch.
    fn offsets(&self, batch: &[Taken]) -> Result<BTreeMap<Slice, i64>, KafkaError> {
        let mut next: BTreeMap<Slice, i64> = BTreeMap::new();
        for taken in batch {
            next.insert(taken.slice, taken.offset + 1);
        }
        if let Some(slice) = self.checkpoints.slice().filter(|_| next.is_empty()) {
            // Snapshots without commands: the same offset again, because it is with the offsets that a worker which
            // has lost its partitions is refused.
            let place = self.shared.catalog.commands(slice);
            let committed = self.member.committed(&[place])?;
            // None, if the first command is still to come.
            next.insert(slice, committed.into_iter().flatten().next().unwrap_or(0));
        }
        Ok(next)
    }

    fn make_known(&mut self, batch: &[Taken], mut decided: Decided) -> Result<(), StoreError> {
        std::mem::take(&mut decided.new_keys).committed();
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
            let Some(offset) = self.member.delivered(number(slice, log)) else {
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
