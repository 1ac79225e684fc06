//! From commands to decisions. Nothing here writes anywhere: what comes out counts when it is committed.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foldline_core::personal::Seal;
use foldline_core::{
    AggregateId, AnyEvent, CommandResult, DecodedCommand, Refusal, RefusalKind, Timestamp, Token,
};
use uuid::Uuid;

use super::in_flight::InFlight;
use super::intake::{Content, Taken};
use super::outcome::{Made, now, repeated, reused};
use super::reserve::{Reservations, Want};
use super::subjects::NewKeys;
use super::{BatchError, Cache, Shared, Worker};
use crate::catalog::{Installed, Slice};
use crate::fold::is_remembered;
use crate::follower::FollowError;
use crate::store::{Known, Log, StoreError};

/// An aggregate: its type's place in the catalog, and its id.
pub(super) type Key = (usize, AggregateId);

/// A batch, decided.
pub(super) struct Decided {
    /// One for each record of the batch, in its order.
    pub(super) decisions: Vec<Decision>,
    /// The aggregates that changed, as they are afterwards.
    pub(super) states: HashMap<Key, Known>,
    /// By what their new values are sealed, where they have some.
    pub(super) seals: HashMap<Key, Seal>,
    /// Where in the batch an id was decided.
    pub(super) ids: HashMap<(Slice, Uuid), usize>,
    /// The last command of each partition that has events.
    last: HashMap<Slice, i64>,
    /// Keys of subjects whose first events these are.
    pub(super) new_keys: NewKeys,
    /// When it was decided.
    pub(super) now: Timestamp,
}

pub(super) enum Decision {
    Made(Box<Made>),
    /// It is no command; see the batch.
    DeadLetter,
}

pub(super) enum Step {
    Made(Box<Made>),
    /// It would take unique values that are not reserved yet.
    Wants(Vec<Want>),
}

impl Worker {
    /// Decides a batch, on the one in flight; once more, if somebody was erased meanwhile. What is sealed and what is refused
    /// must go by one answer to who is erased: a state that is sealed in another way than its events is not their fold.
    pub(super) fn decide(&mut self, batch: &[Taken]) -> Result<Decided, BatchError> {
        let shared = Arc::clone(&self.shared);
        let mut reservations = Reservations::default();
        loop {
            // What was opened before somebody was erased is not to be decided on.
            let erasures = shared.catalog.keys.erasures();
            if std::mem::replace(&mut self.erasures, erasures) != erasures {
                self.finish()?;
                self.cache.clear();
            }
            let (decided, granted) = self.decide_once(batch, reservations)?;
            if shared.catalog.keys.erasures() == erasures {
                return Ok(decided);
            }
            reservations = granted.granted_before();
        }
    }

    /// What needs a unique value waits, with all that follows it on the same aggregate, until the others are decided; then
    /// the values are asked for together.
    fn decide_once(
        &mut self,
        batch: &[Taken],
        reservations: Reservations,
    ) -> Result<(Decided, Reservations), BatchError> {
        let shared = Arc::clone(&self.shared);
        let mut deciding = Deciding::new(&shared, &mut self.cache, self.in_flight.as_mut());
        deciding.reservations = reservations;
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
                let step = match self.too_large.contains(&(taken.slice, taken.offset)) {
                    true => deciding.refuse_too_large(taken, command)?,
                    false => deciding.step(taken, command, &decisions)?,
                };
                match step {
                    Step::Made(made) => {
                        deciding.note(taken, &made, index);
                        decisions[index] = Some(Decision::Made(made));
                    }
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
        deciding.keep_what_was_taken_back(batch, &mut decisions);
        let last = deciding.state_tokens(batch, &mut decisions)?;
        let decided = Decided {
            decisions,
            states: deciding.states,
            seals: deciding.seals,
            ids: deciding.decided,
            last,
            new_keys: deciding.new_keys,
            now: deciding.now,
        };
        Ok((decided, deciding.reservations))
    }
}

/// The decisions of one batch, on top of what is committed and of what is in flight.
pub(super) struct Deciding<'a> {
    pub(super) shared: &'a Shared,
    cache: &'a mut Cache,
    pub(super) in_flight: Option<&'a mut InFlight>,
    /// The aggregates that have changed in this batch.
    pub(super) states: HashMap<Key, Known>,
    pub(super) seals: HashMap<Key, Seal>,
    /// Where in the batch an id was decided.
    decided: HashMap<(Slice, Uuid), usize>,
    /// The other aggregates that were looked at, as the store has them.
    pub(super) found: RefCell<HashMap<Key, Option<Known>>>,
    pub(super) reservations: Reservations,
    pub(super) new_keys: NewKeys,
    /// Whether other aggregates were read up to their ends for this batch.
    pub(super) is_refreshed: bool,
    /// How long was waited in this batch for what tokens have seen.
    pub(super) waited: Cell<Duration>,
    /// Where command partitions ended that were asked for since the batch was taken.
    pub(super) command_ends: RefCell<HashMap<Slice, i64>>,
    pub(super) now: Timestamp,
}

