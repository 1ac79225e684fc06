//! A start without local disk: from the snapshots, not from the first event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldline_core::personal::Seal;
use foldline_core::{AggregateSnapshot, Checkpoint, CommandIds, Snapshot};

use crate::broker::{Message, Place, Range, ranges};
use crate::catalog::{Installed, Slice};
use crate::follower::{FollowError, Follower};
use crate::registry::ReadError;
use crate::runtime::Job;
use crate::store::{Changes, Covered, Known, Log, Position, Unread};
use crate::unread::RANGES_MAX;

/// Snapshots that are read between two writes to the store.
const BATCH_MAX: usize = 5_000;

impl Follower {
    /// Takes the states of every partition of which nothing is folded yet from its snapshots. What then remains is
    /// to fold the events from its checkpoint on; where the snapshots cannot be used, from the first one on.
    pub(crate) fn restore(&self) -> Result<(), FollowError> {
        let mut empty: BTreeMap<usize, Vec<Slice>> = BTreeMap::new();
        for installed in self.catalog.types() {
            for slice in installed.slices() {
                let unread = self.store.unread(installed, slice)?;
                self.unread.set(slice, &unread);
                if !self.store.has_begun(installed, slice, Log::Events)? {
                    empty.entry(slice.index).or_default().push(slice);
                }
            }
        }
        let slices = empty.values().flatten().copied();
        let snapshots = self.ranges(slices, |installed| &installed.snapshots.name)?;
        let records = snapshots.values().map(|range| range.1 - range.0).sum::<i64>();
        self.progress
            .begin("restoring from snapshots", records.unsigned_abs());
        // A reader for each type: their topics are read side by side.
        let restore = |slices: Vec<Slice>| -> Job<'_> {
            let snapshots = &snapshots;
            Box::new(move || self.restore_type(&slices, snapshots))
        };
        self.runtime
            .side_by_side(empty.into_values().map(restore).collect())?;
        self.progress.end();
        Ok(())
    }

    fn ranges(
        &self,
        slices: impl Iterator<Item = Slice>,
        topic: impl Fn(&Installed) -> &str,
    ) -> Result<HashMap<Slice, Range>, FollowError> {
        let slices: Vec<Slice> = slices.collect();
        let place = |slice: &Slice| (topic(self.catalog.get(*slice)), slice.partition);
        let places: Vec<Place<'_>> = slices.iter().map(place).collect();
        let found = ranges(self.broker.as_ref(), &places)?;
        Ok(slices.into_iter().zip(found).collect())
    }

    fn restore_type(&self, slices: &[Slice], snapshots: &HashMap<Slice, Range>) -> Result<(), FollowError> {
        let Some(first) = slices.first() else {
            return Ok(());
        };
        let installed = Arc::clone(self.catalog.get(*first));
        let started_at = self.runtime.now();
        let mut found: HashMap<i32, Found> = HashMap::new();
        for slice in slices {
            // What a restore that was interrupted has left.
            self.store.forget(&installed, *slice, Log::Events)?;
            found.insert(slice.partition, Found::default());
        }
        let from = slices
            .iter()
            .map(|slice| (slice.partition, snapshots[slice]))
            .filter(|(_, (low, high))| low < high)
            .map(|(partition, (low, _))| (partition, low));
        let from: HashMap<i32, i64> = from.collect();
        let mut changes = self.store.changes();
        let (mut count, mut states) = (0, 0_u64);
        let topic = &installed.snapshots.name;
        let ends = self.broker.read_to_ends(topic, &from, &mut |message| {
            if self.is_stopped.load(Ordering::SeqCst) {
                return Err(FollowError::Stopped);
            }
            let found = found.entry(message.partition).or_default();
            states += u64::from(found.take(&installed, message, &mut changes)?);
            count += 1;
            if count % BATCH_MAX == 0 {
                std::mem::replace(&mut changes, self.store.changes()).apply()?;
                self.progress.add(BATCH_MAX as u64);
                tracing::info!(topic, read = count, "restoring from snapshots");
            }
            Ok(())
        })?;
        changes.apply()?;
        self.progress.add((count % BATCH_MAX) as u64);
        // Only now: a checkpoint that was written meanwhile lies beyond what was the end before.
        let events = self.ranges(slices.iter().copied(), |installed| &installed.events.name)?;
        let mut restored = 0;
        for slice in slices {
            let found = found.remove(&slice.partition).unwrap_or_default();
            let read_to = ends.get(&slice.partition).copied().unwrap_or_default();
            let begun = self.begin(
                &installed,
                *slice,
                found,
                (snapshots[slice].0, read_to),
                events[slice],
            )?;
            restored += usize::from(begun);
        }
        if count > 0 {
            tracing::info!(
                aggregate = installed.name,
                partitions = restored,
                states,
                records = count,
                took = ?(self.runtime.now() - started_at),
                "restored from snapshots"
            );
        }
        metrics::counter!("foldline_restored_snapshots_total", "aggregate" => installed.name.clone())
            .increment(states);
        Ok(())
    }

    /// Lets a partition begin where its snapshots end, if they can be used. Returns whether they can.
    fn begin(
        &self,
        installed: &Installed,
        slice: Slice,
        found: Found,
        (low, read_to): Range,
        events: Range,
    ) -> Result<bool, FollowError> {
        let judged = found.judge(installed, low, events);
        let mut covered = Covered {
            read_to,
            ..Covered::default()
        };
        let mut changes = self.store.changes();
        let is_used = match judged {
            Ok(Some(checkpoint)) => {
                covered.events = checkpoint.event_offset;
                covered.restored_to = found.restored_to;
                let position = Position {
                    next: checkpoint.event_offset,
                    command_offset: checkpoint.command_offset,
                };
                changes.position(installed, slice, Log::Events, position);
                true
            }
            Ok(None) => {
                self.store.forget(installed, slice, Log::Events)?;
                false
            }
            Err(Refused { reason, detail }) => {
                self.store.forget(installed, slice, Log::Events)?;
                covered.is_distrusted = true;
                tracing::warn!(
                    topic = installed.snapshots.name,
                    partition = slice.partition,
                    detail,
                    "snapshots cannot be used; folding the partition from its first event on"
                );
                let labels = [
                    ("aggregate", installed.name.clone()),
                    ("reason", reason.to_owned()),
                ];
                metrics::counter!("foldline_snapshots_refused_total", &labels).increment(1);
                false
            }
        };
        covered.results = self.begin_results(installed, slice, &found, &mut changes)?;
        changes.covered(installed, slice, &covered);
        changes.apply()?;
        self.unread.set(slice, &self.store.unread(installed, slice)?);
        Ok(is_used)
    }

    /// Takes note of the ids of outcomes. Returns the offset up to which there is no gap in them.
    fn begin_results(
        &self,
        installed: &Installed,
        slice: Slice,
        found: &Found,
        changes: &mut Changes,
    ) -> Result<i64, FollowError> {
        let knows_outcomes = self.store.has_begun(installed, slice, Log::Results)?;
        let (mut next, mut command_offset) = (0, -1);
        for ids in found.ids.values().take(RANGES_MAX) {
            if ids.from_offset > next {
                break;
            }
            (next, command_offset) = (ids.to_offset, ids.command_offset);
            if !knows_outcomes {
                let range = Unread {
                    from: ids.from_offset,
                    to: ids.to_offset,
                    digests: ids.digests.clone(),
                };
                changes.unread(installed, slice, &range);
            }
        }
        if !knows_outcomes && next > 0 {
            let position = Position { next, command_offset };
            changes.position(installed, slice, Log::Results, position);
        }
        Ok(next)
    }
}

