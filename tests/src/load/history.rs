use std::time::Duration;

use foldline_core::RecordedEvent;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::client::Answer;

/// A command, as a client sends it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// Its `Idempotency-Key`, which is the command's id.
    pub key: Uuid,
    /// Where it is sent.
    pub path: String,
    /// What is sent.
    pub body: Value,
    /// What must come of it.
    pub expected: Expected,
}

/// What must come of a command that nobody else gets in the way of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Expected {
    /// An event of this type.
    Event(&'static str),
    /// It is accepted, and nothing happens: it is so already.
    Nothing,
    /// A no with this code.
    Refusal(&'static str),
    /// Events, or else this no: others want the same.
    EventUnless(&'static str),
}

/// What was decided, as the client was told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Verdict {
    /// It made these events.
    Accepted(Vec<RecordedEvent>),
    /// A rule, by its code, said no.
    Refused(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// The command that it is about.
    pub command_id: Uuid,
    /// The link of the aggregate that decided.
    pub aggregate: String,
    /// What was decided.
    pub verdict: Verdict,
    /// Where the aggregate stood afterwards.
    pub sequence: i64,
    /// Whether it repeats an answer.
    pub replayed: bool,
    /// The consistency token that came with it.
    pub token: Option<String>,
    /// When it came, since the load began.
    pub at: Duration,
}

/// A command with every answer to it: none, if it had none in time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The command.
    pub asked: Asked,
    /// When it was first sent, since the load began.
    pub asked_at: Duration,
    /// What came.
    pub answers: Vec<Answered>,
}

impl Answered {
    /// Reads an answer; `None` if it says that the outcome is not known (yet). Panics if it is no answer to a
    /// command of the right form.
    pub(super) fn read(asked: &Asked, answer: &Answer, at: Duration) -> Option<Self> {
        let body = &answer.body;
        let verdict = match answer.status {
            202 | 503 => return None,
            200 | 201 => Verdict::Accepted(
                serde_json::from_value(body["events"].clone())
                    .unwrap_or_else(|error| panic!("{error}: {answer:?}")),
            ),
            _ => Verdict::Refused(answer.text("/code").to_owned()),
        };
        let command_id = answer.text("/command_id").parse();
        let (Ok(command_id), Some(sequence), Some(replayed)) =
            (command_id, body["sequence"].as_i64(), body["replayed"].as_bool())
        else {
            panic!("no outcome of {asked:?}: {answer:?}");
        };
        Some(Self {
            command_id,
            aggregate: answer.text("/aggregate").to_owned(),
            verdict,
            sequence,
            replayed,
            token: answer.header("consistency-token").map(str::to_owned),
            at,
        })
    }
}
