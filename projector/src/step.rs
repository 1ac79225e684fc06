use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foldline_core::{AggregateId, Timestamp};
use foldline_kafka::LogRecord;
use foldline_kafka::failpoints::reached;
use foldline_views::{Batch, CommitError, Parked, StoreError, ViewWriter};

use crate::metrics;
use crate::project::{Folded, Loaded, Needs, Outcome, Plan, Projector};

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
    pub counts: BTreeMap<(String, Outcome), u64>,
    /// What was parked.
    pub parked: Vec<Parked>,
    /// When the newest of its events was decided.
    pub recorded_at: Option<Timestamp>,
    /// From when it was taken from the log until it was in the store.
    pub took: Duration,
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
    let begun = Begun::with(&records);
    let folded = fold_batch(projector, writer, &projector.plan(records))?;
    commit(writer, &folded.batch)?;
    projector.accept(&folded.batch);
    Ok(begun.done(folded))
}

/// A batch that was taken from the log.
pub(crate) struct Begun {
    events: usize,
    recorded_at: Option<Timestamp>,
    at: Instant,
}

impl Begun {
    pub(crate) fn with(records: &[LogRecord]) -> Self {
        let decided = |record: &LogRecord| Some(record.event.as_ref().ok()?.meta.recorded_at);
        Self {
            events: records.len(),
            recorded_at: records.iter().filter_map(decided).max(),
            at: Instant::now(),
        }
    }

    /// It is in the store.
    pub(crate) fn done(self, folded: Folded) -> Done {
        Done {
            events: self.events,
            counts: folded.counts,
            parked: folded.batch.parked,
            recorded_at: self.recorded_at,
            took: self.at.elapsed(),
        }
    }
}

/// What a plan comes to with what the store has.
pub(crate) fn fold_batch(
    projector: &Projector,
    writer: &mut dyn ViewWriter,
    plan: &Plan,
) -> Result<Folded, StepError> {
    let loaded = loaded(writer, &projector.needs(plan))?;
    Ok(projector.fold(plan, loaded))
}

/// What the store has of it.
pub(crate) fn loaded(writer: &mut dyn ViewWriter, needs: &Needs) -> Result<Loaded, StepError> {
    with_patience(|| load(writer, needs).map_err(StepError::from))
}

/// Writes a batch that was folded from the log, unless no projection had anything left to see of it.
pub(crate) fn commit(writer: &mut dyn ViewWriter, batch: &Batch) -> Result<(), StepError> {
    if batch.moves.is_empty() {
        return Ok(());
    }
    reached("before-view-commit");
    written(writer, batch)?;
    reached("view-committed");
    Ok(())
}

