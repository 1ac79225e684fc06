use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::id::uuid_of;
use crate::{AggregateId, EventHash, Refusal, RefusalKind, Sequence, Timestamp};

/// What every command record says besides its payload. The fields, in this order, are those of the schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandMeta {
    /// The command's identity: sent twice, it is answered twice and decided once.
    pub command_id: Uuid,
    /// The name of the payload that is set.
    pub command_type: String,
    /// The aggregate that is to decide; also the record's key.
    pub aggregate_id: AggregateId,
    /// When it was issued, by its sender's clock.
    pub issued_at: Timestamp,
    /// The conversation that it belongs to; the command's own id if none is given.
    pub correlation_id: Option<String>,
    /// The message that caused it, if another one did.
    pub causation_id: Option<String>,
    /// Who sent it.
    pub actor: Option<String>,
    /// The sequence that the aggregate must be at.
    pub expected_sequence: Option<Sequence>,
    /// What its sender has seen: it is not decided on older states.
    pub consistency_token: Option<String>,
    /// Whether only to say what would become of it.
    pub dry_run: bool,
}

impl CommandMeta {
    /// The least that is said of a command. Its type is that of its payload, and set when it is written.
    pub fn new(command_id: Uuid, aggregate_id: AggregateId, issued_at: Timestamp) -> Self {
        Self {
            command_id,
            command_type: String::new(),
            aggregate_id,
            issued_at,
            correlation_id: None,
            causation_id: None,
            actor: None,
            expected_sequence: None,
            consistency_token: None,
            dry_run: false,
        }
    }
}

/// What every event record says besides its payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventMeta {
    /// The event's identity, made from the command's id and the event's index.
    pub event_id: Uuid,
    /// The name of the payload that is set.
    pub event_type: String,
    /// The aggregate; also the record's key.
    pub aggregate_id: AggregateId,
    /// The event's place in its aggregate, from 1, without gap.
    pub sequence: Sequence,
    /// The revision of the payload, from 1. What was read is always of today's; see
    /// [`written_revision`](Self::written_revision).
    pub revision: i32,
    /// When the command was issued, by its sender's clock.
    pub occurred_at: Timestamp,
    /// When the event was decided, by the command handler's clock.
    pub recorded_at: Timestamp,
    /// The command that it came from.
    pub command_id: Uuid,
    /// The conversation that it belongs to.
    pub correlation_id: String,
    /// The message that caused it: the command.
    pub causation_id: String,
    /// Who sent the command.
    pub actor: Option<String>,
    /// Its place among the events of its command, from 0.
    pub index: i32,
    /// How many events its command made.
    pub count: i32,
    /// Where its command lies, in the partition of the same number.
    pub command_offset: i64,
    /// The hash of the event before it in its aggregate; `None` for the first one, and for those of writers
    /// that did not know it yet.
    pub previous_hash: Option<EventHash>,
    /// The revision that it was written in, and lies in its topic in. No field of the record, whose `revision` it is.
    #[serde(default, skip_serializing)]
    pub written_revision: i32,
}

impl EventMeta {
    /// The identity of the event with this index of a command: the same each time the command is decided.
    pub fn id_of(command_id: &Uuid, index: i32) -> Uuid {
        uuid_of(command_id, format!("event/{index}").as_bytes())
    }

    /// As the API shows it, with the payload beside it.
    pub fn to_json(&self, payload: Value) -> Value {
        let mut shown = serde_json::to_value(Shown::from(self)).expect("a struct with names for keys");
        shown["payload"] = payload;
        shown
    }

