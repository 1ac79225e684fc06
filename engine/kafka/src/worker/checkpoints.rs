//! Snapshots, written in the transactions of the worker: a few with each batch, so that no command waits for many.
//!
//! Nothing is written with every event. Per partition, the worker notes which aggregates have changed since the last
//! checkpoint and which commands were decided. When enough has gathered, the newest states of those aggregates go to
//! the snapshot topic, batch by batch, and with the last of them the ids of the commands and the checkpoint: from there
//! on, a restore needs only the events behind it. A transaction that fails has written nothing; then all is counted
//! again from the topics, as when a partition is taken over.

mod backlog;
mod ids;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use foldline_core::{AggregateId, AggregateSnapshot, Checkpoint, Snapshot};
use rdkafka::error::KafkaError;
use uuid::Uuid;

use self::backlog::{Backlog, Counted, count};
use self::ids::Ids;
use super::decide::{Decided, Decision};
use super::intake::Taken;
use super::outcome::{begun, now};
use super::records::RECORD_BYTES_MAX;
use super::{BatchError, Shared};
use crate::broker::{Place, Record, ranges};
use crate::catalog::{Installed, Slice};
use crate::fold::is_remembered;
use crate::follower::FollowError;
use crate::store::{Covered, Log, Position, Store, StoreError};

/// Snapshots in one transaction, beside as many as it has commands.
const SNAPSHOTS_MIN: usize = 200;
/// Bytes of snapshots in one transaction, at most, but for one record.
const BYTES_MAX: usize = 512 << 10;

/// The number of the checkpoint's record; see [`Record::number`].
const CHECKPOINT: usize = usize::MAX - 1;
const NOT_COUNTED: usize = usize::MAX;

/// What is to be written of the partitions that this worker leads.
pub(super) struct Checkpoints {
    /// Events or outcomes of a partition between two checkpoints; 0 for no snapshots at all.
    every: u64,
    led: HashMap<Slice, Since>,
    /// How many checkpoints were begun.
    turns: u64,
    writing: Option<Writing>,
    epoch: u64,
    counting: Vec<JoinHandle<()>>,
    count: Sender<Counted>,
    counted: Receiver<Counted>,
}

/// What has happened to a partition since its last checkpoint.
#[derive(Default)]
struct Since {
    /// The counting that the partition waits for; see [`Backlog`].
    epoch: u64,
    /// When it was its turn last.
    turn: u64,
    /// `None` until the backlog is counted.
    covered: Option<Covered>,
    changed: HashSet<AggregateId>,
    events: u64,
    ids: Ids,
}

/// A checkpoint that is being written.
struct Writing {
    slice: Slice,
    covered: Covered,
    /// Where the partition stood when it began.
    events: Position,
    left: Vec<AggregateId>,
    ids: Ids,
    /// Snapshots in the transaction that is open.
    written: u64,
    is_last: bool,
}

impl Checkpoints {
    pub(super) fn new(every: u64) -> Self {
        let (count, counted) = channel();
        Self {
            every,
            led: HashMap::new(),
            turns: 0,
            writing: None,
            epoch: 0,
            counting: Vec::new(),
            count,
            counted,
        }
    }

    /// These partitions are caught up, and led from now on: counts what their next checkpoints have to write.
    pub(super) fn begin(&mut self, shared: &Arc<Shared>, slices: &[Slice]) {
        self.end(slices);
        if self.every == 0 {
            return;
        }
        self.epoch += 1;
        for slice in slices {
            let since = Since {
                epoch: self.epoch,
                ..Since::default()
            };
            self.led.insert(*slice, since);
        }
        self.counting.retain(|thread| !thread.is_finished());
        self.counting
            .push(count(shared, slices.to_vec(), self.epoch, self.count.clone()));
    }

    /// These partitions are not led any more.
    pub(super) fn end(&mut self, slices: &[Slice]) {
        for slice in slices {
            self.led.remove(slice);
        }
        let led = &self.led;
        self.writing.take_if(|writing| !led.contains_key(&writing.slice));
    }

    /// Takes note of what was committed and is known in the store by now.
    pub(super) fn note(&mut self, batch: &[Taken], decided: &Decided, results: &HashMap<Slice, Position>) {
        if self.led.is_empty() {
            return;
        }
        for (taken, decision) in batch.iter().zip(&decided.decisions) {
            let Decision::Made(made) = decision else { continue };
            let Some(since) = self.led.get_mut(&taken.slice) else {
                continue;
            };
            since.events += made.events.len() as u64;
            if is_remembered(&made.result) {
                since.ids.push(&made.result.command_id);
            }
            if !made.events.is_empty() && !since.changed.contains(&made.result.aggregate_id) {
                since.changed.insert(made.result.aggregate_id.clone());
            }
        }
        for (slice, position) in results {
            if let Some(since) = self.led.get_mut(slice) {
                since.ids.cut(position.next, position.command_offset);
            }
        }
    }

    /// Whether there is something to write though no command comes.
    pub(super) fn is_due(&mut self) -> bool {
        self.take_counted();
        self.writing.is_some() || self.due().is_some()
    }

