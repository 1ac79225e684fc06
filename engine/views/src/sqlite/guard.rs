//! What lets a writer write.

use rusqlite::Connection;

use super::generations::{self, Targets};
use super::{database, schema};
use crate::CommitError;

/// Whom a writer gives way to.
#[derive(Debug, Clone)]
pub(super) enum Guard {
    /// The writer of what is served: to a newer one, and to a switch.
    Served { epoch: i64 },
    /// A builder: to a newer one, and to whoever serves or removes its generation.
    Built(Built),
    /// A builder that holds the lock. What it held is given back when it is dropped, unless that was done.
    Held { built: Built, is_open: bool },
}

/// A generation and who builds it.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) view: String,
    pub(super) generation: i64,
    pub(super) epoch: i64,
}

impl Guard {
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Refuses if somebody else writes now. To be asked with the lock.
    pub(super) fn check(&self, connection: &Connection, targets: &Targets) -> Result<(), CommitError> {
        match self {
            Self::Served { epoch } => {
                let theirs: i64 = schema::meta(connection, "epoch").map_err(database)?;
                if theirs != *epoch {
                    let ours = *epoch;
                    return Err(CommitError::Fenced { ours, theirs });
                }
                targets.check_served(connection)
            }
            Self::Built(built) | Self::Held { built, .. } => built.check(connection),
        }
    }
}

impl Built {
    fn check(&self, connection: &Connection) -> Result<(), CommitError> {
        let epoch = generations::epoch(connection, &self.view, self.generation).map_err(database)?;
        let served = generations::served_number(connection, &self.view).map_err(database)?;
        if epoch == Some(self.epoch) && served != Some(self.generation) {
            return Ok(());
        }
        Err(CommitError::NotOurs {
            view: self.view.clone(),
            generation: self.generation,
        })
    }
}