    /// [`to_json`](Self::to_json) as text, of a payload that is tagged with its event's type: for every event of a history,
    /// into one buffer, without a tree of values in between.
    pub(crate) fn to_text(&self, tagged: &impl Serialize) -> String {
        let mut text = Vec::with_capacity(TEXT_BYTES);
        serde_json::to_writer(&mut text, &Shown::from(self)).expect("a struct with names for keys");
        text.pop();
        text.extend_from_slice(b",\"payload\":");
        let begins = text.len();
        serde_json::to_writer(&mut text, tagged).expect("events are structs with names for keys");
        // {"ItemAddedToOrder":{...}}, of which the inner part is wanted: the last brace then closes the whole. A name has no colon.
        let tag = text[begins..].iter().position(|byte| *byte == b':');
        let tag = tag.expect("a struct variant is tagged with its name");
        text.drain(begins..=begins + tag);
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

/// Room for a text: that of an item that was added to an order has 802 bytes.
const TEXT_BYTES: usize = 1024;

/// What the API shows of an event besides its payload.
#[derive(Serialize)]
struct Shown<'a> {
    event_id: Uuid,
    event_type: &'a str,
    aggregate_id: &'a str,
    sequence: Sequence,
    revision: i32,
    written_revision: i32,
    #[serde(serialize_with = "as_text")]
    occurred_at: Timestamp,
    #[serde(serialize_with = "as_text")]
    recorded_at: Timestamp,
    command_id: Uuid,
    correlation_id: &'a str,
    causation_id: &'a str,
    actor: Option<&'a str>,
    index: i32,
    count: i32,
    previous_hash: Option<EventHash>,
}

impl<'a> From<&'a EventMeta> for Shown<'a> {
    fn from(meta: &'a EventMeta) -> Self {
        Self {
            event_id: meta.event_id,
            event_type: &meta.event_type,
            aggregate_id: meta.aggregate_id.as_str(),
            sequence: meta.sequence,
            revision: meta.revision,
            written_revision: meta.written_revision,
            occurred_at: meta.occurred_at,
            recorded_at: meta.recorded_at,
            command_id: meta.command_id,
            correlation_id: &meta.correlation_id,
            causation_id: &meta.causation_id,
            actor: meta.actor.as_deref(),
            index: meta.index,
            count: meta.count,
            previous_hash: meta.previous_hash,
        }
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// An event with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<E> {
    /// Who, when, why.
    pub meta: EventMeta,
    /// What.
    pub event: E,
}

/// The outcome of a command, as it stands on the results topic for ever: the audit of intent, and the memory
/// that makes a repeated command get the same answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandResult {
    /// The command.
    pub command_id: Uuid,
    /// Its type.
    pub command_type: String,
    /// The aggregate that decided.
    pub aggregate_id: AggregateId,
    /// `accepted` or `refused`.
    pub outcome: String,
    /// The aggregate's sequence after the decision.
    pub sequence: Sequence,
    /// The events that it made, in order.
    pub events: Vec<RecordedEvent>,
    /// The rule that refused it.
    pub refusal: Option<RefusalRecord>,
    /// When it was decided, by the command handler's clock.
    pub decided_at: Timestamp,
    /// The conversation that the command belongs to.
    pub correlation_id: String,
    /// Where the command lies, in the partition of the same number.
    pub command_offset: i64,
    /// A hash of what was asked: another command under the same id is told apart.
    pub fingerprint: Uuid,
    /// Whether it repeats the answer that was given before.
    pub replayed: bool,
    /// What a reader must have seen to see this outcome; see [`Token`](crate::Token).
    pub consistency_token: String,
    /// Whether it only says what would have become of the command.
    pub dry_run: bool,
    /// The hash of the last event that it made, so that an aggregate's newest event is witnessed too; `None` if
    /// it made none, and in results of older writers, as are the three that follow.
    pub last_event_hash: Option<EventHash>,
    /// Who sent the command.
    pub actor: Option<String>,
    /// The message that caused the command, if another one did.
    pub causation_id: Option<String>,
    /// When the command was issued, by its sender's clock.
    pub issued_at: Option<Timestamp>,
}

/// An event, as a result names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The event's identity.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// Its place in the aggregate.
    pub sequence: Sequence,
}

/// A [`Refusal`], as a result holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Refusal")]
pub struct RefusalRecord {
    code: String,
    kind: String,
    detail: String,
    field: Option<String>,
    step: i32,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its events are recorded.
    Accepted(Vec<RecordedEvent>),
    /// A rule said no.
    Refused(Refusal),
}

impl CommandResult {
    /// The [`outcome`](Self::outcome) of a command whose events are recorded.
    pub const ACCEPTED: &'static str = "accepted";
    /// That of one to which a rule said no.
    pub const REFUSED: &'static str = "refused";

    /// What became of the command.
    pub fn decided(&self) -> Outcome {
        match &self.refusal {
            None => Outcome::Accepted(self.events.clone()),
            Some(record) => Outcome::Refused(Refusal {
                code: record.code.clone(),
                kind: RefusalKind::from_name(&record.kind),
                detail: record.detail.clone(),
                field: record.field.clone(),
                step: record.step,
            }),
        }
    }

    /// Whether a rule said no, and why: what [`decided`](Self::decided) says, without a copy.
    pub fn refused(&self) -> Option<(RefusalKind, &str)> {
        let record = self.refusal.as_ref()?;
        Some((RefusalKind::from_name(&record.kind), &record.code))
    }

    /// Writes what became of the command.
    #[must_use]
    pub fn with(mut self, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted(events) => {
                Self::ACCEPTED.clone_into(&mut self.outcome);
                self.events = events;
                self.refusal = None;
            }
            Outcome::Refused(refusal) => {
                Self::REFUSED.clone_into(&mut self.outcome);
                self.events = Vec::new();
                self.refusal = Some(RefusalRecord {
                    code: refusal.code,
                    kind: refusal.kind.name().to_owned(),
                    detail: refusal.detail,
                    field: refusal.field,
                    step: refusal.step,
                });
            }
        }
        self
    }
}
