//! The fold of the log: events into states, results into the memory of commands.

use std::collections::HashMap;
use std::sync::Arc;

use foldline_core::personal::Seal;
use foldline_core::{AggregateId, CommandResult, EventHash, RefusalKind};

use crate::broker::Message;
use crate::catalog::{Installed, Slice};
use crate::follower::{FollowError, Follower};
use crate::registry::ReadError;
use crate::store::{Known, Log, Position, Store, StoreError};

/// What is folded and not yet in the store.
pub(crate) struct Folding<'a> {
    follower: &'a Follower,
    states: HashMap<(usize, AggregateId), Known>,
    results: Vec<(Slice, CommandResult)>,
    positions: HashMap<(Slice, Log), Position>,
    /// Events that were read, by aggregate type.
    events: HashMap<usize, u64>,
}

impl<'a> Folding<'a> {
    pub(crate) fn new(follower: &'a Follower) -> Self {
        Self {
            follower,
            states: HashMap::new(),
            results: Vec::new(),
            positions: HashMap::new(),
            events: HashMap::new(),
        }
    }

    pub(crate) fn fold(&mut self, slice: Slice, log: Log, message: &Message<'_>) -> Result<(), FollowError> {
        let installed = Arc::clone(self.follower.catalog.get(slice));
        let command_offset = match log {
            Log::Events => {
                *self.events.entry(slice.index).or_default() += 1;
                self.fold_event(&installed, message)?
            }
            Log::Results => {
                let result = read_result(&installed, message)?;
                let command_offset = result.command_offset;
                self.results.push((slice, result));
                command_offset
            }
        };
        self.positions.insert(
            (slice, log),
            Position {
                next: message.offset + 1,
                command_offset,
            },
        );
        Ok(())
    }

    fn fold_event(&mut self, installed: &Arc<Installed>, message: &Message<'_>) -> Result<i64, FollowError> {
        let follower = self.follower;
        let aggregate = &installed.aggregate;
        let value = message.value.unwrap_or_default();
        let decoded = installed
            .events
            .reader
            .event(aggregate.as_ref(), value)
            .map_err(|source| unreadable(message, source))?;
        let meta = decoded.meta;
        let key = (installed.index, meta.aggregate_id.clone());
        let known = match self.states.get_mut(&key) {
            Some(known) => known,
            None => {
                let known = follower.store.state(installed, &meta.aggregate_id)?;
                self.states
                    .entry(key)
                    .or_insert(known.unwrap_or_else(|| Known::initial(installed)))
            }
        };
        if meta.sequence <= known.sequence && is_restored(&follower.store, installed, message)? {
            return Ok(meta.command_offset);
        }
        if meta.sequence != known.sequence + 1 {
            return Err(FollowError::Sequence {
                topic: message.topic.to_owned(),
                partition: message.partition,
                offset: message.offset,
                id: meta.aggregate_id,
                found: meta.sequence,
                last: known.sequence,
            });
        }
        aggregate.evolve(&mut known.state, &decoded.event);
        known.sequence = meta.sequence;
        known.tip = Some(EventHash::of(value));
        Ok(meta.command_offset)
    }

    pub(crate) fn apply(self) -> Result<(), FollowError> {
        let follower = self.follower;
        let mut changes = follower.store.changes();
        for ((index, id), known) in &self.states {
            // Nothing that is folded is new.
            changes.state(&follower.catalog.types()[*index], id, known, Seal::Clear);
        }
        for (slice, result) in &self.results {
            if is_remembered(result) {
                changes.result(follower.catalog.get(*slice), *slice, result);
            }
        }
        for ((slice, log), position) in &self.positions {
            changes.position(follower.catalog.get(*slice), *slice, *log, *position);
        }
        changes.apply()?;
        for (index, count) in self.events {
            let name = follower.catalog.types()[index].name.clone();
            metrics::counter!("foldline_events_folded_total", "aggregate" => name).increment(count);
        }
        for (_, result) in &self.results {
            follower.waiters.answer(result);
        }
        Ok(())
    }
}

/// Whether the state that an event belongs to may come from a snapshot that has the event already.
fn is_restored(store: &Store, installed: &Installed, message: &Message<'_>) -> Result<bool, StoreError> {
    let covered = store.covered(installed, installed.slice(message.partition))?;
    Ok(message.offset < covered.restored_to)
}

/// The result in a record of a result topic.
pub(crate) fn read_result(
    installed: &Installed,
    message: &Message<'_>,
) -> Result<CommandResult, FollowError> {
    let codec = &installed.result_codec;
    let value = message.value.unwrap_or_default();
    let datum = installed.results.reader.datum(codec, value);
    let datum = datum.map_err(|source| unreadable(message, source))?;
    let result = codec.decode_meta(&datum);
    result.map_err(|error| unreadable(message, error.into()))
}

fn unreadable(message: &Message<'_>, source: ReadError) -> FollowError {
    FollowError::Record {
        topic: message.topic.to_owned(),
        partition: message.partition,
        offset: message.offset,
        source,
    }
}

/// Whether the outcome is what its command gets for ever. Not so are: a repetition; a dry run; the no to another command
/// under an id that has an outcome already; and the no to a command that came too early, which may come again.
pub(crate) fn is_remembered(result: &CommandResult) -> bool {
    let is_lasting = |(kind, code)| kind != RefusalKind::CommandId && code != TOO_EARLY;
    !result.replayed && !result.dry_run && result.refused().is_none_or(is_lasting)
}

/// Whether the command came too early, and may come again.
pub(crate) fn is_too_early(result: &CommandResult) -> bool {
    result.refused().is_some_and(|(_, code)| code == TOO_EARLY)
}

/// The code of the refusal of a command whose sender has seen more than is known here.
pub(crate) const TOO_EARLY: &str = "token-not-reached";
