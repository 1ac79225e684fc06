//! What stands between a partition's last checkpoint and the place where a worker takes the partition over.
//!
//! Counted from the topics, beside the work: by then the worker may have gone on for some time, and neither waits for
//! the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use foldline_core::{AggregateId, Snapshot};

use super::ids::Ids;
use crate::broker::{Message, Place, ranges};
use crate::catalog::{Installed, Slice};
use crate::fold::{is_remembered, read_result};
use crate::follower::FollowError;
use crate::registry::ReadError;
use crate::snapshots::decode;
use crate::store::{Covered, Log};
use crate::worker::{RETRY_AFTER, Shared};

/// What a partition's next checkpoint has to write, as of the taking over.
pub(super) struct Backlog {
    /// What the checkpoints before it have written.
    pub(super) covered: Covered,
    /// The aggregates that have changed since.
    pub(super) changed: HashSet<AggregateId>,
    /// The events since.
    pub(super) events: u64,
    /// The commands that were decided since.
    pub(super) ids: Ids,
}

/// A backlog, and for which of several countings of its partition it is.
pub(super) type Counted = (u64, Slice, Backlog);

/// Counts on a thread of its own. It ends early if the process is to end.
pub(super) fn count(
    shared: &Arc<Shared>,
    slices: Vec<Slice>,
    epoch: u64,
    to: Sender<Counted>,
) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    let count = move || {
        let mut types: HashMap<usize, Vec<Slice>> = HashMap::new();
        for slice in slices {
            types.entry(slice.index).or_default().push(slice);
        }
        for slices in types.into_values() {
            let counted = until_it_succeeds(&shared, &slices);
            for (slice, backlog) in counted {
                // Nobody waits for it any more: the worker has ended.
                let _ = to.send((epoch, slice, backlog));
            }
        }
    };
    let thread = std::thread::Builder::new().name("backlog".to_owned());
    thread
        .spawn(count)
        .expect("the operating system gives us a thread")
}

fn until_it_succeeds(shared: &Shared, slices: &[Slice]) -> HashMap<Slice, Backlog> {
    while !shared.is_stopped.load(Ordering::SeqCst) {
        match Counting::of(shared, slices) {
            Ok(found) => return found,
            Err(FollowError::Stopped) => break,
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "cannot count what is to be written into snapshots yet");
                shared.runtime.sleep(RETRY_AFTER);
            }
            Err(error) => {
                tracing::error!(%error, "no snapshots are written, because it cannot be said of what");
                break;
            }
        }
    }
    HashMap::new()
}

/// The partitions of one aggregate type.
struct Counting<'a> {
    shared: &'a Shared,
    installed: &'a Installed,
    /// By partition, with the ends of the events and the results that are folded.
    found: HashMap<i32, (Backlog, i64, i64)>,
}

impl<'a> Counting<'a> {
    fn of(shared: &'a Shared, slices: &[Slice]) -> Result<HashMap<Slice, Backlog>, FollowError> {
        let Some(first) = slices.first() else {
            return Ok(HashMap::new());
        };
        let installed: &Installed = shared.catalog.get(*first);
        let mut counting = Self {
            shared,
            installed,
            found: HashMap::new(),
        };
        for slice in slices {
            let position = |log| shared.store.position(installed, *slice, log);
            let (events, results) = (position(Log::Events)?.next, position(Log::Results)?.next);
            let backlog = Backlog {
                covered: shared.store.covered(installed, *slice)?,
                changed: HashSet::new(),
                events: 0,
                ids: Ids::default(),
            };
            counting.found.insert(slice.partition, (backlog, events, results));
        }
        counting.newer_checkpoints()?;
        counting.changed()?;
        counting.ids()?;
        let found = counting.found.into_iter();
        let slice =
            |(partition, (backlog, ..)): (i32, (Backlog, i64, i64))| (installed.slice(partition), backlog);
        Ok(found.map(slice).collect())
    }

    fn is_stopped(&self) -> bool {
        self.shared.is_stopped.load(Ordering::SeqCst)
    }

    /// Reads the snapshot topic from where it is known: others may have written checkpoints since.
    fn newer_checkpoints(&mut self) -> Result<(), FollowError> {
        let topic = &self.installed.snapshots.name;
        let partitions: Vec<i32> = self.found.keys().copied().collect();
        let places = partitions.iter().map(|partition| (topic.as_str(), *partition));
        let places: Vec<Place<'_>> = places.collect();
        let ranges = ranges(self.shared.broker.as_ref(), &places)?;
        let mut from = HashMap::new();
        for (partition, (_, high)) in partitions.into_iter().zip(ranges) {
            let Some((backlog, ..)) = self.found.get_mut(&partition) else {
                continue;
            };
            let covered = &mut backlog.covered;
            if high < covered.read_to {
                // It was made anew: all is written again.
                *covered = Covered {
                    read_to: high,
                    is_distrusted: true,
                    restored_to: covered.restored_to,
                    ..Covered::default()
                };
            }
            if covered.read_to < high {
                from.insert(partition, covered.read_to);
            }
        }
        if from.is_empty() {
            return Ok(());
        }
        let (shared, installed) = (self.shared, self.installed);
        let ends = shared.broker.read_to_ends(topic, &from, &mut |message| {
            if self.is_stopped() {
                return Err(FollowError::Stopped);
            }
            // Most are states, which are not of interest here.
            if !message.key.is_some_and(|key| key.starts_with(b"#")) {
                return Ok(());
            }
            self.take_checkpoint(installed, message)
        })?;
        for (partition, end) in ends {
            if let Some((backlog, ..)) = self.found.get_mut(&partition) {
                backlog.covered.read_to = end;
            }
        }
        Ok(())
    }

