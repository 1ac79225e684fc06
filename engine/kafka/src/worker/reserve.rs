//! Unique values: asked of their claims before the transaction that needs them.
//!
//! A reservation that was granted is never lost: the command that asked is decided again after any crash, and
//! asks again under the same id, so it gets the same answer.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::{
    AggregateId, AnyCommand, Claim, ClaimCommand, CommandMeta, CommandResult, DecodedCommand, Outcome,
    Refusal, RefusalKind, Unique,
};
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::decide::Key;
use super::{BatchError, Shared};
use crate::catalog::Installed;

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A value that a command would take for its aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Want {
    /// The qualified name of the claims' type: another domain may have an aggregate of the same name.
    claims: String,
    value: Unique,
    holder: AggregateId,
    command: Uuid,
}

/// The answers of the claims.
#[derive(Default)]
pub(super) struct Reservations {
    granted: HashMap<Want, bool>,
    /// What aggregates have given up in this batch: still theirs, because it is released when the batch is committed.
    given_up: HashSet<(Key, Unique)>,
}

impl Reservations {
    /// What was granted, for a batch that is decided once more at once: a command that is refused then gives it back.
    pub(super) fn granted_before(self) -> Self {
        Self {
            granted: self.granted,
            given_up: HashSet::new(),
        }
    }

    /// What has to be asked for before the command can be decided.
    pub(super) fn missing(
        &self,
        installed: &Installed,
        command: &DecodedCommand,
        before: &[Unique],
        after: &[Unique],
    ) -> Vec<Want> {
        let key = (installed.index, command.meta.aggregate_id.clone());
        let is_theirs = |value: &Unique| self.given_up.contains(&(key.clone(), value.clone()));
        let wants = wants(installed, &command.meta, before, after);
        wants
            .into_iter()
            .filter(|want| !self.granted.contains_key(want) && !is_theirs(&want.value))
            .collect()
    }

    /// Takes note of what an accepted command has changed.
    pub(super) fn accepted(&mut self, key: &Key, held: &[Unique], holds: &[Unique]) {
        for value in holds {
            self.given_up.remove(&(key.clone(), value.clone()));
        }
        let gone = held.iter().filter(|value| !holds.contains(value));
        self.given_up
            .extend(gone.map(|value| (key.clone(), value.clone())));
    }

    /// Whether an aggregate has given a value up, and has not taken it back in the same batch: its claim would hear of
    /// the release last, and give to another what is held.
    pub(super) fn is_given_up(&self, key: &Key, value: &Unique) -> bool {
        self.given_up.contains(&(key.clone(), value.clone()))
    }

    /// The no to a command that would take what somebody else holds.
    pub(super) fn taken(
        &self,
        installed: &Installed,
        meta: &CommandMeta,
        before: &[Unique],
        after: &[Unique],
    ) -> Option<Refusal> {
        let wants = wants(installed, meta, before, after);
        let taken = wants
            .into_iter()
            .find(|want| self.granted.get(want) == Some(&false))?;
        let Unique { name, value } = taken.value;
        let value = match installed.keys {
            None => format!("{name} {value:?}"),
            // What is claimed is no value that says something to anybody.
            Some(_) => name.to_owned(),
        };
        Some(Refusal {
            step: 0,
            code: format!("{name}-taken"),
            kind: RefusalKind::State,
            detail: format!("the {value} belongs to somebody else"),
            field: Some(name.to_owned()),
        })
    }

    /// What a command was granted: if it is refused after all, that is given back with the refusal.
    pub(super) fn granted_to(&self, command: Uuid) -> Vec<Unique> {
        let granted = self
            .granted
            .iter()
            .filter(|(want, granted)| want.command == command && **granted);
        granted.map(|(want, _)| want.value.clone()).collect()
    }

    /// For a dry run: answers what the claims are known to say, without asking them.
    pub(super) fn guess(&mut self, shared: &Shared, wants: Vec<Want>) -> Result<(), BatchError> {
        for want in wants {
            let claims = shared
                .catalog
                .by_name(&want.claims)
                .ok_or(BatchError::Unreserved)?;
            let known = shared.store.state(claims, &Claim::id_of(&want.value))?;
            let claim = known.and_then(|known| known.state.downcast::<Claim>().ok());
            let holder = claim.as_ref().and_then(|claim| claim.holder());
            let is_free = holder.is_none_or(|holder| holder == want.holder.as_str());
            self.granted.insert(want, is_free);
        }
        Ok(())
    }

    /// Asks for all of them at once, and waits for the answers.
    pub(super) fn ask(&mut self, shared: &Shared, wants: Vec<Want>) -> Result<(), BatchError> {
        if wants.is_empty() {
            return Ok(());
        }
        let asked = try_join_all(wants.iter().map(|want| ask_for(shared, want)));
        let mut answers = None;
        shared
            .runtime
            .block_on(ANSWER_MAX, pin!(async { answers = Some(asked.await) }));
        // None if they have not come in time.
        let answers = answers.unwrap_or(Err(BatchError::Unreserved))?;
        for (want, answer) in wants.into_iter().zip(answers) {
            self.granted
                .insert(want, matches!(answer.decided(), Outcome::Accepted(_)));
        }
        Ok(())
    }
}

fn wants(installed: &Installed, meta: &CommandMeta, before: &[Unique], after: &[Unique]) -> Vec<Want> {
    let info = installed.aggregate.info();
    let gained = after.iter().filter(|value| !before.contains(value));
    let want = |value: &Unique| Want {
        claims: format!("{}.{}", info.domain, Claim::type_name(&info.name, value.name)),
        value: value.clone(),
        holder: meta.aggregate_id.clone(),
        command: meta.command_id,
    };
    gained.map(want).collect()
}

async fn ask_for(shared: &Shared, want: &Want) -> Result<CommandResult, BatchError> {
    let command = ClaimCommand::ReserveValue {
        value: want.value.value.clone(),
        holder: want.holder.to_string(),
    };
    // The aggregate's type declares its unique values, and with each of them its claims are installed.
    let claims = shared
        .catalog
        .by_name(&want.claims)
        .ok_or(BatchError::Unreserved)?;
    let meta = claim_meta(&want.value, want.command, "reserve");
    let command = AnyCommand::new::<Claim>(command);
    let pending = shared
        .sender
        .submit(claims.aggregate.as_ref(), meta, &command, None)
        .await?;
    pending.answered().await.ok_or(BatchError::Unreserved)
}

/// The command that gives a value up: appended in the transaction of the command that does.
pub(super) fn release(value: &Unique, by: &CommandResult) -> (CommandMeta, AnyCommand) {
    let command = ClaimCommand::ReleaseValue {
        value: value.value.clone(),
        holder: by.aggregate_id.to_string(),
    };
    (
        claim_meta(value, by.command_id, "release"),
        AnyCommand::new::<Claim>(command),
    )
}

/// The claims on a value of an aggregate type.
pub(super) fn claims_on<'a>(
    shared: &'a Shared,
    installed: &Installed,
    value: &Unique,
) -> Option<&'a Arc<Installed>> {
    let name = Claim::type_name(&installed.aggregate.info().name, value.name);
    shared.catalog.sibling(installed, &name)
}

fn claim_meta(value: &Unique, caused_by: Uuid, doing: &str) -> CommandMeta {
    let name = format!("{doing}/{}/{}", value.name, value.value);
    let command_id = Uuid::new_v5(&caused_by, name.as_bytes());
    CommandMeta {
        causation_id: Some(caused_by.to_string()),
        ..CommandMeta::new(command_id, Claim::id_of(value), super::outcome::now())
    }
}