/// Writes a batch, all of it or nothing.
pub(crate) fn written(writer: &mut dyn ViewWriter, batch: &Batch) -> Result<(), StepError> {
    with_patience(|| writer.commit(batch).map_err(StepError::from))
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

/// A lock or a full disk may pass. A successor, a damaged file or a checkpoint out of step does not.
fn may_pass(error: &StepError) -> bool {
    match error {
        StepError::Load(error) | StepError::Commit(CommitError::Store(error)) => error.may_pass(),
        StepError::Commit(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::path::Path;

    use foldline_core::AggregateId;
    use foldline_views::{CommitError, Row, Snapshot, SqliteStore, StoreError, ViewStore, ViewWriter};

    use super::{StepError, catch_up, with_patience};
    use crate::Projector;
    use crate::toy::{Log, Memory, Spec, TabEvent, bar, start, unseen};

    fn take(writer: &mut dyn ViewWriter, projector: &mut Projector, specs: &[Spec]) -> Result<(), StepError> {
        let records = unseen(projector, specs);
        catch_up(projector, writer, records).map(drop)
    }

    fn evening() -> Log {
        let mut log = Log::default();
        for round in 0..10 {
            log.open("a")
                .spend("a", &["ada", "bob"], round)
                .name("ada", "Ada");
            log.spend("b", &["ada"], 1)
                .garbage(Some("c"))
                .tab("a", TabEvent::TabClosed {});
        }
        log
    }

    /// Rows with whether they are shown, and for each aggregate the sequences that the history has.
    #[derive(Debug, PartialEq)]
    struct Content {
        rows: Vec<Option<Row>>,
        history: BTreeMap<&'static str, Vec<i64>>,
        positions: Vec<String>,
    }

    fn content(path: &Path) -> Content {
        let mut reader = SqliteStore::new(path).reader().unwrap();
        let snapshot = reader.snapshot().unwrap();
        let id = |id: &str| -> AggregateId { id.parse().unwrap() };
        let rows = ["a", "b", "c", "ada", "bob"];
        let rows = rows
            .iter()
            .flat_map(|row| ["tabs", "guests"].map(|view| (view, id(row))));
        let sequences = |snapshot: &dyn Snapshot, aggregate: &str, name: &str| {
            let events = snapshot.events(aggregate, &id(name), 0, 1000).unwrap();
            events.iter().map(|event| event.sequence).collect()
        };
        let positions = snapshot.all_positions().unwrap();
        let mut positions: Vec<String> = positions
            .iter()
            .map(|(key, position)| format!("{key:?} {position}"))
            .collect();
        positions.sort();
        Content {
            rows: rows.map(|(view, id)| snapshot.get(view, &id).unwrap()).collect(),
            history: BTreeMap::from([
                ("a", sequences(&*snapshot, "bar.tabs", "a")),
                ("b", sequences(&*snapshot, "bar.tabs", "b")),
                ("ada", sequences(&*snapshot, "bar.guests", "ada")),
            ]),
            positions,
        }
    }

    #[test]
    fn a_database_that_fails_for_a_moment_is_tried_again() {
        let mut log = Log::default();
        log.open("a").spend("a", &[], 3);
        let records: fn(&Log) -> Vec<_> = |log| log.specs.iter().map(Spec::record).collect();
        let (mut projector, mut memory) = (Projector::new(bar(), HashMap::new(), []), Memory::default());
        memory.failures = 1;
        let done = catch_up(&mut projector, &mut memory, records(&log)).unwrap();
        assert_eq!((done.events, memory.failures, memory.commits()), (2, 0, 1));
        assert_eq!(memory.history.len(), 2);
    }

    #[test]
    fn a_damaged_database_is_not_tried_again() {
        let mut tries = 0;
        let ended = with_patience(|| -> Result<(), StepError> {
            tries += 1;
            let damaged = StoreError::Corrupt {
                what: "what nobody can read".to_owned(),
                place: "views.db".to_owned(),
            };
            Err(damaged.into())
        });
        assert!(ended.is_err());
        assert_eq!(tries, 1);
    }

    #[test]
    fn a_projector_that_is_killed_between_batches_makes_the_same_views() {
        let folder = tempfile::tempdir().unwrap();
        let (straight, killed) = (folder.path().join("straight.db"), folder.path().join("killed.db"));
        let specs = evening().specs;
        let (mut writer, mut projector) = start(&straight);
        take(writer.as_mut(), &mut projector, &specs).unwrap();
        for end in (1..specs.len()).step_by(7).chain([specs.len(), specs.len()]) {
            let (mut writer, mut projector) = start(&killed);
            take(writer.as_mut(), &mut projector, &specs[..end]).unwrap();
        }
        let expected = content(&straight);
        assert_eq!(expected.history["a"], (1..=30).collect::<Vec<_>>());
        assert_eq!(content(&killed), expected);
    }

    #[test]
    fn a_projector_whose_place_was_taken_writes_nothing_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let specs = evening().specs;
        let (mut old, mut behind) = start(&path);
        take(old.as_mut(), &mut behind, &specs[..4]).unwrap();
        let (mut new, mut projector) = start(&path);
        take(new.as_mut(), &mut projector, &specs[..9]).unwrap();
        let before = content(&path);

        let error = take(old.as_mut(), &mut behind, &specs[..20]).unwrap_err();
        assert!(
            matches!(error, StepError::Commit(CommitError::Fenced { .. })),
            "{error}"
        );
        assert_eq!(content(&path), before);
        take(new.as_mut(), &mut projector, &specs).unwrap();
    }

    #[test]
    fn a_view_that_is_made_anew_catches_up_with_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (straight, renewed) = (
            folder.path().join("straight.db"),
            folder.path().join("renewed.db"),
        );
        let specs = evening().specs;
        let (mut writer, mut projector) = start(&straight);
        take(writer.as_mut(), &mut projector, &specs).unwrap();
        // The same log, read by a program that did not have the guests yet.
        let without = crate::toy::without_guests();
        let mut writer = SqliteStore::new(&renewed).writer(&without, "cluster").unwrap();
        let mut projector = Projector::new(&without, writer.checkpoints().unwrap(), []);
        take(writer.as_mut(), &mut projector, &specs[..30]).unwrap();

        let (mut writer, mut projector) = start(&renewed);
        assert_eq!(projector.start("bar.tabs", 1), 0);
        take(writer.as_mut(), &mut projector, &specs).unwrap();
        assert_eq!(content(&renewed), content(&straight));
    }
}
