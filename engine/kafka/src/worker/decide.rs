//! From commands to decisions. Nothing here writes anywhere: what comes out counts when it is committed.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foldline_core::{
    AggregateId, AnyEvent, CommandMeta, CommandResult, Context, DecodedCommand, EventMeta, Outcome,
    RecordedEvent, References, Refusal, RefusalKind, Sequence, State, Timestamp, Token, Unique,
};
use uuid::Uuid;

use super::intake::{Content, Taken};
use super::reserve::{Reservations, Want};
use super::{BatchError, Cache, Shared, Worker};
use crate::catalog::{Catalog, Installed, Slice};
use crate::fold::TOO_EARLY;
use crate::store::{Log, Store, StoreError};

/// How long a command waits until what its sender has seen is known here.
const TOKEN_WAIT_MAX: Duration = Duration::from_secs(1);

/// A batch, decided.
pub(super) struct Decided {
    /// One for each record of the batch, in its order.
    pub(super) decisions: Vec<Decision>,
    /// The aggregates that changed, as they are afterwards.
    pub(super) states: HashMap<(usize, AggregateId), (State, Sequence)>,
}

pub(super) enum Decision {
    Made(Box<Made>),
    /// It is no command; see the batch.
    DeadLetter,
}

/// What became of one command.
pub(super) struct Made {
    pub(super) result: CommandResult,
    pub(super) events: Vec<(EventMeta, AnyEvent)>,
    /// Unique values that are given up with it.
    pub(super) released: Vec<Unique>,
}

enum Step {
    Made(Box<Made>),
    /// It would take unique values that are not reserved yet.
    Wants(Vec<Want>),
}

impl Worker {
    /// Decides a batch. What needs a unique value waits, with all that follows it on the same aggregate, until
    /// the others are decided; then the values are asked for together.
    pub(super) fn decide(&mut self, batch: &[Taken]) -> Result<Decided, BatchError> {
        let shared = Arc::clone(&self.shared);
        let mut deciding = Deciding::new(&shared, &mut self.cache);
        let mut decisions: Vec<Option<Decision>> = batch.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..batch.len()).collect();
        while !open.is_empty() {
            let mut wanted = Vec::new();
            let mut waiting: HashSet<(usize, &AggregateId)> = HashSet::new();
            let mut later = Vec::new();
            for index in open {
                let taken = &batch[index];
                let Content::Command(command) = &taken.content else {
                    decisions[index] = Some(Decision::DeadLetter);
                    continue;
                };
                let key = (taken.slice.index, &command.meta.aggregate_id);
                if waiting.contains(&key) {
                    later.push(index);
                    continue;
                }
                match deciding.step(taken, command)? {
                    Step::Made(made) => decisions[index] = Some(Decision::Made(made)),
                    Step::Wants(wants) => {
                        wanted.extend(wants);
                        waiting.insert(key);
                        later.push(index);
                    }
                }
            }
            deciding.reservations.ask(&shared, wanted)?;
            open = later;
        }
        // The loop ends when each has been decided.
        let mut decisions: Vec<Decision> = decisions.into_iter().flatten().collect();
        deciding.state_tokens(batch, &mut decisions)?;
        Ok(Decided {
            decisions,
            states: deciding.states,
        })
    }
}

/// The decisions of one batch, on top of what is committed.
struct Deciding<'a> {
    shared: &'a Shared,
    cache: &'a mut Cache,
    states: HashMap<(usize, AggregateId), (State, Sequence)>,
    results: HashMap<(Slice, Uuid), CommandResult>,
    reservations: Reservations,
    is_refreshed: bool,
    now: Timestamp,
}

impl<'a> Deciding<'a> {
    fn new(shared: &'a Shared, cache: &'a mut Cache) -> Self {
        Self {
            shared,
            cache,
            states: HashMap::new(),
            results: HashMap::new(),
            reservations: Reservations::default(),
            is_refreshed: false,
            now: now(),
        }
    }

    fn step(&mut self, taken: &Taken, command: &DecodedCommand) -> Result<Step, BatchError> {
        let installed = Arc::clone(self.shared.catalog.get(taken.slice));
        if let Some(earlier) = self.earlier(&installed, taken.slice, command.meta.command_id)? {
            return Ok(Step::Made(Box::new(repeat(taken, command, earlier, self.now))));
        }
        let (state, sequence) = self.load(&installed, &command.meta.aggregate_id)?;
        let outcome = match self.not_now(&installed, &command.meta, sequence)? {
            Some(refusal) => Err(refusal),
            None => self.ask_the_domain(&installed, &state, command)?,
        };
        let made = match outcome {
            Err(refusal) => self.refuse(taken, command, sequence, refusal),
            Ok(events) => {
                let mut after = installed.aggregate.clone_state(&state);
                events
                    .iter()
                    .for_each(|event| installed.aggregate.evolve(&mut after, event));
                let before = installed.aggregate.unique(&state);
                let holds = installed.aggregate.unique(&after);
                let wants = self.reservations.missing(&installed, command, &before, &holds);
                if !wants.is_empty() {
                    self.put_back(&installed, &command.meta.aggregate_id, state, sequence);
                    return Ok(Step::Wants(wants));
                }
                match self
                    .reservations
                    .taken(&installed, &command.meta, &before, &holds)
                {
                    Some(refusal) => self.refuse(taken, command, sequence, refusal),
                    None => {
                        let released = before
                            .into_iter()
                            .filter(|value| !holds.contains(value))
                            .collect();
                        let made = self.accept(taken, command, sequence, events, released);
                        let key = (installed.index, command.meta.aggregate_id.clone());
                        if made.events.is_empty() {
                            self.put_back(&installed, &key.1, state, sequence);
                        } else {
                            self.states.insert(key, (after, made.result.sequence));
                        }
                        return Ok(self.done(taken, made));
                    }
                }
            }
        };
        self.put_back(&installed, &command.meta.aggregate_id, state, sequence);
        Ok(self.done(taken, made))
    }

