use foldline_core::{AggregateId, Sequence, Timestamp};
use uuid::Uuid;

use crate::ParkedKey;

/// What one commit writes: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Rows that are new, other than before, or gone; applied in this order.
    pub rows: Vec<RowChange>,
    /// Events for the history.
    pub history: Vec<HistoryEvent>,
    /// Commands for the history, of which no event tells.
    pub commands: Vec<HistoryCommand>,
    /// What of it touches rows of other aggregates.
    pub touches: Vec<Touch>,
    /// Aggregates that a projection follows again: what they were parked for is in the rows with this batch. Comes
    /// before `parked`, so that one can be parked anew, further on.
    pub unparked: Vec<ParkedKey>,
    /// Aggregates that a projection stops following from here on.
    pub parked: Vec<Parked>,
    /// How far this brings each projection.
    pub moves: Vec<CheckpointMove>,
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The view, by name.
    pub view: String,
    /// The row.
    pub id: AggregateId,
    /// What it is to be; `None` removes it.
    pub row: Option<NewRow>,
}

/// A row as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// What the API shows, JSON.
    pub doc: String,
    /// Whether clients see it.
    pub listed: bool,
    /// The sequence of the aggregate that the row is about (the one with the row's id); 0 if none of its
    /// events has come yet.
    pub sequence: Sequence,
    /// How often the row has been written, from 1.
    pub version: i64,
}

/// An event, as the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEvent {
    /// The aggregate's type, by its qualified name.
    pub aggregate: String,
    /// The aggregate.
    pub id: AggregateId,
    /// The event's place in it.
    pub sequence: Sequence,
    /// The partition that the event lies in.
    pub partition: i32,
    /// Where it lies there.
    pub offset: i64,
    /// The event's identity.
    pub event_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// When its command was issued, by its sender's clock.
    pub occurred_at: Timestamp,
    /// When it was decided.
    pub recorded_at: Timestamp,
    /// The command that it came from.
    pub command_id: Uuid,
    /// Where the command lies, in the partition of the same number of the command topic.
    pub command_offset: i64,
    /// The conversation that it belongs to.
    pub correlation_id: String,
    /// Who sent the command.
    pub actor: Option<String>,
    /// The event as the API shows it: [`EventMeta::to_json`](foldline_core::EventMeta::to_json).
    pub json: String,
}

/// A command, as the history keeps it: a refused one, or one that something else has caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryCommand {
    /// The type of the aggregate that decided, by its qualified name.
    pub aggregate: String,
    /// The aggregate.
    pub id: AggregateId,
    /// The partition that its result lies in.
    pub partition: i32,
    /// Where its result lies there.
    pub offset: i64,
    /// The command's identity.
    pub command_id: Uuid,
    /// The command's type.
    pub command_type: String,
    /// Where the command lies, in the partition of the same number of the command topic.
    pub command_offset: i64,
    /// The aggregate's sequence after the decision.
    pub sequence: Sequence,
    /// When it was issued, by its sender's clock; `None` if its result does not say.
    pub issued_at: Option<Timestamp>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who sent it.
    pub actor: Option<String>,
    /// The conversation that it belongs to.
    pub correlation_id: String,
    /// What caused it, if another message did.
    pub causation_id: Option<String>,
    /// Why it was refused, as JSON; `None` if it was accepted.
    pub refusal: Option<String>,
}

/// What belongs to a conversation, by time.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// Its commands, as far as the history keeps them.
    pub commands: Vec<HistoryCommand>,
    /// Its events.
    pub events: Vec<HistoryEvent>,
}

/// That an event touches a row that is not about its own aggregate: so that the row can be folded from the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The view.
    pub view: String,
    /// The row.
    pub id: AggregateId,
    /// The type of the event's aggregate, by its qualified name.
    pub aggregate: String,
    /// The partition that the event lies in.
    pub partition: i32,
    /// Where it lies there.
    pub offset: i64,
}

/// An aggregate that a projection cannot follow any further: an event of it could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The projection.
    pub projection: String,
    /// The aggregate's type, by its qualified name.
    pub aggregate: String,
    /// The aggregate.
    pub id: AggregateId,
    /// Why, for the person who is to settle it.
    pub reason: String,
    /// The partition of the event that could not be applied.
    pub partition: i32,
    /// Where the event lies there.
    pub offset: i64,
}

/// Names a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointKey {
    /// The projection: a view's name, or [`HISTORY`](crate::HISTORY).
    pub projection: String,
    /// The type of the aggregates whose events it reads, by its qualified name.
    pub aggregate: String,
    /// The partition that it reads them from.
    pub partition: i32,
}

/// How far a projection has come in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset of the event record to be read next.
    pub next_offset: i64,
    /// The offset of the last command whose events have been applied, -1 before the first.
    pub command_offset: i64,
}

impl Position {
    /// Where a projection stands that has read nothing.
    pub const START: Self = Self {
        next_offset: 0,
        command_offset: -1,
    };
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (command {})", self.next_offset, self.command_offset)
    }
}

/// A step of a checkpoint. One that does not begin where the checkpoint stands is refused: that is what makes
/// each event count once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointMove {
    /// The checkpoint.
    pub key: CheckpointKey,
    /// Where it stands; [`Position::START`] if it has never moved.
    pub from: Position,
    /// Where it is to stand.
    pub to: Position,
}