/// A state that was taken from where it was, so that nothing is copied; it is put back, or replaced.
struct Loaded {
    known: Known,
    of: Origin,
}

/// Where a state belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// To what this batch has changed.
    Batch,
    /// To what the batch in flight has changed, and this one has not.
    InFlight,
    /// To what is committed.
    Store,
}

impl<'a> Deciding<'a> {
    pub(super) fn new(shared: &'a Shared, cache: &'a mut Cache, in_flight: Option<&'a mut InFlight>) -> Self {
        Self {
            shared,
            cache,
            in_flight,
            states: HashMap::new(),
            seals: HashMap::new(),
            decided: HashMap::new(),
            found: RefCell::default(),
            reservations: Reservations::default(),
            new_keys: NewKeys::default(),
            is_refreshed: false,
            waited: Cell::default(),
            command_ends: RefCell::default(),
            now: now(),
        }
    }

    /// Decides one command. `so_far` are the decisions on those before it in the batch.
    pub(super) fn step(
        &mut self,
        taken: &Taken,
        command: &DecodedCommand,
        so_far: &[Option<Decision>],
    ) -> Result<Step, BatchError> {
        let installed = Arc::clone(self.shared.catalog.get(taken.slice));
        // A dry run has no identity: it is asked again to be answered anew.
        let earlier = match command.meta.dry_run {
            true => None,
            false => self.earlier(&installed, taken.slice, command.meta.command_id, so_far)?,
        };
        let key = (installed.index, command.meta.aggregate_id.clone());
        if let Some(earlier) = earlier {
            if earlier.fingerprint == command.fingerprint {
                return Ok(made(repeated(taken, earlier)));
            }
            let loaded = self.load(&installed, &key)?;
            let sequence = loaded.known.sequence;
            self.put_back(key, loaded);
            return Ok(made(reused(taken, command, &earlier, sequence, self.now)));
        }
        let loaded = self.load(&installed, &key)?;
        let sequence = loaded.known.sequence;
        let outcome = match self.not_now(&installed, &command.meta, sequence)? {
            Some(refusal) => Err(refusal),
            None => self.ask_the_domain(&installed, &loaded.known.state, command)?,
        };
        let outcome = outcome.and_then(|events| {
            match self.is_of_the_erased(&installed, &key.1, &loaded.known, &events) {
                Some(refusal) => Err(refusal),
                None => Ok(events),
            }
        });
        match outcome {
            Ok(events) if command.meta.dry_run || !installed.aggregate.info().unique.is_empty() => {
                self.reserve_and_accept(&installed, taken, command, (key, loaded), events)
            }
            Ok(events) => self.accept_at_once(&installed, taken, command, (key, loaded), events),
            Err(refusal) => {
                self.put_back(key, loaded);
                Ok(made(self.refuse(taken, command, sequence, refusal)))
            }
        }
    }

    /// What it was decided to make has no room in a record, which is known when it is written.
    fn refuse_too_large(&mut self, taken: &Taken, command: &DecodedCommand) -> Result<Step, BatchError> {
        let installed = Arc::clone(self.shared.catalog.get(taken.slice));
        let key = (installed.index, command.meta.aggregate_id.clone());
        let loaded = self.load(&installed, &key)?;
        let sequence = loaded.known.sequence;
        self.put_back(key, loaded);
        let detail = "it would make an event that is larger than a record of Kafka can be".to_owned();
        let refusal = Refusal::engine("decision-failed", RefusalKind::Failed, detail);
        Ok(made(self.refuse(taken, command, sequence, refusal)))
    }

    /// Nothing can stand against the events any more: the state is folded where it is, because a copy of each state
    /// for each command would cost more than its decision.
    fn accept_at_once(
        &mut self,
        installed: &Installed,
        taken: &Taken,
        command: &DecodedCommand,
        (key, mut loaded): (Key, Loaded),
        events: Vec<AnyEvent>,
    ) -> Result<Step, BatchError> {
        for event in &events {
            installed.aggregate.evolve(&mut loaded.known.state, event);
        }
        let by = self.seal(installed, &key, &loaded.known.state, command);
        let (made_of_it, tip) = self.accept(taken, command, (&loaded.known, by), events, Vec::new())?;
        loaded.known.sequence = made_of_it.result.sequence;
        loaded.known.tip = tip;
        if !made_of_it.events.is_empty() {
            loaded.of = Origin::Batch;
        }
        self.put_back(key, loaded);
        Ok(made(made_of_it))
    }