/// What the snapshot topic has of a partition.
#[derive(Default)]
struct Found {
    checkpoint: Option<Checkpoint>,
    /// What is wrong with the newest record of a key.
    refused: HashMap<Vec<u8>, Refused>,
    /// By the first offset of their range.
    ids: BTreeMap<i64, CommandIds>,
    restored_to: i64,
}

/// Why snapshots are not used.
struct Refused {
    /// For the metric.
    reason: &'static str,
    detail: String,
}

impl Found {
    /// Takes a record. Returns whether it is a state, which is then among the changes.
    fn take(
        &mut self,
        installed: &Installed,
        message: &Message<'_>,
        changes: &mut Changes,
    ) -> Result<bool, FollowError> {
        let key = message.key.unwrap_or_default();
        // The newest record of a key is the one that counts.
        self.refused.remove(key);
        let refused = |reason, detail: String| Refused {
            reason,
            detail: format!(
                "{} at offset {}: {detail}",
                String::from_utf8_lossy(key),
                message.offset
            ),
        };
        let read = match decode(installed, message.value) {
            Err(source @ ReadError::Registry(_)) => {
                return Err(FollowError::Record {
                    topic: message.topic.to_owned(),
                    partition: message.partition,
                    offset: message.offset,
                    source,
                });
            }
            read => read,
        };
        let problem = match read {
            Ok(Snapshot::Aggregate(snapshot)) => match known(installed, &snapshot) {
                Ok(known) => {
                    self.restored_to = self.restored_to.max(snapshot.event_offset);
                    changes.state(installed, &snapshot.aggregate_id, &known, Seal::Clear);
                    return Ok(true);
                }
                Err((reason, detail)) => refused(reason, detail.to_owned()),
            },
            Ok(Snapshot::Checkpoint(checkpoint)) => {
                self.checkpoint = Some(checkpoint);
                return Ok(false);
            }
            Ok(Snapshot::CommandIds(ids)) if ids.is_whole() => {
                self.ids.insert(ids.from_offset, ids);
                return Ok(false);
            }
            Ok(Snapshot::CommandIds(ids)) => {
                // Its outcomes are read instead.
                self.ids.remove(&ids.from_offset);
                tracing::warn!(
                    topic = message.topic,
                    from = ids.from_offset,
                    "ids of commands are damaged"
                );
                let labels = [
                    ("aggregate", installed.name.clone()),
                    ("reason", "ids".to_owned()),
                ];
                metrics::counter!("foldline_snapshots_refused_total", &labels).increment(1);
                return Ok(false);
            }
            Err(error) => refused("unreadable", error.to_string()),
        };
        self.refused.insert(key.to_vec(), problem);
        Ok(false)
    }

