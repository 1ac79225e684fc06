//! The fold of the log: events into states, results into the memory of commands.

use std::collections::HashMap;
use std::sync::Arc;

use foldline_core::{AggregateId, CommandResult, EventHash, Outcome, Refusal, RefusalKind};
use rdkafka::message::{BorrowedMessage, Message};

use crate::catalog::{Installed, Slice};
use crate::follower::{FollowError, Follower};
use crate::registry::ReadError;
use crate::store::{Known, Log, Position};

/// What is folded and not yet in the store.
pub(crate) struct Folding<'a> {
    follower: &'a Follower,
    states: HashMap<(usize, AggregateId), Known>,
    results: Vec<(Slice, CommandResult)>,
    positions: HashMap<(Slice, Log), Position>,
}

impl<'a> Folding<'a> {
    pub(crate) fn new(follower: &'a Follower) -> Self {
        Self {
            follower,
            states: HashMap::new(),
            results: Vec::new(),
            positions: HashMap::new(),
        }
    }

    pub(crate) fn fold(
        &mut self,
        slice: Slice,
        log: Log,
        message: &BorrowedMessage<'_>,
    ) -> Result<(), FollowError> {
        let installed = Arc::clone(self.follower.catalog.get(slice));
        let unreadable = |source| FollowError::Record {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            source,
        };
        let value = message.payload().unwrap_or_default();
        let command_offset = match log {
            Log::Events => self.fold_event(&installed, message, value, &unreadable)?,
            Log::Results => {
                let datum = installed
                    .results
                    .reader
                    .datum(&installed.result_codec, value)
                    .map_err(unreadable)?;
                let result: CommandResult = installed
                    .result_codec
                    .decode_meta(&datum)
                    .map_err(|error| unreadable(error.into()))?;
                let command_offset = result.command_offset;
                self.results.push((slice, result));
                command_offset
            }
        };
        self.positions.insert(
            (slice, log),
            Position {
                next: message.offset() + 1,
                command_offset,
            },
        );
        Ok(())
    }

    fn fold_event(
        &mut self,
        installed: &Arc<Installed>,
        message: &BorrowedMessage<'_>,
        value: &[u8],
        unreadable: &dyn Fn(ReadError) -> FollowError,
    ) -> Result<i64, FollowError> {
        let aggregate = &installed.aggregate;
        let decoded = installed
            .events
            .reader
            .event(aggregate.as_ref(), value)
            .map_err(unreadable)?;
        let meta = decoded.meta;
        let key = (installed.index, meta.aggregate_id.clone());
        let known = match self.states.get_mut(&key) {
            Some(known) => known,
            None => {
                let known = self.follower.store.state(installed, &meta.aggregate_id)?;
                self.states
                    .entry(key)
                    .or_insert(known.unwrap_or_else(|| Known::initial(installed)))
            }
        };
        if meta.sequence != known.sequence + 1 {
            return Err(FollowError::Sequence {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
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
            changes.state(&follower.catalog.types()[*index], id, known);
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
        for (_, result) in &self.results {
            follower.waiters.answer(result);
        }
        Ok(())
    }
}

/// Whether the outcome is what its command gets for ever. Not so are: a repetition; a dry run; the no to another command
/// under an id that has an outcome already; and the no to a command that came too early, which may come again.
pub(crate) fn is_remembered(result: &CommandResult) -> bool {
    let is_lasting = |refusal: &Refusal| refusal.kind != RefusalKind::CommandId && refusal.code != TOO_EARLY;
    !result.replayed
        && !result.dry_run
        && match result.decided() {
            Outcome::Accepted(_) => true,
            Outcome::Refused(refusal) => is_lasting(&refusal),
        }
}

/// Whether the command came too early, and may come again.
pub(crate) fn is_too_early(result: &CommandResult) -> bool {
    // Most results have no refusal, and need not be copied.
    result.refusal.is_some()
        && matches!(result.decided(), Outcome::Refused(refusal) if refusal.code == TOO_EARLY)
}

/// The code of the refusal of a command whose sender has seen more than is known here.
pub(crate) const TOO_EARLY: &str = "token-not-reached";
