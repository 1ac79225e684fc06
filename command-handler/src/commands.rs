//! What the HTTP front needs of the engine: commands in, outcomes out. It knows no Kafka.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::{AggregateId, AggregateType, AnyCommand, CommandMeta, CommandResult, Sequence, State};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// What comes back from [`Commands::submit`].
pub type Submitted<'a> = Pin<Box<dyn Future<Output = Result<Option<CommandResult>, NotTaken>> + Send + 'a>>;

/// What comes back from [`Commands::rehearse`].
pub type Rehearsing<'a> = Pin<Box<dyn Future<Output = Result<Rehearsed, NotTaken>> + Send + 'a>>;

/// What comes back from [`Commands::status`].
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<CommandStatus, NoStatus>> + Send + 'a>>;

/// What comes back from [`Commands::state`].
pub type Found = Result<Option<(State, Sequence)>, Unreadable>;

/// The engine, as the HTTP front sees it.
pub trait Commands: Send + Sync + 'static {
    /// Appends a command to its topic, with the trace that it belongs to (`traceparent`), and waits for its outcome at
    /// most as long as given: `None` means that it is in the log and will be decided.
    fn submit<'a>(
        &'a self,
        aggregate: &'a Arc<dyn AggregateType>,
        meta: CommandMeta,
        command: &'a AnyCommand,
        trace: Option<&'a str>,
        wait: Duration,
    ) -> Submitted<'a>;

    /// What would become of a command, at the sequence that its aggregate is at. Nothing is written.
    fn rehearse<'a>(
        &'a self,
        aggregate: &'a Arc<dyn AggregateType>,
        meta: CommandMeta,
        command: &'a AnyCommand,
    ) -> Rehearsing<'a>;

    /// What became of a command; waits at most as long as given for one that is not decided yet.
    fn status(&self, command_id: Uuid, wait: Duration) -> Asked<'_>;

    /// The state of an aggregate, as far as this process has followed. `None` if it does not exist.
    fn state(&self, aggregate: &Arc<dyn AggregateType>, id: &AggregateId) -> Found;

    /// The cluster whose tokens are understood.
    fn cluster_id(&self) -> &str;
}

/// What would become of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// Its outcome, and the sequence that it leads to.
    pub result: CommandResult,
    /// The events that it would make, as history would show them.
    pub events: Vec<Value>,
    /// The aggregate's state afterwards; `Null` if it would be refused.
    pub state: Value,
    /// Whose the aggregate is, by that state: who asks may not be the one who reads it.
    pub owner: Option<String>,
}

/// A command is not in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// As many commands as may wait are waiting.
    #[error("too many commands are waiting for their outcome")]
    Full,
    /// Kafka does not take it, or did not say so: sent again under the same id, it is decided once.
    #[error("{0}")]
    Unavailable(String),
    /// Its form is right, and it holds what no command in a topic may hold.
    #[error("{0}")]
    Unreadable(String),
    /// A bug: its form is right, and the engine cannot write it.
    #[error("{0}")]
    Bug(String),
}

/// The engine cannot read what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// What became of a command cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStatus {
    /// The engine cannot read what it keeps.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The log cannot be looked through now.
    #[error("{0}")]
    NotNow(String),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandStatus {
    /// Nothing is known of it.
    Unknown,
    /// It is in the log, and not decided yet.
    Pending,
    /// It was decided.
    Decided(Box<CommandResult>),
    /// It could not be read as a command, and was set aside.
    DeadLettered(Box<DeadLettered>),
}

/// A record that was set aside, because it could not be read as a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLettered {
    /// Why.
    pub reason: String,
    /// Where the command lies.
    pub command: Place,
    /// Where it lies as a dead letter.
    pub set_aside: Place,
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition of it.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}