    fn done(&mut self, taken: &Taken, made: Made) -> Step {
        self.results
            .insert((taken.slice, made.result.command_id), made.result.clone());
        Step::Made(Box::new(made))
    }

    /// The outcome that this id has for ever, if it has one.
    fn earlier(
        &self,
        installed: &Installed,
        slice: Slice,
        command_id: Uuid,
    ) -> Result<Option<CommandResult>, StoreError> {
        match self.results.get(&(slice, command_id)) {
            Some(result) => Ok(Some(result.clone())),
            None => self.shared.store.result(installed, slice, command_id),
        }
    }

    /// Takes the state out of where it is, so that nothing is copied; [`put_back`](Self::put_back) returns it.
    fn load(&mut self, installed: &Installed, id: &AggregateId) -> Result<(State, Sequence), StoreError> {
        let key = (installed.index, id.clone());
        if let Some(found) = self.states.remove(&key) {
            // It has changed in this batch: should the next decision change nothing, it must be there again.
            let copy = (installed.aggregate.clone_state(&found.0), found.1);
            self.states.insert(key, copy);
            return Ok(found);
        }
        if let Some(found) = self.cache.pop(&key) {
            return Ok(found);
        }
        let found = self.shared.store.state(installed, id)?;
        Ok(found.unwrap_or_else(|| (installed.aggregate.initial(), 0)))
    }

    fn put_back(&mut self, installed: &Installed, id: &AggregateId, state: State, sequence: Sequence) {
        let key = (installed.index, id.clone());
        if !self.states.contains_key(&key) {
            self.cache.put(key, (state, sequence));
        }
    }

