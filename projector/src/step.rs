use std::time::Duration;

use foldline_core::{AggregateId, Timestamp};
use foldline_kafka::LogRecord;
use foldline_views::{CommitError, Parked, StoreError, ViewWriter};

use crate::metrics;
use crate::project::{Folded, Loaded, Needs, Outcome, Projector};

/// How often the store is tried, and how long the pauses are: in all about 6 seconds.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// A batch that is in the store.
#[derive(Debug, Default)]
pub struct Done {
    /// How many events it had.
    pub events: usize,
    /// How many events had which outcome, by projection.
    pub counts: std::collections::BTreeMap<(String, Outcome), u64>,
    /// What was parked.
    pub parked: Vec<Parked>,
    /// When the newest of its events was decided.
    pub recorded_at: Option<Timestamp>,
}

/// A batch is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The store cannot be read.
    #[error(transparent)]
    Load(#[from] StoreError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Takes a batch from the log into the store: rows, history and checkpoints in one transaction. A database that
/// fails is tried again for some seconds; after an error nothing of the batch counts, here or in the store.
pub fn catch_up(
    projector: &mut Projector,
    writer: &mut dyn ViewWriter,
    records: Vec<LogRecord>,
) -> Result<Done, StepError> {
    let events = records.len();
    let decided = |record: &LogRecord| Some(record.event.as_ref().ok()?.meta.recorded_at);
    let recorded_at = records.iter().filter_map(decided).max();
    let plan = projector.plan(records);
    let needs = projector.needs(&plan);
    let loaded = with_patience(|| load(writer, &needs).map_err(StepError::from))?;
    let Folded { batch, counts } = projector.fold(&plan, loaded);
    if !batch.moves.is_empty() {
        with_patience(|| writer.commit(&batch).map_err(StepError::from))?;
        projector.accept(&batch);
    }
    Ok(Done {
        events,
        counts,
        parked: batch.parked,
        recorded_at,
    })
}

fn load(writer: &mut dyn ViewWriter, needs: &Needs) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    for (view, ids) in &needs.rows {
        let ids: Vec<AggregateId> = ids.iter().cloned().collect();
        loaded.rows.insert(view.clone(), writer.load(view, &ids)?);
    }
    for (aggregate, ids) in &needs.sequences {
        let ids: Vec<AggregateId> = ids.iter().cloned().collect();
        let sequences = writer.sequences(aggregate, &ids)?;
        loaded.sequences.insert(aggregate.clone(), sequences);
    }
    Ok(loaded)
}

fn with_patience<T>(mut attempt: impl FnMut() -> Result<T, StepError>) -> Result<T, StepError> {
    for pause in PAUSES {
        match attempt() {
            Err(error) if may_pass(&error) => {
                tracing::warn!(%error, "the view database failed, and is tried again");
                metrics::retried();
                std::thread::sleep(pause);
            }
            settled => return settled,
        }
    }
    attempt()
}

/// A lock or a full disk may pass. A successor, a corrupt row or a checkpoint out of step does not.
fn may_pass(error: &StepError) -> bool {
    let store = match error {
        StepError::Load(error) | StepError::Commit(CommitError::Store(error)) => error,
        StepError::Commit(_) => return false,
    };
    matches!(store, StoreError::Database(_))
}
