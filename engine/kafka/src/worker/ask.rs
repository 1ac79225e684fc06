//! The decision itself: what the engine refuses, then what the domain says.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldline_core::{
    AggregateId, AnyEvent, CommandMeta, Context, DecodedCommand, References, Refusal, RefusalKind, Sequence,
    State, Token,
};

use super::BatchError;
use super::decide::{Deciding, Key};
use crate::broker::Isolation;
use crate::catalog::{Catalog, Installed, Slice};
use crate::fold::TOO_EARLY;
use crate::store::{Known, Log, Store, StoreError};

/// How long a batch waits until what the senders of its commands have seen is known here: all others wait with it.
const TOKEN_WAIT_MAX: Duration = Duration::from_secs(1);
/// After that it is worth to ask Kafka whether there is anything to wait for. What another process has just committed is here before.
const SOON: Duration = Duration::from_millis(50);

impl Deciding<'_> {
    /// What the engine itself refuses.
    pub(super) fn not_now(
        &self,
        installed: &Installed,
        meta: &CommandMeta,
        sequence: Sequence,
    ) -> Result<Option<Refusal>, BatchError> {
        if let Some(refusal) = self.behind(meta)? {
            return Ok(Some(refusal));
        }
        Ok(installed.aggregate.info().refusal(meta, sequence))
    }

    /// Waits until what the sender has seen is known here too.
    fn behind(&self, meta: &CommandMeta) -> Result<Option<Refusal>, BatchError> {
        let Some(text) = &meta.consistency_token else {
            return Ok(None);
        };
        let token = match Token::parse(text, &self.shared.catalog.cluster_id) {
            Ok(token) => token,
            Err(error) => {
                let refusal = Refusal::engine(
                    "invalid-consistency-token",
                    RefusalKind::Malformed,
                    error.to_string(),
                );
                return Ok(Some(Refusal {
                    field: Some("consistency_token".to_owned()),
                    ..refusal
                }));
            }
        };
        // What was looked at before may be older than what the token has seen.
        self.found.borrow_mut().clear();
        let has_waited = self.waited.get();
        let started_at = self.shared.runtime.now();
        while let Some((slice, command_offset)) = self.not_reached(&token)? {
            let waits = self.shared.runtime.now() - started_at;
            self.waited.set(has_waited + waits);
            let is_stopped = self.shared.is_stopped.load(Ordering::SeqCst);
            if is_stopped
                || self.waited.get() > TOKEN_WAIT_MAX
                || !self.may_be_reached(slice, command_offset, waits)
            {
                let detail =
                    "what its consistency token has seen is not known here yet; send it again".to_owned();
                return Ok(Some(Refusal::engine(TOO_EARLY, RefusalKind::State, detail)));
            }
            self.shared.runtime.sleep(Duration::from_millis(2));
        }
        Ok(None)
    }

    /// What the token has seen and is not known here.
    fn not_reached(&self, token: &Token) -> Result<Option<(Slice, i64)>, StoreError> {
        for (name, partition, command_offset) in token.positions() {
            let Some(installed) = self.shared.catalog.by_name(name) else {
                continue;
            };
            let slice = installed.slice(partition);
            // Every command has a result, and not every one has events.
            let position = self.shared.store.position(installed, slice, Log::Results)?;
            if position.command_offset < command_offset {
                return Ok(Some((slice, command_offset)));
            }
        }
        Ok(None)
    }

    /// Whether to wait can help. Tokens are not signed: one that is made up would hold up each batch of its worker for as long as a
    /// batch may wait.
    fn may_be_reached(&self, slice: Slice, command_offset: i64, waits: Duration) -> bool {
        // What was answered here was known here before.
        if self.shared.follower.is_led_here(slice) {
            return false;
        }
        if waits < SOON {
            return true;
        }
        let ask = || {
            let place = self.shared.catalog.commands(slice);
            let ends = self.shared.broker.watermarks(Isolation::ReadUncommitted)?;
            ends.highs(&[place])
        };
        let mut ends = self.command_ends.borrow_mut();
        let end = *ends.entry(slice).or_insert_with(|| {
            let end = ask().ok().and_then(|ends| ends.first().copied());
            // If Kafka does not say, there may be something.
            end.unwrap_or(i64::MAX)
        });
        // All tokens of the batch were given out before it was taken: nobody has seen what is behind the end.
        command_offset < end
    }

    /// The domain's decision. A no that rests on other aggregates is asked for again on their newest states:
    /// not known here yet is not the same as unknown.
    pub(super) fn ask_the_domain(
        &mut self,
        installed: &Installed,
        state: &State,
        command: &DecodedCommand,
    ) -> Result<Result<Vec<AnyEvent>, Refusal>, BatchError> {
        let (outcome, has_consulted) = self.ask_once(installed, state, command)?;
        if outcome.is_ok() || !has_consulted || self.is_refreshed {
            return Ok(outcome);
        }
        let info = installed.aggregate.info();
        let others = info
            .references
            .iter()
            .filter_map(|name| self.shared.catalog.sibling(installed, name));
        let slices: Vec<Slice> = others.flat_map(|other| other.slices()).collect();
        self.shared.follower.refresh(&slices)?;
        self.is_refreshed = true;
        self.found.borrow_mut().clear();
        Ok(self.ask_once(installed, state, command)?.0)
    }

    fn ask_once(
        &self,
        installed: &Installed,
        state: &State,
        command: &DecodedCommand,
    ) -> Result<(Result<Vec<AnyEvent>, Refusal>, bool), BatchError> {
        let meta = &command.meta;
        let lookup = Lookup {
            catalog: &self.shared.catalog,
            store: &self.shared.store,
            changed: [
                Some(&self.states),
                self.in_flight.as_ref().map(|in_flight| &in_flight.decided.states),
            ],
            found: &self.found,
            of: installed,
            failed: RefCell::new(None),
        };
        let actor = meta.actor.as_deref();
        let context = Context::new(
            meta.command_id,
            &meta.aggregate_id,
            meta.issued_at,
            actor,
            &lookup,
        );
        let decide = || installed.aggregate.decide(state, &command.command, &context);
        // A command that makes the domain panic would do it for ever, and nothing behind it would be decided.
        let outcome =
            catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|panic| Err(failed(meta, &*panic)));
        let has_consulted = context.consulted();
        match lookup.failed.into_inner() {
            Some(error) => Err(error.into()),
            None => Ok((outcome, has_consulted)),
        }
    }
}

