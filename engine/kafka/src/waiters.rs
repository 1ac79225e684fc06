use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use foldline_core::CommandResult;
use lru::LruCache;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::fold::is_too_early;

/// So many refusals that bind nobody are known, the newest.
const PASSING_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not 0");

/// Who waits in this process for the outcome of which command.
pub(crate) struct Waiters {
    waiting: Mutex<HashMap<Uuid, Vec<oneshot::Sender<CommandResult>>>>,
    limit: usize,
    /// Refusals of commands that came too early. They are no outcome for ever, so the store does not have them; but
    /// who has not waited for one asks for it later.
    passing: Mutex<LruCache<Uuid, CommandResult>>,
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

    /// Waits for a command; `None` if too many are waited for. To be called before the command is sent, or its
    /// outcome may come first.
    pub(crate) fn wait(&self, command_id: Uuid) -> Option<oneshot::Receiver<CommandResult>> {
        let mut waiting = self.lock();
        if waiting.len() >= self.limit && !waiting.contains_key(&command_id) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let waiters = waiting.entry(command_id).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        Some(receiver)
    }

    /// Tells all who wait for the command.
    pub(crate) fn answer(&self, result: &CommandResult) {
        if is_too_early(result) {
            let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.put(result.command_id, result.clone());
        }
        let waiters = self.lock().remove(&result.command_id);
        for waiter in waiters.into_iter().flatten() {
            // Nobody is there any more: the outcome is in the log all the same.
            let _ = waiter.send(result.clone());
        }
    }

    /// The refusal that the command had last, if that was none for ever.
    pub(crate) fn passing(&self, command_id: Uuid) -> Option<CommandResult> {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.get(&command_id).cloned()
    }

    /// Nobody waits any more: the receivers are closed.
    pub(crate) fn give_up(&self, command_id: Uuid) {
        let mut waiting = self.lock();
        if let Some(waiters) = waiting.get_mut(&command_id) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&command_id);
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Vec<oneshot::Sender<CommandResult>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
