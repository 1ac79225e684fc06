use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use foldline_core::CommandResult;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Who waits in this process for the outcome of which command.
pub(crate) struct Waiters {
    waiting: Mutex<HashMap<Uuid, Vec<oneshot::Sender<CommandResult>>>>,
    limit: usize,
}

impl Waiters {
    /// At most `limit` commands are waited for: who comes then is told to come back later.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            limit,
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

    /// Waits for a command that somebody waits for already; `None` if nobody does.
    pub(crate) fn join(&self, command_id: Uuid) -> Option<oneshot::Receiver<CommandResult>> {
        let mut waiting = self.lock();
        let waiters = waiting.get_mut(&command_id)?;
        let (sender, receiver) = oneshot::channel();
        waiters.push(sender);
        Some(receiver)
    }

    pub(crate) fn answer(&self, result: &CommandResult) {
        let waiters = self.lock().remove(&result.command_id);
        for waiter in waiters.into_iter().flatten() {
            // Nobody is there any more: the outcome is in the log all the same.
            let _ = waiter.send(result.clone());
        }
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

    pub(crate) fn is_waiting(&self, command_id: Uuid) -> bool {
        self.lock().contains_key(&command_id)
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Vec<oneshot::Sender<CommandResult>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
