//! A batch whose transaction is being committed. The next one is decided on it meanwhile, and falls with it.

use std::time::Instant;

use foldline_core::CommandResult;
use uuid::Uuid;

use super::commit::make_known;
use super::decide::{Decided, Decision};
use super::intake::{Content, Taken};
use super::{BatchError, Worker};
use crate::catalog::Slice;
use crate::failpoints::reached;
use crate::store::Changes;

pub(super) struct InFlight {
    pub(super) batch: Vec<Taken>,
    /// Its states are those that the local store does not have yet: the next batch takes them from here.
    pub(super) decided: Decided,
    /// All but the positions, which are not known before the records have their offsets. `None`, if they are to be written
    /// when it is committed.
    pub(super) changes: Option<Changes>,
    /// On the runtime's clock.
    pub(super) began_at: Instant,
}

impl InFlight {
    /// The outcome of a command of the batch.
    pub(super) fn outcome(&self, slice: Slice, command_id: Uuid) -> Option<&CommandResult> {
        let index = *self.decided.ids.get(&(slice, command_id))?;
        match &self.decided.decisions[index] {
            Decision::Made(made) => Some(&made.result),
            Decision::DeadLetter => None,
        }
    }
}

impl Worker {
    /// Commands to decide: while a batch is committed only many of them, and else what there is.
    pub(super) fn gather(&mut self) -> Result<Vec<Taken>, BatchError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        self.take(&mut batch, &mut bytes)?;
        if (self.in_flight.as_ref()).is_some_and(|in_flight| self.must_settle(in_flight, &batch)) {
            self.finish()?;
            self.take(&mut batch, &mut bytes)?;
        }
        // If they come back they are read again, behind what another has committed of them meanwhile.
        let gone = self.slices(&self.changes.revoked);
        batch.retain(|taken| !gone.contains(&taken.slice));
        Ok(batch)
    }

    /// Whether the batch in flight is waited for before the next one is decided.
    fn must_settle(&self, in_flight: &InFlight, next: &[Taken]) -> bool {
        // The group was heard of: what it takes away is committed first, because afterwards another may.
        !self.changes.is_empty()
            // A key is nobody's before it is committed.
            || !in_flight.decided.new_keys.is_empty()
            || next.len() < self.post.ahead_min
            || waits(self, next)
    }

    /// Waits for the batch in flight, and lets it be known: in the local store, and to who waits for it.
    pub(super) fn finish(&mut self) -> Result<(), BatchError> {
        let Some(in_flight) = self.in_flight.take() else {
            return Ok(());
        };
        self.member.end_commit()?;
        reached("committed");
        let took = self.shared.runtime.now() - in_flight.began_at;
        metrics::histogram!("foldline_append_transaction_duration_seconds").record(took);
        make_known(self, in_flight)?;
        let member = &self.member;
        self.checkpoints
            .committed(&self.shared, |number| member.delivered(number))?;
        Ok(())
    }
}

/// Whether deciding may have to wait for something. For a token, and those in flight would wait with it for their answers; or
/// for a unique value, whose claim must first hear of what those in flight give up: it is told with their transaction.
fn waits(worker: &Worker, batch: &[Taken]) -> bool {
    let may_wait = |taken: &Taken| {
        let Content::Command(command) = &taken.content else {
            return false;
        };
        let aggregate = &worker.shared.catalog.get(taken.slice).aggregate;
        command.meta.consistency_token.is_some() || !aggregate.info().unique.is_empty()
    };
    batch.iter().any(may_wait)
}
