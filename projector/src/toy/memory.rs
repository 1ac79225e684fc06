use std::collections::{BTreeMap, HashMap};
use std::thread::{self, ThreadId};

use foldline_core::{AggregateId, Sequence};
use foldline_views::{
    Batch, CheckpointKey, CommitError, HistoryEvent, Parked, Position, Row, StoreError, Touch, ViewWriter,
};

/// A view store in memory. It writes what it is told, and refuses a step that does not fit.
#[derive(Debug, Default)]
pub struct Memory {
    pub rows: BTreeMap<(String, AggregateId), (Row, bool)>,
    pub history: Vec<HistoryEvent>,
    pub touches: Vec<Touch>,
    pub positions: HashMap<CheckpointKey, Position>,
    pub parked: Vec<Parked>,
    /// By which thread each commit was made.
    pub committed_by: Vec<ThreadId>,
    /// So many of the next calls fail.
    pub failures: usize,
}

impl Memory {
    pub fn commits(&self) -> usize {
        self.committed_by.len()
    }

    fn fail(&mut self) -> Result<(), StoreError> {
        if self.failures == 0 {
            return Ok(());
        }
        self.failures -= 1;
        Err(StoreError::Database("locked".into()))
    }
}

impl ViewWriter for Memory {
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
        Ok(self.positions.clone())
    }

    fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        Ok(self.parked.clone())
    }

    fn retries(&mut self) -> Result<Vec<Parked>, StoreError> {
        Ok(Vec::new())
    }

    fn beside(&self) -> &[String] {
        &[]
    }

    fn load(&mut self, view: &str, ids: &[AggregateId]) -> Result<Vec<Row>, StoreError> {
        self.fail()?;
        let row = |id: &AggregateId| self.rows.get(&(view.to_owned(), id.clone()));
        Ok(ids.iter().filter_map(row).map(|(row, _)| row.clone()).collect())
    }

    fn sequences(
        &mut self,
        aggregate: &str,
        ids: &[AggregateId],
    ) -> Result<HashMap<AggregateId, Sequence>, StoreError> {
        let last = |id: &AggregateId| {
            let mine = self
                .history
                .iter()
                .filter(|event| event.aggregate == aggregate && event.id == *id);
            Some((id.clone(), mine.map(|event| event.sequence).max()?))
        };
        Ok(ids.iter().filter_map(last).collect())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.fail()?;
        for step in &batch.moves {
            let actual = self.positions.get(&step.key).copied().unwrap_or(Position::START);
            assert_eq!(step.from, actual, "{:?}", step.key);
            self.positions.insert(step.key.clone(), step.to);
        }
        for change in &batch.rows {
            let key = (change.view.clone(), change.id.clone());
            match &change.row {
                None => drop(self.rows.remove(&key)),
                Some(new) => {
                    let row = Row {
                        id: change.id.clone(),
                        doc: new.doc.clone(),
                        sequence: new.sequence,
                        version: new.version,
                        generation: 1,
                    };
                    self.rows.insert(key, (row, new.listed));
                }
            }
        }
        self.history.extend(batch.history.iter().cloned());
        self.touches.extend(batch.touches.iter().cloned());
        self.parked.extend(batch.parked.iter().cloned());
        self.committed_by.push(thread::current().id());
        Ok(())
    }
}
