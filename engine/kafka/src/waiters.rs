use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldline_core::{AggregateId, CommandResult};
use lru::LruCache;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::fold::is_too_early;

/// So many refusals that bind nobody are known, the newest.
const PASSING_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not 0");

/// Who waits in this process for the outcome of which command.
pub(crate) struct Waiters {
    waiting: Mutex<Waiting>,
    limit: usize,
    /// Refusals of commands that came too early. They are no outcome for ever, so the store does not have them; but
    /// who has not waited for one asks for it later.
    passing: Mutex<LruCache<Uuid, CommandResult>>,
}

/// By the ids of the commands.
#[derive(Default)]
struct Waiting {
    clients: HashMap<Uuid, Vec<Waiter>>,
    /// Not among the clients, of whom there can be too many: they wait for workers, and a worker for what it asks itself.
    engine: HashMap<Uuid, Vec<Waiter>>,
}

struct Waiter {
    /// `None`, if it asks by the id alone.
    asked: Option<Asked>,
    outcome: oneshot::Sender<CommandResult>,
}

/// What is asked of which aggregate. Its id does not say it: clients choose ids, and may ask for two things under one.
pub(crate) struct Asked {
    pub(crate) command_type: String,
    pub(crate) aggregate_id: AggregateId,
    pub(crate) fingerprint: Uuid,
    pub(crate) dry_run: bool,
}

impl Waiters {
    /// At most `limit` commands are waited for: who comes then is told to come back later.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            limit,
            passing: Mutex::new(LruCache::new(PASSING_MAX)),
        }
    }

    /// Waits for a command, for a client; `None` if too many are waited for. To be called before the command is sent, or
    /// its outcome may come first. Who does not say what was asked is told of the first outcome under the id.
    pub(crate) fn wait(
        &self,
        command_id: Uuid,
        asked: Option<Asked>,
    ) -> Option<oneshot::Receiver<CommandResult>> {
        let mut waiting = self.lock();
        let clients = &mut waiting.clients;
        if clients.len() >= self.limit && !clients.contains_key(&command_id) {
            return None;
        }
        Some(wait(clients, command_id, asked))
    }

    /// The same for a command that the engine asks itself.
    pub(crate) fn wait_in_the_engine(
        &self,
        command_id: Uuid,
        asked: Asked,
    ) -> oneshot::Receiver<CommandResult> {
        wait(&mut self.lock().engine, command_id, Some(asked))
    }

    /// Tells all who wait for the command. Who has asked for something else under its id waits on: that has an outcome of
    /// its own.
    pub(crate) fn answer(&self, result: &CommandResult) {
        if is_too_early(result) {
            let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.put(result.command_id, result.clone());
        }
        let answered = self
            .lock()
            .take(result.command_id, |waiter| waiter.is_answered_by(result));
        for waiter in answered {
            // Nobody is there any more: the outcome is in the log all the same.
            let _ = waiter.outcome.send(result.clone());
        }
    }

    /// The refusal that the command had last, if that was none for ever.
    pub(crate) fn passing(&self, command_id: Uuid) -> Option<CommandResult> {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.get(&command_id).cloned()
    }

    /// Nobody waits any more: the receivers are closed.
    pub(crate) fn give_up(&self, command_id: Uuid) {
        self.lock().take(command_id, |waiter| waiter.outcome.is_closed());
    }

    /// For so many commands clients wait.
    pub(crate) fn count(&self) -> usize {
        self.lock().clients.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes out those of the waiters for a command of whom this holds.
    fn take(&mut self, command_id: Uuid, holds: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let mut taken = Vec::new();
        for waiting in [&mut self.clients, &mut self.engine] {
            let Entry::Occupied(mut waiters) = waiting.entry(command_id) else {
                continue;
            };
            taken.extend(waiters.get_mut().extract_if(.., |waiter| holds(waiter)));
            if waiters.get().is_empty() {
                waiters.remove();
            }
        }
        taken
    }
}

impl Waiter {
    fn is_answered_by(&self, result: &CommandResult) -> bool {
        self.asked.as_ref().is_none_or(|asked| {
            asked.fingerprint == result.fingerprint
                && asked.aggregate_id == result.aggregate_id
                && asked.command_type == result.command_type
                && asked.dry_run == result.dry_run
        })
    }
}

fn wait(
    waiting: &mut HashMap<Uuid, Vec<Waiter>>,
    command_id: Uuid,
    asked: Option<Asked>,
) -> oneshot::Receiver<CommandResult> {
    let (outcome, receiver) = oneshot::channel();
    let waiters = waiting.entry(command_id).or_default();
    waiters.retain(|waiter| !waiter.outcome.is_closed());
    waiters.push(Waiter { asked, outcome });
    receiver
}