    /// From now on, whatever has changed is due.
    pub(super) fn all_are_due(&mut self) {
        self.every = 1;
    }

    fn take_counted(&mut self) {
        while let Ok((epoch, slice, counted)) = self.counted.try_recv() {
            let since = self.led.get_mut(&slice).filter(|since| since.epoch == epoch);
            if let Some(since) = since {
                let Backlog {
                    covered,
                    changed,
                    events,
                    mut ids,
                } = counted;
                since.covered = Some(covered);
                since.changed.extend(changed);
                since.events += events;
                ids.append(std::mem::take(&mut since.ids));
                since.ids = ids;
            }
        }
    }

    /// Of those that are due, the one that has waited longest: others may be due again and again.
    fn due(&self) -> Option<Slice> {
        let is_due =
            |since: &Since| since.covered.is_some() && since.events.max(since.ids.len() as u64) >= self.every;
        let due = self.led.iter().filter(|(_, since)| is_due(since));
        due.min_by_key(|(_, since)| since.turn).map(|(slice, _)| *slice)
    }

    fn take_turn(&mut self) -> Option<Slice> {
        let slice = self.due()?;
        self.turns += 1;
        self.led.get_mut(&slice)?.turn = self.turns;
        Some(slice)
    }

    /// The partition whose snapshots are being written.
    pub(super) fn slice(&self) -> Option<Slice> {
        self.writing.as_ref().map(|writing| writing.slice)
    }

    /// What goes into the next transaction, beside a batch of so many commands. `end_of` asks Kafka for the end of a
    /// partition.
    pub(super) fn records<'a>(
        &mut self,
        shared: &'a Arc<Shared>,
        commands: usize,
        end_of: impl Fn(&str, i32) -> Result<i64, KafkaError>,
    ) -> Result<Vec<Record<'a>>, BatchError> {
        self.take_counted();
        if self.writing.is_none()
            && let Some(slice) = self.take_turn()
        {
            self.start(shared, slice, end_of)?;
        }
        let Some(writing) = &mut self.writing else {
            return Ok(Vec::new());
        };
        let installed = shared.catalog.get(writing.slice);
        match writing.records(shared, installed, commands.max(SNAPSHOTS_MIN)) {
            Ok(records) => Ok(records),
            Err(WriteError::Store(error)) => Err(error.into()),
            Err(WriteError::Unfit(reason)) => {
                tracing::error!(
                    aggregate = installed.name,
                    partition = writing.slice.partition,
                    reason,
                    "no more snapshots of this partition are written"
                );
                metrics::counter!("foldline_snapshots_failed_total", "aggregate" => installed.name.clone())
                    .increment(1);
                let slice = writing.slice;
                self.end(&[slice]);
                Ok(Vec::new())
            }
        }
    }

    fn start(
        &mut self,
        shared: &Arc<Shared>,
        slice: Slice,
        end_of: impl Fn(&str, i32) -> Result<i64, KafkaError>,
    ) -> Result<(), BatchError> {
        let installed = shared.catalog.get(slice);
        let topic = &installed.snapshots.name;
        let Some(since) = self.led.get_mut(&slice) else {
            return Ok(());
        };
        let Some(covered) = since.covered.clone() else {
            return Ok(());
        };
        // What is committed may still have no end: the first checkpoint's, before its markers are there.
        if covered.read_to > 0
            && end_of(topic, slice.partition)? == 0
            && is_empty(shared, (topic, slice.partition))?
        {
            tracing::warn!(
                topic,
                partition = slice.partition,
                "the snapshot topic is empty; counting anew what it lacks"
            );
            self.begin(shared, &[slice]);
            return Ok(());
        }
        let next = Since {
            epoch: since.epoch,
            turn: since.turn,
            covered: Some(covered.clone()),
            ..Since::default()
        };
        let since = std::mem::replace(since, next);
        self.writing = Some(Writing {
            slice,
            covered,
            events: shared.store.position(installed, slice, Log::Events)?,
            left: since.changed.into_iter().collect(),
            ids: since.ids,
            written: 0,
            is_last: false,
        });
        Ok(())
    }

    /// The transaction with the last [`records`](Self::records) is committed; `delivered` says where one lies.
    pub(super) fn committed(
        &mut self,
        shared: &Shared,
        delivered: impl Fn(usize) -> Option<i64>,
    ) -> Result<(), StoreError> {
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        let installed = shared.catalog.get(writing.slice);
        metrics::counter!("foldline_snapshots_written_total", "aggregate" => installed.name.clone())
            .increment(std::mem::take(&mut writing.written));
        let Some(writing) = self.writing.take_if(|writing| writing.is_last) else {
            return Ok(());
        };
        let covered = Covered {
            read_to: delivered(CHECKPOINT).map_or(writing.covered.read_to, |offset| offset + 1),
            events: writing.events.next,
            results: writing.covered.results,
            restored_to: writing.covered.restored_to,
            is_distrusted: false,
        };
        let mut changes = shared.store.changes();
        changes.covered(installed, writing.slice, &covered);
        changes.apply()?;
        if let Some(since) = self.led.get_mut(&writing.slice) {
            since.covered = Some(covered);
        }
        metrics::counter!("foldline_checkpoints_total", "aggregate" => installed.name.clone()).increment(1);
        tracing::debug!(
            aggregate = installed.name,
            partition = writing.slice.partition,
            events = writing.events.next,
            "checkpoint"
        );
        Ok(())
    }
}

