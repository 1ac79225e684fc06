//! What becomes of one command, as it will stand in the topics.

use std::time::{SystemTime, UNIX_EPOCH};

use foldline_core::personal::{Seal, seal};
use foldline_core::{
    AnyEvent, CommandMeta, CommandResult, DecodedCommand, EncodeError, EventHash, EventMeta, Outcome,
    RecordedEvent, Refusal, RefusalKind, Sequence, State, Timestamp, Unique,
};

use super::decide::Deciding;
use super::intake::Taken;
use crate::registry::begin_wire_format;
use crate::store::Known;

/// What became of one command.
pub(super) struct Made {
    pub(super) result: CommandResult,
    pub(super) events: Vec<Recorded>,
    /// Unique values that are given up with it.
    pub(super) released: Vec<Unique>,
    /// Of a dry run, what would have been recorded.
    pub(super) rehearsed: Option<(Vec<Recorded>, State)>,
}

impl Made {
    /// An outcome without events.
    fn nothing_new(result: CommandResult) -> Self {
        Self {
            result,
            events: Vec::new(),
            released: Vec::new(),
            rehearsed: None,
        }
    }
}

/// An event, and the record that it becomes.
pub(super) struct Recorded {
    pub(super) meta: EventMeta,
    pub(super) event: AnyEvent,
    pub(super) value: Vec<u8>,
}

impl Deciding<'_> {
    pub(super) fn refuse(
        &self,
        taken: &Taken,
        command: &DecodedCommand,
        sequence: Sequence,
        refusal: Refusal,
    ) -> Made {
        let result = blank(taken, command, sequence, self.now).with(Outcome::Refused(refusal));
        let released = match command.meta.dry_run {
            true => Vec::new(),
            false => self.reservations.granted_to(command.meta.command_id),
        };
        Made {
            result,
            events: Vec::new(),
            released,
            rehearsed: None,
        }
    }

    /// Writes the events, each with the hash of the one before it. Also returns the hash of the last one, which the
    /// aggregate's next event names.
    pub(super) fn accept(
        &self,
        taken: &Taken,
        command: &DecodedCommand,
        (before, by): (&Known, Seal),
        events: Vec<AnyEvent>,
        released: Vec<Unique>,
    ) -> Result<(Made, Option<EventHash>), EncodeError> {
        let sequence = before.sequence;
        let meta = &command.meta;
        // The events of a dry run lie nowhere: nothing can be chained to them.
        let dry_run = meta.dry_run;
        let mut tip = before.tip.filter(|_| !dry_run);
        let installed = self.shared.catalog.get(taken.slice);
        // A decision makes a handful of events.
        let count = i32::try_from(events.len()).unwrap_or(i32::MAX);
        let correlation_id = correlation_of(meta);
        let record = |(index, event): (i32, AnyEvent)| {
            let mut meta = EventMeta {
                event_id: EventMeta::id_of(&meta.command_id, index),
                // Its codec sets these two.
                event_type: String::new(),
                revision: 1,
                aggregate_id: meta.aggregate_id.clone(),
                sequence: sequence + Sequence::from(index) + 1,
                occurred_at: meta.issued_at,
                recorded_at: self.now,
                command_id: meta.command_id,
                correlation_id: correlation_id.clone(),
                causation_id: meta.command_id.to_string(),
                actor: meta.actor.clone(),
                index,
                count,
                command_offset: taken.offset,
                previous_hash: tip,
                written_revision: 1,
            };
            let mut value = begun(installed.events.reader.own_id());
            let mut encode = || installed.aggregate.encode_event(&mut meta, &event, &mut value);
            match installed.keys {
                None => encode()?,
                Some(_) => seal(by.clone(), encode).0?,
            }
            if !dry_run {
                tip = Some(EventHash::of(&value));
            }
            Ok(Recorded { meta, event, value })
        };
        let events = (0..count)
            .zip(events)
            .map(record)
            .collect::<Result<Vec<_>, EncodeError>>()?;
        let named = events.iter().map(|event| RecordedEvent {
            event_id: event.meta.event_id,
            event_type: event.meta.event_type.clone(),
            sequence: event.meta.sequence,
        });
        let outcome = Outcome::Accepted(named.collect());
        let result = CommandResult {
            last_event_hash: tip.filter(|_| count > 0),
            ..blank(taken, command, sequence + Sequence::from(count), self.now).with(outcome)
        };
        let made = Made {
            result,
            events,
            released,
            rehearsed: None,
        };
        Ok((made, tip))
    }
}

/// Room for a value, which is copied when it must grow: the event of an item that was added to an order has 406 bytes, and its
/// result 380.
const VALUE_BYTES: usize = 512;

/// A value in the registry's wire format, up to where its datum begins.
pub(super) fn begun(schema_id: u32) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE_BYTES);
    begin_wire_format(schema_id, &mut value);
    value
}

/// The answer that was given before, once more.
pub(super) fn repeated(taken: &Taken, earlier: CommandResult) -> Made {
    Made::nothing_new(CommandResult {
        command_offset: taken.offset,
        replayed: true,
        ..earlier
    })
}

/// A no: under this id something else was asked before.
pub(super) fn reused(
    taken: &Taken,
    command: &DecodedCommand,
    earlier: &CommandResult,
    sequence: Sequence,
    now: Timestamp,
) -> Made {
    let detail = format!(
        "{} was the id of another command, a {}",
        earlier.command_id, earlier.command_type
    );
    let refusal = Refusal::engine("command-id-reused", RefusalKind::CommandId, detail);
    Made::nothing_new(blank(taken, command, sequence, now).with(Outcome::Refused(refusal)))
}

fn blank(taken: &Taken, command: &DecodedCommand, sequence: Sequence, now: Timestamp) -> CommandResult {
    let meta = &command.meta;
    CommandResult {
        command_id: meta.command_id,
        command_type: meta.command_type.clone(),
        aggregate_id: meta.aggregate_id.clone(),
        outcome: String::new(),
        sequence,
        events: Vec::new(),
        refusal: None,
        decided_at: now,
        correlation_id: correlation_of(meta),
        command_offset: taken.offset,
        fingerprint: command.fingerprint,
        replayed: false,
        consistency_token: String::new(),
        dry_run: meta.dry_run,
        last_event_hash: None,
        actor: meta.actor.clone(),
        causation_id: meta.causation_id.clone(),
        issued_at: Some(meta.issued_at),
    }
}

fn correlation_of(meta: &CommandMeta) -> String {
    meta.correlation_id
        .clone()
        .unwrap_or_else(|| meta.command_id.to_string())
}

/// When it is decided; never part of what is decided.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
