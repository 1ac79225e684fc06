//! The engine behind the HTTP front.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldline_core::{AggregateId, AggregateType, AnyCommand, CommandMeta, EventMeta};
use foldline_kafka::{Gateway, StatusError, SubmitError};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Asked, CommandStatus, Commands, DeadLettered, Found, NoStatus, NotTaken, Place, Rehearsed, Rehearsing,
    Submitted, Unreadable,
};

/// How long a command that nobody waits for any more is known to be pending. It counts among those that wait, so
/// that a client that never waits is told to slow down like any other.
const PENDING_MAX: Duration = Duration::from_secs(600);

/// A gateway that comes when the engine has started. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct LateGateway(Arc<OnceLock<Gateway>>);

impl LateGateway {
    pub(crate) fn has_come(&self) -> bool {
        self.0.get().is_some()
    }

    pub(crate) fn comes(&self, gateway: Gateway) {
        // There is one engine in a process.
        let _ = self.0.set(gateway);
    }

    fn open(&self) -> Result<&Gateway, NotTaken> {
        let starting = || NotTaken::Unavailable("the engine is still starting".to_owned());
        self.0.get().ok_or_else(starting)
    }

    fn readable(&self) -> Result<&Gateway, Unreadable> {
        self.0
            .get()
            .ok_or_else(|| Unreadable("it is not open yet".to_owned()))
    }
}

impl Commands for LateGateway {
    fn submit<'a>(
        &'a self,
        aggregate: &'a Arc<dyn AggregateType>,
        meta: CommandMeta,
        command: &'a AnyCommand,
        trace: Option<&'a str>,
        wait: Duration,
    ) -> Submitted<'a> {
        Box::pin(async move {
            let pending = self
                .open()?
                .submit(aggregate, meta, command, trace)
                .await
                .map_err(not_taken)?;
            let outcome = tokio::spawn(pending.wait(PENDING_MAX));
            let in_time = tokio::time::timeout(wait, outcome).await;
            // It is in the log in any case: a wait that ended badly is one that ended without outcome.
            Ok(in_time.ok().and_then(Result::ok).flatten())
        })
    }

    fn rehearse<'a>(
        &'a self,
        aggregate: &'a Arc<dyn AggregateType>,
        meta: CommandMeta,
        command: &'a AnyCommand,
    ) -> Rehearsing<'a> {
        Box::pin(async move {
            let rehearsed = self
                .open()?
                .rehearse(aggregate, meta, command)
                .await
                .map_err(not_taken)?;
            let event = |(meta, payload): (EventMeta, Value)| meta.to_json(payload);
            Ok(Rehearsed {
                events: rehearsed.events.into_iter().map(event).collect(),
                result: rehearsed.result,
                state: rehearsed.state,
                owner: rehearsed.owner,
            })
        })
    }

    fn status(&self, command_id: Uuid, wait: Duration) -> Asked<'_> {
        Box::pin(async move {
            let status = self.readable()?.outcome(command_id, wait).await;
            Ok(match status.map_err(no_status)? {
                foldline_kafka::CommandStatus::Unknown => CommandStatus::Unknown,
                foldline_kafka::CommandStatus::Pending => CommandStatus::Pending,
                foldline_kafka::CommandStatus::Decided(result) => CommandStatus::Decided(result),
                foldline_kafka::CommandStatus::DeadLettered(letter) => {
                    CommandStatus::DeadLettered(Box::new(dead_lettered(*letter)))
                }
            })
        })
    }

    fn state(&self, aggregate: &Arc<dyn AggregateType>, id: &AggregateId) -> Found {
        let state = self.readable()?.state(aggregate, id);
        state.map_err(|error| Unreadable(error.to_string()))
    }

    fn cluster_id(&self) -> &str {
        self.0.get().map_or("", Gateway::cluster_id)
    }
}

fn no_status(error: StatusError) -> NoStatus {
    match error {
        StatusError::Follow(error) => Unreadable(error.to_string()).into(),
        StatusError::Look(error) => NoStatus::NotNow(error.to_string()),
    }
}

fn dead_lettered(letter: foldline_kafka::DeadLettered) -> DeadLettered {
    let place = |topic, offset| Place {
        topic,
        partition: letter.partition,
        offset,
    };
    DeadLettered {
        reason: letter.reason,
        command: place(letter.topic, letter.offset),
        set_aside: place(letter.set_aside_in, letter.set_aside_at),
    }
}

fn not_taken(error: SubmitError) -> NotTaken {
    match error {
        SubmitError::Full { .. } => NotTaken::Full,
        SubmitError::Unavailable(_) => NotTaken::Unavailable(error.to_string()),
        SubmitError::Unreadable(_) => NotTaken::Unreadable(error.to_string()),
        SubmitError::NotInstalled(_) | SubmitError::Encode(_) => NotTaken::Bug(error.to_string()),
    }
}
