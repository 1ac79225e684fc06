//! Where a transaction commits: events, results, dead letters, snapshots that are due and the commands' offsets, all
//! or nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldline_core::personal::Seal;
use rdkafka::error::KafkaError;

use super::counts::Counts;
use super::decide::{Decided, Decision};
use super::in_flight::InFlight;
use super::intake::Taken;
use super::records::{number, records};
use super::{BatchError, Shared, Worker};
use crate::broker::Place;
use crate::catalog::Slice;
use crate::failpoints::reached;
use crate::fold::is_remembered;
use crate::store::{Changes, Log, Position, StoreError};

impl Worker {
    /// Has committed what was decided, as soon as the batch before it is. [`finish`](Self::finish) waits for it.
    pub(super) fn commit(&mut self, batch: Vec<Taken>, mut decided: Decided) -> Result<(), BatchError> {
        reached("decided");
        // All are written before the transaction begins: what cannot be written need not be aborted.
        let shared = Arc::clone(&self.shared);
        let mut records = records(&shared, &batch, &mut decided)?;
        self.finish()?;
        let began_at = self.shared.runtime.now();
        let member = &self.member;
        let end_of = |topic: &str, partition| member.end_of((topic, partition));
        records.extend(self.checkpoints.records(&shared, batch.len(), end_of)?);
        if records.is_empty() {
            return Ok(());
        }
        let offsets = self.offsets(&batch)?;
        self.member.begin()?;
        reached("begun");
        for record in records {
            self.member.send(record)?;
        }
        reached("records-sent");
        let place = |(slice, offset): (Slice, i64)| (shared.catalog.commands(slice), offset);
        let offsets: Vec<(Place<'_>, i64)> = offsets.into_iter().map(place).collect();
        self.member.begin_commit(&offsets)?;
        self.in_flight = Some(InFlight {
            // What is sealed by a key of this transaction can be written when that is a key.
            changes: (decided.new_keys.is_empty()).then(|| changes(&shared, &batch, &decided)),
            batch,
            decided,
            began_at,
        });
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
}

/// What the local store is to know of a batch, but for the positions.
fn changes(shared: &Shared, batch: &[Taken], decided: &Decided) -> Changes {
    let catalog = &shared.catalog;
    let mut changes = shared.store.changes();
    for (taken, decision) in batch.iter().zip(&decided.decisions) {
        if let Decision::Made(made) = decision
            && is_remembered(&made.result)
        {
            changes.result(catalog.get(taken.slice), taken.slice, &made.result);
        }
    }
    for (key, known) in &decided.states {
        let (index, id) = key;
        // None where there is nothing to seal.
        let by = decided.seals.get(key).cloned().unwrap_or(Seal::Clear);
        changes.state(&catalog.types()[*index], id, known, by);
    }
    changes
}

/// Lets a committed batch be known: in the local store first, then to who waits for it.
pub(super) fn make_known(worker: &mut Worker, in_flight: InFlight) -> Result<(), StoreError> {
    let InFlight {
        batch,
        mut decided,
        changes: prepared,
        ..
    } = in_flight;
    std::mem::take(&mut decided.new_keys).committed();
    let mut changes = prepared.unwrap_or_else(|| changes(&worker.shared, &batch, &decided));
    let mut commands: HashMap<(Slice, Log), i64> = HashMap::new();
    for (taken, decision) in batch.iter().zip(&decided.decisions) {
        let Decision::Made(made) = decision else { continue };
        commands.insert((taken.slice, Log::Results), taken.offset);
        if !made.events.is_empty() {
            commands.insert((taken.slice, Log::Events), taken.offset);
        }
    }
    let mut results = HashMap::new();
    for ((slice, log), command_offset) in commands {
        // Each had a record in this transaction, and each record has its report.
        let Some(offset) = worker.member.delivered(number(slice, log)) else {
            continue;
        };
        let position = Position {
            next: offset + 1,
            command_offset,
        };
        changes.position(worker.shared.catalog.get(slice), slice, log, position);
        if log == Log::Results {
            results.insert(slice, position);
        }
    }
    changes.apply()?;
    reached("stored");
    worker.checkpoints.note(&batch, &decided, &results);
    for (key, known) in decided.states {
        worker.cache.put(key, known);
    }
    reached("before-answer");
    answer(&worker.shared, &batch, &decided.decisions);
    Ok(())
}

fn answer(shared: &Shared, batch: &[Taken], decisions: &[Decision]) {
    let mut counts = Counts::default();
    for (taken, decision) in batch.iter().zip(decisions) {
        match decision {
            Decision::Made(made) => {
                shared.waiters.answer(&made.result);
                counts.decided(taken.slice.index, made);
            }
            Decision::DeadLetter => counts.dead_letter(taken.slice.index),
        }
    }
    counts.tell(&shared.catalog);
}
