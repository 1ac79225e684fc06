//! The stand-in for the engine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldline_command_handler::{
    Asked, CommandStatus, Commands, Found, NotTaken, Rehearsed, Rehearsing, Submitted,
};
use foldline_core::{
    AggregateId, AggregateType, AnyCommand, CommandMeta, CommandResult, Outcome, RecordedEvent, Refusal,
    Sequence, Timestamp, Token,
};
use serde_json::json;
use uuid::Uuid;

/// What the engine is to do with commands.
#[derive(Clone)]
pub enum Then {
    /// Accepts them with one event of this sequence.
    Accept(Sequence),
    /// Accepts them without events: it was so already.
    Already,
    Refuse(Refusal),
    /// They are in the log, and nothing more comes.
    Silence,
    NotTaken(NotTaken),
}

/// A command as it was handed in.
#[derive(Debug, Clone)]
pub struct Taken {
    pub meta: CommandMeta,
    pub trace: Option<String>,
    pub wait: Duration,
}

#[derive(Clone)]
pub struct Engine {
    then: Then,
    pub taken: Arc<Mutex<Vec<Taken>>>,
    /// What it knows of commands.
    pub known: Arc<Mutex<Vec<(Uuid, CommandStatus)>>>,
    /// The sequence of the one aggregate that there is.
    pub exists: Option<(AggregateId, Sequence)>,
}

impl Engine {
    pub fn new(then: Then) -> Self {
        Self {
            then,
            taken: Arc::default(),
            known: Arc::default(),
            exists: None,
        }
    }
}

/// The result of a command, as the engine would write it.
pub fn result(meta: &CommandMeta, sequence: Sequence, outcome: Outcome) -> CommandResult {
    let result = CommandResult {
        command_id: meta.command_id,
        command_type: meta.command_type.clone(),
        aggregate_id: meta.aggregate_id.clone(),
        outcome: String::new(),
        sequence,
        events: Vec::new(),
        refusal: None,
        decided_at: Timestamp(0),
        correlation_id: "talk".into(),
        command_offset: 5,
        fingerprint: Uuid::nil(),
        replayed: false,
        consistency_token: Token::at("here", "post.parcels", 1, 5).to_string(),
        dry_run: false,
        last_event_hash: None,
        actor: None,
        causation_id: None,
        issued_at: None,
    };
    result.with(outcome)
}

pub fn event(sequence: Sequence) -> RecordedEvent {
    RecordedEvent {
        event_id: Uuid::from_u128(7),
        event_type: "ParcelSent".into(),
        sequence,
    }
}

impl Commands for Engine {
    fn submit<'a>(
        &'a self,
        aggregate: &'a Arc<dyn AggregateType>,
        mut meta: CommandMeta,
        command: &'a AnyCommand,
        trace: Option<&'a str>,
        wait: Duration,
    ) -> Submitted<'a> {
        aggregate
            .encode_command(&mut meta, command, &mut Vec::new())
            .unwrap();
        self.taken.lock().unwrap().push(Taken {
            meta: meta.clone(),
            trace: trace.map(str::to_owned),
            wait,
        });
        let answer = match self.then.clone() {
            Then::Accept(sequence) => Ok(Some(result(
                &meta,
                sequence,
                Outcome::Accepted(vec![event(sequence)]),
            ))),
            Then::Already => Ok(Some(result(&meta, 3, Outcome::Accepted(vec![])))),
            Then::Refuse(refusal) => Ok(Some(result(&meta, 3, Outcome::Refused(refusal)))),
            Then::Silence => Ok(None),
            Then::NotTaken(reason) => Err(reason),
        };
        Box::pin(async { answer })
    }

    fn rehearse<'a>(
        &'a self,
        _: &'a Arc<dyn AggregateType>,
        meta: CommandMeta,
        _: &'a AnyCommand,
    ) -> Rehearsing<'a> {
        let outcome = match &self.then {
            Then::Refuse(refusal) => Outcome::Refused(refusal.clone()),
            _ => Outcome::Accepted(vec![event(1)]),
        };
        let rehearsed = Rehearsed {
            result: result(&meta, 1, outcome),
            events: vec![json!({"event_type": "ParcelSent"})],
            state: json!({"weight": 7}),
            owner: Some("ada".into()),
        };
        Box::pin(async { Ok(rehearsed) })
    }

    fn status(&self, command_id: Uuid, _: Duration) -> Asked<'_> {
        let known = self.known.lock().unwrap();
        let found = known.iter().find(|(id, _)| *id == command_id);
        let status = found.map_or(CommandStatus::Unknown, |(_, status)| status.clone());
        Box::pin(async { Ok(status) })
    }

    fn state(&self, aggregate: &Arc<dyn AggregateType>, id: &AggregateId) -> Found {
        let exists = self.exists.as_ref().filter(|(known, _)| known == id);
        Ok(exists.map(|(_, sequence)| (aggregate.initial(), *sequence)))
    }

    fn cluster_id(&self) -> &str {
        "here"
    }
}