    /// What the events would make of the aggregate may still not be, or is not to be.
    fn reserve_and_accept(
        &mut self,
        installed: &Installed,
        taken: &Taken,
        command: &DecodedCommand,
        (key, loaded): (Key, Loaded),
        events: Vec<AnyEvent>,
    ) -> Result<Step, BatchError> {
        let mut after = installed.aggregate.clone_state(&loaded.known.state);
        events
            .iter()
            .for_each(|event| installed.aggregate.evolve(&mut after, event));
        let held = installed.unique(&loaded.known.state);
        let holds = installed.unique(&after);
        let mut wants = self.reservations.missing(installed, command, &held, &holds);
        if command.meta.dry_run {
            self.reservations.guess(self.shared, std::mem::take(&mut wants))?;
        }
        if !wants.is_empty() {
            self.put_back(key, loaded);
            return Ok(Step::Wants(wants));
        }
        if let Some(refusal) = self.reservations.taken(installed, &command.meta, &held, &holds) {
            let sequence = loaded.known.sequence;
            self.put_back(key, loaded);
            return Ok(made(self.refuse(taken, command, sequence, refusal)));
        }
        if !command.meta.dry_run {
            self.reservations.accepted(&key, &held, &holds);
        }
        let released = held.into_iter().filter(|value| !holds.contains(value)).collect();
        let by = self.seal(installed, &key, &after, command);
        let (mut made_of_it, tip) = self.accept(taken, command, (&loaded.known, by), events, released)?;
        if command.meta.dry_run {
            made_of_it.released.clear();
            made_of_it.rehearsed = Some((std::mem::take(&mut made_of_it.events), after));
            self.put_back(key, loaded);
        } else if made_of_it.events.is_empty() {
            self.put_back(key, loaded);
        } else {
            let known = Known {
                state: after,
                sequence: made_of_it.result.sequence,
                tip,
            };
            self.states.insert(key, known);
        }
        Ok(made(made_of_it))
    }

    /// Takes note of a decision: the same id later in the batch gets it again. Not of one that binds nobody: it would hide
    /// what the id has for ever.
    fn note(&mut self, taken: &Taken, made: &Made, index: usize) {
        if made.result.replayed || is_remembered(&made.result) {
            let id = (taken.slice, made.result.command_id);
            self.decided.entry(id).or_insert(index);
        }
    }

    /// The outcome that this id has for ever, if it has one.
    fn earlier(
        &self,
        installed: &Installed,
        slice: Slice,
        command_id: Uuid,
        so_far: &[Option<Decision>],
    ) -> Result<Option<CommandResult>, FollowError> {
        let here = self.decided.get(&(slice, command_id));
        if let Some(Decision::Made(made)) = here.and_then(|index| so_far[*index].as_ref()) {
            return Ok(Some(made.result.clone()));
        }
        let in_flight = self.in_flight.as_ref();
        match in_flight.and_then(|in_flight| in_flight.outcome(slice, command_id)) {
            Some(result) => Ok(Some(result.clone())),
            None => self.shared.follower.outcome(installed, slice, command_id),
        }
    }

    fn load(&mut self, installed: &Installed, key: &Key) -> Result<Loaded, StoreError> {
        if let Some(known) = self.states.remove(key) {
            return Ok(Loaded {
                known,
                of: Origin::Batch,
            });
        }
        let in_flight = self.in_flight.as_mut();
        if let Some(known) = in_flight.and_then(|in_flight| in_flight.decided.states.remove(key)) {
            return Ok(Loaded {
                known,
                of: Origin::InFlight,
            });
        }
        let found = match self.cache.pop(key) {
            Some(found) => Some(found),
            None => self.shared.store.opened(installed, &key.1)?,
        };
        Ok(Loaded {
            known: found.unwrap_or_else(|| Known::initial(installed)),
            of: Origin::Store,
        })
    }

    fn put_back(&mut self, key: Key, loaded: Loaded) {
        match (loaded.of, &mut self.in_flight) {
            (Origin::Batch, _) => {
                self.states.insert(key, loaded.known);
            }
            (Origin::InFlight, Some(in_flight)) => {
                in_flight.decided.states.insert(key, loaded.known);
            }
            (Origin::Store | Origin::InFlight, _) => {
                self.cache.put(key, loaded.known);
            }
        }
    }

    /// An aggregate that gives a value up and takes it back in one batch has never let go of it.
    fn keep_what_was_taken_back(&self, batch: &[Taken], decisions: &mut [Decision]) {
        for (taken, decision) in batch.iter().zip(decisions) {
            let Decision::Made(made) = decision else { continue };
            // What a refused command was granted is none of its aggregate's, and given back in any case.
            if !made.events.is_empty() && !made.released.is_empty() {
                let key = (taken.slice.index, made.result.aggregate_id.clone());
                made.released
                    .retain(|value| self.reservations.is_given_up(&key, value));
            }
        }
    }

    /// Says in each result what a reader must have seen to see it. Last, because it goes by the order of the
    /// batch, and the decisions may not have been made in it. Returns the last command with events of each partition.
    pub(super) fn state_tokens(
        &self,
        batch: &[Taken],
        decisions: &mut [Decision],
    ) -> Result<HashMap<Slice, i64>, StoreError> {
        let in_flight = self.in_flight.as_ref();
        let mut seen = in_flight.map_or_else(HashMap::new, |in_flight| in_flight.decided.last.clone());
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
                made.result.consistency_token = Token::text_at(
                    &self.shared.catalog.cluster_id,
                    &installed.name,
                    taken.slice.partition,
                    last,
                );
            }
        }
        Ok(seen)
    }
}

fn made(made: Made) -> Step {
    Step::Made(Box::new(made))
}