    /// What the engine itself refuses.
    fn not_now(
        &self,
        installed: &Installed,
        meta: &CommandMeta,
        sequence: Sequence,
    ) -> Result<Option<Refusal>, BatchError> {
        if let Some(refusal) = self.behind(meta)? {
            return Ok(Some(refusal));
        }
        let info = installed.aggregate.info();
        let creates = info
            .commands
            .iter()
            .any(|command| command.creates && command.name == meta.command_type);
        if sequence == 0 && !creates {
            let detail = format!("there is no {}/{}", info.path, meta.aggregate_id);
            return Ok(Some(Refusal::engine(
                "unknown-aggregate",
                RefusalKind::UnknownAggregate,
                detail,
            )));
        }
        match meta.expected_sequence {
            Some(expected) if expected != sequence => {
                let detail = format!("it is at sequence {sequence}, and {expected} was expected");
                Ok(Some(Refusal::engine(
                    "sequence-mismatch",
                    RefusalKind::Sequence,
                    detail,
                )))
            }
            _ => Ok(None),
        }
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
        let started_at = Instant::now();
        while !self.has_reached(&token)? {
            if started_at.elapsed() > TOKEN_WAIT_MAX {
                let detail =
                    "what its consistency token has seen is not known here yet; send it again".to_owned();
                return Ok(Some(Refusal::engine(TOO_EARLY, RefusalKind::State, detail)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(None)
    }

    fn has_reached(&self, token: &Token) -> Result<bool, StoreError> {
        for (name, partition, command_offset) in token.positions() {
            let Some(installed) = self.shared.catalog.by_name(name) else {
                continue;
            };
            let slice = installed.slice(partition);
            // Every command has a result, and not every one has events.
            let position = self.shared.store.position(installed, slice, Log::Results)?;
            if position.command_offset < command_offset {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The domain's decision. A no that rests on other aggregates is asked for again on their newest states:
    /// not known here yet is not the same as unknown.
    fn ask_the_domain(
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
            changed: &self.states,
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

    fn refuse(&self, taken: &Taken, command: &DecodedCommand, sequence: Sequence, refusal: Refusal) -> Made {
        let result = blank(taken, command, sequence, self.now).with(Outcome::Refused(refusal));
        let released = self.reservations.granted_to(command.meta.command_id);
        Made {
            result,
            events: Vec::new(),
            released,
        }
    }

    fn accept(
        &self,
        taken: &Taken,
        command: &DecodedCommand,
        sequence: Sequence,
        events: Vec<AnyEvent>,
        released: Vec<Unique>,
    ) -> Made {
        let meta = &command.meta;
        // A decision makes a handful of events.
        let count = i32::try_from(events.len()).unwrap_or(i32::MAX);
        let correlation_id = correlation_of(meta);
        let events: Vec<(EventMeta, AnyEvent)> = (0..count)
            .zip(events)
            .map(|(index, event)| {
                let meta = EventMeta {
                    event_id: EventMeta::id_of(&meta.command_id, index),
                    event_type: String::new(),
                    aggregate_id: meta.aggregate_id.clone(),
                    sequence: sequence + Sequence::from(index) + 1,
                    revision: 1,
                    occurred_at: meta.issued_at,
                    recorded_at: self.now,
                    command_id: meta.command_id,
                    correlation_id: correlation_id.clone(),
                    causation_id: meta.command_id.to_string(),
                    actor: meta.actor.clone(),
                    index,
                    count,
                    command_offset: taken.offset,
                };
                (meta, event)
            })
            .collect();
        let recorded = events.iter().map(|(meta, event)| RecordedEvent {
            event_id: meta.event_id,
            event_type: self
                .shared
                .catalog
                .get(taken.slice)
                .aggregate
                .event_type(event)
                .to_owned(),
            sequence: meta.sequence,
        });
        let outcome = Outcome::Accepted(recorded.collect());
        let result = blank(taken, command, sequence + Sequence::from(count), self.now).with(outcome);
        Made {
            result,
            events,
            released,
        }
    }

    /// Says in each result what a reader must have seen to see it. Last, because it goes by the order of the
    /// batch, and the decisions may not have been made in it.
    fn state_tokens(&self, batch: &[Taken], decisions: &mut [Decision]) -> Result<(), StoreError> {
        let mut seen: HashMap<Slice, i64> = HashMap::new();
        for (taken, decision) in batch.iter().zip(decisions) {
            let Decision::Made(made) = decision else { continue };
            let installed = self.shared.catalog.get(taken.slice);
            let last = match seen.get(&taken.slice) {
                Some(last) => *last,
                None => {
                    self.shared
                        .store
                        .position(installed, taken.slice, Log::Events)?
                        .command_offset
                }
            };
            let last = if made.events.is_empty() {
                last
            } else {
                taken.offset
            };
            seen.insert(taken.slice, last);
            if made.result.consistency_token.is_empty() {
                let token = Token::at(
                    &self.shared.catalog.cluster_id,
                    &installed.name,
                    taken.slice.partition,
                    last,
                );
                made.result.consistency_token = token.to_string();
            }
        }
        Ok(())
    }
}

/// The states that decisions refer to: those of this batch, then those of the store.
struct Lookup<'a> {
    catalog: &'a Catalog,
    store: &'a Store,
    changed: &'a HashMap<(usize, AggregateId), (State, Sequence)>,
    of: &'a Installed,
    failed: RefCell<Option<StoreError>>,
}

impl References for Lookup<'_> {
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>> {
        let installed = self.catalog.sibling(self.of, aggregate)?;
        if let Some((state, _)) = self.changed.get(&(installed.index, id.clone())) {
            return Some(installed.aggregate.clone_state(state));
        }
        match self.store.state(installed, id) {
            Ok(found) => found.map(|(state, _)| state as Box<dyn Any>),
            Err(error) => {
                self.failed.replace(Some(error));
                None
            }
        }
    }
}

/// The answer that was given before, once more; or a no, if under this id something else was asked.
fn repeat(taken: &Taken, command: &DecodedCommand, earlier: CommandResult, now: Timestamp) -> Made {
    let result = if earlier.fingerprint == command.fingerprint {
        CommandResult {
            replayed: true,
            ..earlier
        }
    } else {
        let detail = format!(
            "{} was the id of another command, a {}",
            earlier.command_id, earlier.command_type
        );
        let refusal = Refusal::engine("command-id-reused", RefusalKind::CommandId, detail);
        blank(taken, command, earlier.sequence, now).with(Outcome::Refused(refusal))
    };
    Made {
        result: CommandResult {
            command_offset: taken.offset,
            ..result
        },
        events: Vec::new(),
        released: Vec::new(),
    }
}

fn blank(taken: &Taken, command: &DecodedCommand, sequence: Sequence, now: Timestamp) -> CommandResult {
    let meta = &command.meta;
    CommandResult {
        command_id: meta.command_id,
        command_type: meta.command_type.clone(),
        aggregate_id: meta.aggregate_id.clone(),
        outcome: String::new(),
        sequence,
        events: Vec::new(),
        refusal: None,
        decided_at: now,
        correlation_id: correlation_of(meta),
        command_offset: taken.offset,
        fingerprint: command.fingerprint,
        replayed: false,
        consistency_token: String::new(),
    }
}

fn correlation_of(meta: &CommandMeta) -> String {
    meta.correlation_id
        .clone()
        .unwrap_or_else(|| meta.command_id.to_string())
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

/// When it is decided; never part of what is decided.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
