//! What became of a command, asked by its id alone.

use std::sync::Arc;
use std::time::Duration;

use foldline_core::CommandResult;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::follower::FollowError;
use crate::gateway::{Gateway, Pending};
use crate::lookout::{DeadLettered, LookError, Sighting};

/// Who waits for a command looks again so often whether it is a dead letter by now, which nobody is told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of a command. Every instance goes by the same log, so all say the same, some milliseconds apart.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandStatus {
    /// Nothing: it was never sent, or it was refused in a way that binds nobody and is forgotten.
    Unknown,
    /// It is in its topic and not decided yet.
    Pending,
    /// It is decided.
    Decided(Box<CommandResult>),
    /// It could not be read as a command, and was set aside.
    DeadLettered(Box<DeadLettered>),
}

/// What is known of a command cannot be told now.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// What is known of outcomes cannot be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The command topics cannot be looked through.
    #[error(transparent)]
    Look(#[from] LookError),
}

impl Gateway {
    /// What is known of a command; waits for its outcome, at most so long, if it is pending.
    pub async fn outcome(&self, command_id: Uuid, at_most: Duration) -> Result<CommandStatus, StatusError> {
        let deadline = Instant::now() + at_most;
        // First to wait, then to look: an outcome that comes in between is not missed. Who finds no place to wait
        // is told what is known.
        let mut waiting = Pending::join(&self.shared.waiters, command_id);
        loop {
            let status = self.status(command_id).await?;
            let rest = deadline.saturating_duration_since(Instant::now());
            let (CommandStatus::Pending, Some(pending), false) = (&status, &mut waiting, rest.is_zero())
            else {
                return Ok(status);
            };
            let decided = timeout(rest.min(LOOK_AGAIN), &mut pending.answer).await;
            if decided.is_ok() {
                return self.status(command_id).await;
            }
        }
    }

    async fn status(&self, command_id: Uuid) -> Result<CommandStatus, StatusError> {
        if let Some(result) = self.decided(command_id).await? {
            return Ok(CommandStatus::Decided(Box::new(result)));
        }
        let sighting = self.shared.lookout.look_for(command_id).await?;
        // It may have been decided while it was looked for.
        if let Some(result) = self.decided(command_id).await? {
            return Ok(CommandStatus::Decided(Box::new(result)));
        }
        Ok(match (sighting, self.shared.waiters.passing(command_id)) {
            (Sighting::Undecided, _) => CommandStatus::Pending,
            (_, Some(refused)) => CommandStatus::Decided(Box::new(refused)),
            (Sighting::DeadLettered(letter), None) => CommandStatus::DeadLettered(letter),
            (Sighting::Nowhere, None) => CommandStatus::Unknown,
        })
    }

    /// The outcome that the command has for ever, if it has one.
    async fn decided(&self, command_id: Uuid) -> Result<Option<CommandResult>, FollowError> {
        let shared = Arc::clone(&self.shared);
        let look = move || {
            for installed in shared.catalog.types() {
                for slice in installed.slices() {
                    if let Some(result) = shared.follower.outcome(installed, slice, command_id)? {
                        return Ok(Some(result));
                    }
                }
            }
            Ok(None)
        };
        let found = tokio::task::spawn_blocking(look).await;
        found.expect("looking for an outcome does not panic")
    }
}
