//! What became of a command, wherever that is known.

use std::collections::HashMap;
use std::sync::PoisonError;

use foldline_core::CommandResult;
use uuid::Uuid;

use crate::catalog::{Installed, Slice};
use crate::fold::{is_remembered, read_result};
use crate::follower::{FollowError, Follower};

impl Follower {
    /// The outcome that an id has for ever, if it has one. Blocks while it is read from the topic, once for each
    /// range of it, and only if the local store was restored since.
    pub(crate) fn outcome(
        &self,
        installed: &Installed,
        slice: Slice,
        command_id: Uuid,
    ) -> Result<Option<CommandResult>, FollowError> {
        for range in self.unread.ranges_of(slice, &command_id) {
            self.read_range(installed, slice, range, command_id)?;
        }
        Ok(self.store.result(installed, slice, command_id)?)
    }

    fn read_range(
        &self,
        installed: &Installed,
        slice: Slice,
        (from, to): (i64, i64),
        command_id: Uuid,
    ) -> Result<(), FollowError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.unread.ranges_of(slice, &command_id).contains(&(from, to)) {
            // Somebody else has read it meanwhile.
            return Ok(());
        }
        let started_at = self.runtime.now();
        let results = self.results_between(installed, slice, from, to)?;
        let count = results.len();
        let mut changes = self.store.changes();
        for result in results.values() {
            changes.result(installed, slice, result);
        }
        changes.is_read(installed, slice, from);
        changes.apply()?;
        self.unread.is_read(slice, from);
        metrics::counter!("foldline_outcomes_read_total", "aggregate" => installed.name.clone())
            .increment(count as u64);
        tracing::info!(
            topic = installed.results.name,
            partition = slice.partition,
            from,
            to,
            count,
            took = ?(self.runtime.now() - started_at),
            "outcomes from before the restore are read"
        );
        Ok(())
    }

    /// The lasting outcomes at these offsets.
    fn results_between(
        &self,
        installed: &Installed,
        slice: Slice,
        from: i64,
        to: i64,
    ) -> Result<HashMap<Uuid, CommandResult>, FollowError> {
        let place = (installed.results.name.as_str(), slice.partition);
        let mut results = HashMap::new();
        self.broker.read_range(place, (from, to), &mut |message| {
            let result = read_result(installed, message)?;
            if is_remembered(&result) {
                results.insert(result.command_id, result);
            }
            Ok(())
        })?;
        Ok(results)
    }
}
