//! An aggregate type without its types: what the engine runs.

mod fingerprint;
mod typed;

use std::any::Any;

use serde_json::Value;
use uuid::Uuid;

use crate::{
    Aggregate, AggregateId, CommandMeta, Context, DecodeError, EncodeError, EventMeta, FormErrors,
    RecordCodec, Refusal, RefusalKind, Sequence, Unique, Writer,
};

pub(crate) use self::typed::Typed;

/// The state of an aggregate of some type.
pub type State = Box<dyn Any + Send + Sync>;

/// A command of some type, or several that are decided as one.
pub struct AnyCommand(Box<dyn Any + Send + Sync>);

/// An event of some type.
pub struct AnyEvent(pub(crate) Box<dyn Any + Send + Sync>);

/// A command as it came from its topic.
pub struct DecodedCommand {
    /// Who, when, why.
    pub meta: CommandMeta,
    /// What.
    pub command: AnyCommand,
    /// A hash of what is asked: the aggregate, the payload, the expected sequence.
    pub fingerprint: Uuid,
}

/// An event as it came from its topic.
pub struct DecodedEvent {
    /// Who, when, why.
    pub meta: EventMeta,
    /// What.
    pub event: AnyEvent,
}

/// What can be asked of an aggregate type.
#[derive(Debug, Clone)]
pub struct CommandType {
    /// `AddItemToOrder`.
    pub name: String,
    /// What it does.
    pub doc: String,
    /// Whether it makes a new aggregate.
    pub creates: bool,
    /// The JSON Schema of its fields, complete in itself.
    pub schema: Value,
}

/// What an aggregate type declares.
#[derive(Debug, Clone)]
pub struct AggregateInfo {
    /// The domain that it belongs to.
    pub domain: String,
    /// Its name, which names its topics.
    pub name: String,
    /// Where the API serves it; empty for what the engine keeps for itself.
    pub path: &'static str,
    /// The types (by name, in the same domain) whose states its decisions look at.
    pub references: &'static [&'static str],
    /// The names of the values that only one of them may hold.
    pub unique: &'static [&'static str],
    /// What can be asked, in the order of the schema.
    pub commands: Vec<CommandType>,
    /// The types of its events, in the order of the schema.
    pub events: Vec<String>,
    /// Whether it has personal values; see [`Personal`](crate::Personal).
    pub is_personal: bool,
    /// The type (by name, in the same domain) whose aggregates those values are about.
    pub subject: String,
    /// The codes of its rejections; see [`Rejection::CODES`](crate::Rejection::CODES).
    pub codes: &'static [&'static str],
}

impl AggregateInfo {
    /// Its name among those of all domains, `restaurant.orders`: what its topics and tokens begin with.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.domain, self.name)
    }

    /// What the engine refuses by itself, whatever the domain would say: a command on an aggregate that does not exist,
    /// and one that expects it at another sequence.
    pub fn refusal(&self, meta: &CommandMeta, sequence: Sequence) -> Option<Refusal> {
        let creates = || {
            let mut commands = self.commands.iter();
            commands.any(|command| command.creates && command.name == meta.command_type)
        };
        if sequence == 0 && !creates() {
            let detail = format!("there is no {}/{}", self.path, meta.aggregate_id);
            return Some(Refusal::engine(
                "unknown-aggregate",
                RefusalKind::UnknownAggregate,
                detail,
            ));
        }
        match meta.expected_sequence {
            Some(expected) if expected != sequence => {
                let detail = format!("it is at sequence {sequence}, and {expected} was expected");
                Some(Refusal::engine(
                    "sequence-mismatch",
                    RefusalKind::Sequence,
                    detail,
                ))
            }
            _ => None,
        }
    }

    /// Whether its personal values are about its own aggregates.
    pub fn is_subject(&self) -> bool {
        self.is_personal && self.subject == self.name
    }

    /// Whether the engine keeps it for itself: it has no API.
    pub fn is_internal(&self) -> bool {
        self.path.is_empty()
    }
}

/// An aggregate type, installed.
///
/// Values of one type must not be given to another one: each method that takes a [`State`], an [`AnyCommand`]
/// or an [`AnyEvent`] panics if it is not its own.
pub trait AggregateType: Send + Sync {
    /// What it declares.
    fn info(&self) -> &AggregateInfo;
    /// Reads and writes command records.
    fn command_codec(&self) -> &RecordCodec;
    /// Reads and writes event records.
    fn event_codec(&self) -> &RecordCodec;