    fn take_checkpoint(&mut self, installed: &Installed, message: &Message<'_>) -> Result<(), FollowError> {
        let Some((backlog, ..)) = self.found.get_mut(&message.partition) else {
            return Ok(());
        };
        let covered = &mut backlog.covered;
        match decode(installed, message.value) {
            Ok(Snapshot::Checkpoint(checkpoint)) => {
                let is_ours = checkpoint.shape == installed.aggregate.state_shape();
                covered.events = match is_ours && !covered.is_distrusted {
                    true => checkpoint.event_offset,
                    false => 0,
                };
            }
            Ok(Snapshot::CommandIds(ids)) if ids.is_whole() && ids.from_offset <= covered.results => {
                covered.results = covered.results.max(ids.to_offset);
            }
            Err(source @ ReadError::Registry(_)) => {
                return Err(FollowError::Record {
                    topic: message.topic.to_owned(),
                    partition: message.partition,
                    offset: message.offset,
                    source,
                });
            }
            // What cannot be read or does not follow is not covered: it is written again.
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    /// The aggregates that have changed since the last checkpoint: by the keys of the events since. All, if there is
    /// no checkpoint that counts.
    fn changed(&mut self) -> Result<(), FollowError> {
        let mut from = HashMap::new();
        for (partition, (backlog, end, _)) in &mut self.found {
            let covered = backlog.covered.events;
            // A checkpoint that is further than the events are: they are others than they were.
            if covered == 0 || covered > *end {
                backlog.covered.events = 0;
                let slice = self.installed.slice(*partition);
                backlog.changed = self
                    .shared
                    .store
                    .ids(self.installed, slice)?
                    .into_iter()
                    .collect();
                backlog.events = end.unsigned_abs();
            } else if covered < *end {
                from.insert(*partition, covered);
            }
        }
        if from.is_empty() {
            return Ok(());
        }
        let shared = self.shared;
        let topic = &self.installed.events.name;
        let read_to = shared.broker.read_to_ends(topic, &from, &mut |message| {
            if self.is_stopped() {
                return Err(FollowError::Stopped);
            }
            let Some((backlog, end, _)) = self.found.get_mut(&message.partition) else {
                return Ok(());
            };
            if message.offset < *end {
                let key = std::str::from_utf8(message.key.unwrap_or_default());
                backlog.events += 1;
                backlog.changed.extend(key.ok().and_then(|key| key.parse().ok()));
            }
            Ok(())
        })?;
        self.has_seen_all(topic, &read_to, |(_, events, _)| *events)
    }

    /// Fails if what is folded was not all read: the last of it was committed, and its markers are not there yet. It would be
    /// covered, and not written.
    fn has_seen_all(
        &self,
        topic: &str,
        read_to: &HashMap<i32, i64>,
        folded_to: impl Fn(&(Backlog, i64, i64)) -> i64,
    ) -> Result<(), FollowError> {
        let is_short = |(partition, read_to): (&i32, &i64)| {
            let found = self.found.get(partition);
            found.is_some_and(|found| *read_to < folded_to(found))
        };
        match read_to.iter().any(is_short) {
            true => Err(FollowError::Unsettled {
                topic: topic.to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// The commands that were decided since their ids were written last.
    fn ids(&mut self) -> Result<(), FollowError> {
        let behind = self
            .found
            .iter()
            .filter(|(_, (backlog, _, end))| backlog.covered.results < *end);
        let from: HashMap<i32, i64> = behind
            .map(|(partition, (backlog, ..))| (*partition, backlog.covered.results))
            .collect();
        if from.is_empty() {
            return Ok(());
        }
        let (shared, installed) = (self.shared, self.installed);
        let topic = &installed.results.name;
        let read_to = shared.broker.read_to_ends(topic, &from, &mut |message| {
            if self.is_stopped() {
                return Err(FollowError::Stopped);
            }
            let Some((backlog, _, end)) = self.found.get_mut(&message.partition) else {
                return Ok(());
            };
            if message.offset < *end {
                let result = read_result(installed, message)?;
                if is_remembered(&result) {
                    backlog.ids.push(&result.command_id);
                }
                backlog.ids.cut(message.offset + 1, result.command_offset);
            }
            Ok(())
        })?;
        self.has_seen_all(topic, &read_to, |(_, _, results)| *results)
    }
}