/// The states that decisions refer to: those of this batch, then those of the one in flight, then those of the store.
struct Lookup<'a> {
    catalog: &'a Catalog,
    store: &'a Store,
    changed: [Option<&'a HashMap<Key, Known>>; 2],
    found: &'a RefCell<HashMap<Key, Option<Known>>>,
    of: &'a Installed,
    failed: RefCell<Option<StoreError>>,
}

impl References for Lookup<'_> {
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>> {
        let installed = self.catalog.sibling(self.of, aggregate)?;
        let key = (installed.index, id.clone());
        let mut changed = self.changed.iter().flatten();
        if let Some(known) = changed.find_map(|changed| changed.get(&key)) {
            return Some(installed.aggregate.clone_state(&known.state));
        }
        let mut found = self.found.borrow_mut();
        let known = match found.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(entry) => match self.store.opened(installed, id) {
                Ok(known) => entry.insert(known),
                Err(error) => {
                    self.failed.replace(Some(error));
                    return None;
                }
            },
        };
        let state = &known.as_ref()?.state;
        Some(installed.aggregate.clone_state(state))
    }
}

fn failed(meta: &CommandMeta, panic: &(dyn Any + Send)) -> Refusal {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    let said = said.unwrap_or_default();
    tracing::error!(command_id = %meta.command_id, command_type = meta.command_type, said, "a decision panicked");
    // What a panic says is not meant for clients.
    let detail = "deciding on it failed, which is a bug; the command handler's log says more".to_owned();
    Refusal::engine("decision-failed", RefusalKind::Failed, detail)
}