    /// The state of an aggregate that does not exist yet.
    fn initial(&self) -> State;
    /// A copy.
    fn clone_state(&self, state: &State) -> State;
    /// The state as the local store keeps it.
    fn encode_state(&self, state: &State) -> Vec<u8>;
    /// Reads [`encode_state`](Self::encode_state); `None` if it is of another shape.
    fn decode_state(&self, bytes: &[u8]) -> Option<State>;
    /// The state as JSON.
    fn state_json(&self, state: &State) -> Value;
    /// The state as JSON text, which snapshots hold; `None` if JSON cannot hold it, so that it would be another one when it is
    /// read again.
    fn state_text(&self, state: &State) -> Option<String>;
    /// Reads [`state_text`](Self::state_text); `None` if it is of another shape.
    fn state_from_text(&self, text: &str) -> Option<State>;
    /// Whether two states are equal.
    fn is_same_state(&self, state: &State, other: &State) -> bool;
    /// The JSON Schema of [`state_json`](Self::state_json), complete in itself.
    fn state_schema(&self) -> Value;
    /// Changes whenever the stored form of states may have: states of another shape are folded anew.
    fn state_shape(&self) -> Uuid;

    /// Decides.
    fn decide(
        &self,
        state: &State,
        command: &AnyCommand,
        context: &Context<'_>,
    ) -> Result<Vec<AnyEvent>, Refusal>;
    /// Folds an event in.
    fn evolve(&self, state: &mut State, event: &AnyEvent);
    /// The values that the state holds and nobody else may.
    fn unique(&self, state: &State) -> Vec<Unique>;
    /// Whose the aggregate is; see [`Aggregate::owner`].
    fn owner(&self, state: &State, id: &AggregateId) -> Option<String>;
    /// Whom its personal values are about; see [`Aggregate::subject`].
    fn subject(&self, state: &State, id: &AggregateId) -> Option<AggregateId>;
    /// Whose it would be, made by this command, or by the first of several; see [`Aggregate::named_owner`].
    fn named_owner(&self, id: &AggregateId, command: &AnyCommand) -> Option<String>;
    /// The types of the commands that the state can accept.
    fn possible(&self, state: &State) -> Vec<&'static str>;

    /// Reads a command from JSON: `{"type": "AddItemToOrder", ...}`, or without a type if `assumed` gives it. Or a
    /// list of commands, which are decided as one; the type is then that of the first.
    fn command_from_json(
        &self,
        body: &Value,
        assumed: Option<&str>,
    ) -> Result<(String, AnyCommand), FormErrors>;
    /// The type of a command, or the types of several, in their order.
    fn command_types(&self, command: &AnyCommand) -> Vec<String>;
    /// Reads a command record of our schema.
    fn decode_command(&self, datum: &[u8]) -> Result<DecodedCommand, DecodeError>;
    /// Appends a command record, and sets the type in `meta`.
    fn encode_command(
        &self,
        meta: &mut CommandMeta,
        command: &AnyCommand,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;

    /// Reads an event record of our schema. An event of an older revision is made into today's.
    fn decode_event(&self, datum: &[u8]) -> Result<DecodedEvent, DecodeError>;
    /// Reads an event record that another schema has written, likewise.
    fn decode_event_by(&self, writer: &Writer, datum: &[u8]) -> Result<DecodedEvent, DecodeError>;
    /// Appends an event record, and sets the type and the revision in `meta`.
    fn encode_event(
        &self,
        meta: &mut EventMeta,
        event: &AnyEvent,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;
    /// The event's payload as JSON.
    fn event_json(&self, event: &AnyEvent) -> Value;
    /// The event with its envelope, as the API shows it: the text of [`EventMeta::to_json`].
    fn event_text(&self, event: &DecodedEvent) -> String;
    /// The event's payload as JSON, under the name of its type: `{"CounterIncremented": {"by": 2}}`.
    fn event_tagged(&self, event: &AnyEvent) -> Value;
    /// The JSON Schema of [`event_tagged`](Self::event_tagged), complete in itself.
    fn event_schema(&self) -> Value;
    /// Reads [`event_json`](Self::event_json), also that of an older revision.
    fn event_from_json(
        &self,
        event_type: &str,
        revision: i32,
        payload: Value,
    ) -> Result<AnyEvent, DecodeError>;
    /// The revision of an event type that is written today: from 1, and 1 for a type that there is not.
    fn revision_of(&self, event_type: &str) -> i32;
}

impl AnyCommand {
    /// A command of the aggregate type `A`.
    pub fn new<A: Aggregate>(command: A::Command) -> Self {
        Self(Box::new(vec![command]))
    }
}

impl AnyEvent {
    /// An event of the aggregate type `A`.
    pub fn new<A: Aggregate>(event: A::Event) -> Self {
        Self(Box::new(event))
    }

    /// The event, if it is of the aggregate type `A`.
    pub fn get<A: Aggregate>(&self) -> Option<&A::Event> {
        self.0.downcast_ref()
    }
}

#[cfg(test)]
mod tests;