/// Whether nothing lies in a partition, open or not.
fn is_empty(shared: &Shared, place: Place<'_>) -> Result<bool, FollowError> {
    let ranges = ranges(shared.broker.as_ref(), &[place])?;
    Ok(ranges.iter().all(|(_, high)| *high == 0))
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        // They hold the store open, which the next start waits for.
        for thread in self.counting.drain(..) {
            // A panic of it has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

enum WriteError {
    Store(StoreError),
    /// A state that cannot be kept as a snapshot.
    Unfit(String),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Writing {
    fn records<'a>(
        &mut self,
        shared: &Shared,
        installed: &'a Installed,
        count: usize,
    ) -> Result<Vec<Record<'a>>, WriteError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        // What the store has is committed, and what this batch adds to it lies behind the checkpoint.
        let event_offset = shared.store.position(installed, self.slice, Log::Events)?.next;
        while records.len() < count && bytes < BYTES_MAX {
            let Some(id) = self.left.pop() else { break };
            if let Some(snapshot) = snapshot(&shared.store, installed, &id, event_offset)? {
                let record = self.record(installed, &Snapshot::Aggregate(snapshot))?;
                bytes += record.value.as_ref().map_or(0, Bytes::len);
                records.push(record);
                self.written += 1;
            }
        }
        if self.left.is_empty() {
            self.last(installed, &mut records)?;
        }
        Ok(records)
    }

    /// The ids of the commands, and the checkpoint itself.
    fn last<'a>(
        &mut self,
        installed: &'a Installed,
        records: &mut Vec<Record<'a>>,
    ) -> Result<(), WriteError> {
        for ids in self.ids.records(self.covered.results) {
            self.covered.results = ids.to_offset;
            records.push(self.record(installed, &Snapshot::CommandIds(ids))?);
        }
        let checkpoint = Checkpoint {
            event_offset: self.events.next,
            command_offset: self.events.command_offset,
            shape: installed.aggregate.state_shape(),
            taken_at: now(),
        };
        records.push(Record {
            number: CHECKPOINT,
            ..self.record(installed, &Snapshot::Checkpoint(checkpoint))?
        });
        self.is_last = true;
        Ok(())
    }

    fn record<'a>(&self, installed: &'a Installed, snapshot: &Snapshot) -> Result<Record<'a>, WriteError> {
        let mut value = begun(installed.snapshots.reader.own_id());
        let key = snapshot.key();
        snapshot
            .encode(&installed.snapshot_codec, &mut value)
            .map_err(|error| WriteError::Unfit(error.to_string()))?;
        if value.len() > RECORD_BYTES_MAX {
            let size = value.len();
            return Err(WriteError::Unfit(format!(
                "the snapshot of {key} has {size} bytes"
            )));
        }
        Ok(Record {
            topic: &installed.snapshots.name,
            partition: self.slice.partition,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: Vec::new(),
            number: NOT_COUNTED,
        })
    }
}

/// The snapshot of an aggregate as the store has it; `None` if it has none, because its events were never committed.
fn snapshot(
    store: &Store,
    installed: &Installed,
    id: &AggregateId,
    event_offset: i64,
) -> Result<Option<AggregateSnapshot>, WriteError> {
    let Some(known) = store.state(installed, id)? else {
        return Ok(None);
    };
    let aggregate = &installed.aggregate;
    let Some(text) = aggregate.state_text(&known.state) else {
        return Err(WriteError::Unfit(format!(
            "the state of {id} is another one after it was written as JSON"
        )));
    };
    let snapshot = AggregateSnapshot {
        aggregate_id: id.clone(),
        sequence: known.sequence,
        shape: aggregate.state_shape(),
        last_event_hash: known.tip,
        event_offset,
        state: text,
        checksum: Uuid::nil(),
    };
    Ok(Some(snapshot.sealed()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Checkpoints, Since};
    use crate::catalog::Slice;
    use crate::store::Covered;

    #[test]
    fn partitions_that_are_always_due_take_turns() {
        let mut checkpoints = Checkpoints::new(10);
        let all = (0..5).map(|partition| Slice { index: 0, partition });
        for slice in all.clone() {
            let since = Since {
                covered: Some(Covered::default()),
                events: 10,
                ..Since::default()
            };
            checkpoints.led.insert(slice, since);
        }
        let mut turns = BTreeMap::new();
        for _ in 0..15 {
            *turns.entry(checkpoints.take_turn().unwrap()).or_default() += 1;
        }
        assert_eq!(turns, all.map(|slice| (slice, 3)).collect());
    }
}