    /// The checkpoint to begin from; nothing if there is none yet.
    fn judge(&self, installed: &Installed, low: i64, events: Range) -> Result<Option<Checkpoint>, Refused> {
        let refused = |reason, detail: String| Err(Refused { reason, detail });
        let Some(checkpoint) = self.checkpoint.clone() else {
            return Ok(None);
        };
        if checkpoint.shape != installed.aggregate.state_shape() {
            return refused("shape", "its checkpoint is of states of another shape".to_owned());
        }
        let mut problems: Vec<&Refused> = self.refused.values().collect();
        problems.sort_by(|a, b| a.detail.cmp(&b.detail));
        if let Some(Refused { reason, detail }) = problems.first() {
            return refused(reason, format!("{detail} ({} in all)", problems.len()));
        }
        if low > 0 {
            return refused("removed", format!("records below {low} are gone"));
        }
        if !(events.0..=events.1).contains(&checkpoint.event_offset) {
            return refused(
                "events",
                format!(
                    "its checkpoint is at event {}, and there are {} to {}",
                    checkpoint.event_offset, events.0, events.1
                ),
            );
        }
        Ok(Some(checkpoint))
    }
}

/// The state of a snapshot, if it can be used.
fn known(installed: &Installed, snapshot: &AggregateSnapshot) -> Result<Known, (&'static str, &'static str)> {
    if !snapshot.is_whole() {
        return Err(("checksum", "its checksum is not that of its content"));
    }
    if snapshot.shape != installed.aggregate.state_shape() {
        return Err(("shape", "its state has another shape"));
    }
    let state = installed.aggregate.state_from_text(&snapshot.state);
    Ok(Known {
        state: state.ok_or(("state", "its state cannot be read"))?,
        sequence: snapshot.sequence,
        tip: snapshot.last_event_hash,
    })
}

pub(crate) fn decode(installed: &Installed, value: Option<&[u8]>) -> Result<Snapshot, ReadError> {
    let codec = &installed.snapshot_codec;
    let datum = installed
        .snapshots
        .reader
        .datum(codec, value.unwrap_or_default())?;
    Ok(Snapshot::decode(codec, &datum)?)
}
