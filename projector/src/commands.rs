//! Commands of which no event tells, from the results into the history: refused ones, and caused ones.
//!
//! A projection with checkpoints of its own, like any other. What it skips moves its checkpoints too, but not each time:
//! to read it again after a crash costs less than to write that it was read.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldline_core::Outcome;
use foldline_kafka::{EventLogError, ResultRecord, Results};
use foldline_views::{Batch, COMMANDS, CheckpointKey, CheckpointMove, HistoryCommand, Position, ViewWriter};

use crate::step::{StepError, written};

/// How many results are looked at between two batches of events.
const RESULTS_MAX: usize = 5000;
/// How long a checkpoint stays behind what was skipped.
const SKIPPED_FOR: Duration = Duration::from_secs(5);

/// What is there is not in the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandsError {
    /// The results cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The store cannot be written.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// The projection, at work.
pub(crate) struct Commands {
    log: Box<dyn Results>,
    /// Where it stands in the store.
    positions: HashMap<CheckpointKey, Position>,
    /// Where it has come since.
    reached: HashMap<CheckpointKey, Position>,
    stored_at: Instant,
}

impl Commands {
    /// From where the store has it. Other projections' positions are left out.
    pub(crate) fn new(log: Box<dyn Results>, positions: HashMap<CheckpointKey, Position>) -> Self {
        Self {
            log,
            positions,
            reached: HashMap::new(),
            stored_at: Instant::now(),
        }
    }

    /// Takes what is there into the store, in one transaction. A database that fails is tried again for some seconds.
    pub(crate) fn step(&mut self, writer: &mut dyn ViewWriter) -> Result<(), CommandsError> {
        let read = self.log.poll(RESULTS_MAX)?;
        for ((aggregate, partition), next_offset) in read.next {
            let key = key_of(&aggregate, partition);
            let stands = self.stands(&key);
            self.reached.insert(
                key,
                Position {
                    next_offset,
                    ..stands
                },
            );
        }
        for record in &read.results {
            let key = key_of(&record.aggregate, record.partition);
            if let Some(reached) = self.reached.get_mut(&key) {
                reached.command_offset = reached.command_offset.max(record.result.command_offset);
            }
        }
        let commands: Vec<HistoryCommand> = read.results.into_iter().filter_map(told).collect();
        if self.reached.is_empty() || (commands.is_empty() && self.stored_at.elapsed() < SKIPPED_FOR) {
            return Ok(());
        }
        let moves = self.reached.iter().map(|(key, to)| CheckpointMove {
            key: key.clone(),
            from: self.positions.get(key).copied().unwrap_or(Position::START),
            to: *to,
        });
        let batch = Batch {
            moves: moves.collect(),
            commands,
            ..Batch::default()
        };
        written(writer, &batch)?;
        self.positions.extend(self.reached.drain());
        self.stored_at = Instant::now();
        Ok(())
    }

    fn stands(&self, key: &CheckpointKey) -> Position {
        let reached = self.reached.get(key).or_else(|| self.positions.get(key));
        reached.copied().unwrap_or(Position::START)
    }
}

pub(crate) fn key_of(aggregate: &str, partition: i32) -> CheckpointKey {
    CheckpointKey {
        projection: COMMANDS.to_owned(),
        aggregate: aggregate.to_owned(),
        partition,
    }
}

/// What a result tells. A repetition tells nothing new, and a dry run of nothing that was done.
fn told(record: ResultRecord) -> Option<HistoryCommand> {
    let result = record.result;
    if result.replayed || result.dry_run {
        return None;
    }
    let refusal = match result.decided() {
        Outcome::Accepted(_) => None,
        Outcome::Refused(refusal) => Some(
            serde_json::json!({
                "code": refusal.code,
                "kind": refusal.kind.name(),
                "detail": refusal.detail,
                "field": refusal.field,
                "step": refusal.step,
            })
            .to_string(),
        ),
    };
    Some(HistoryCommand {
        aggregate: record.aggregate,
        id: result.aggregate_id,
        partition: record.partition,
        offset: record.offset,
        command_id: result.command_id,
        command_type: result.command_type,
        command_offset: result.command_offset,
        sequence: result.sequence,
        issued_at: result.issued_at,
        decided_at: result.decided_at,
        actor: result.actor,
        correlation_id: result.correlation_id,
        causation_id: result.causation_id,
        refusal,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::Commands;
    use crate::toy::{Memory, OneResult};

    #[test]
    fn a_database_that_fails_for_a_moment_is_tried_again() {
        let mut memory = Memory {
            failures: 1,
            ..Memory::default()
        };
        let mut commands = Commands::new(Box::new(OneResult::default()), HashMap::new());
        commands.step(&mut memory).unwrap();
        assert_eq!((memory.failures, memory.commits()), (0, 1));
    }
}
