use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::Path;

use foldline_core::{AggregateId, Sequence};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::columns::table;
use super::generations::Targets;
use super::guard::Guard;
use super::schema::NOW;
use super::wal::Copier;
use super::{commands, database, history, parked, reader};
use crate::{
    Batch, CheckpointKey, CheckpointMove, CommitError, HISTORY, Parked, ParkedKey, Position, Row, StoreError,
    ViewWriter,
};

/// Writes to the file for as long as its guard lets it.
pub(super) struct SqliteWriter<C: Borrow<Connection>> {
    /// Dropped first: the last connection that is closed empties the log.
    pub(super) copier: Option<Copier>,
    pub(super) connection: C,
    pub(super) place: String,
    pub(super) targets: Targets,
    pub(super) beside: Vec<String>,
    pub(super) guard: Guard,
}

impl<C: Borrow<Connection>> SqliteWriter<C> {
    pub(super) fn new(connection: C, path: &Path, targets: Targets, guard: Guard) -> Self {
        Self {
            copier: None,
            connection,
            place: path.display().to_string(),
            targets,
            beside: Vec::new(),
            guard,
        }
    }

    fn file(&self) -> &Connection {
        self.connection.borrow()
    }

    /// For many reads: each for itself would lock the file, and look for what was committed meanwhile. `None` if a transaction is
    /// open already.
    fn at_one_moment(&self) -> Result<Option<Transaction<'_>>, StoreError> {
        let begin = || Transaction::new_unchecked(self.file(), TransactionBehavior::Deferred);
        self.file()
            .is_autocommit()
            .then(begin)
            .transpose()
            .map_err(database)
    }

    fn parked_where(&self, condition: &str) -> Result<Vec<Parked>, StoreError> {
        let mut parked = Vec::new();
        let sql = format!(
            "{} WHERE projection = ?1 AND generation = ?2{condition}",
            parked::ALL
        );
        let mut statement = self.file().prepare_cached(&sql).map_err(database)?;
        for (projection, generation) in self.targets.iter() {
            let mut rows = statement
                .query(params![projection, generation])
                .map_err(database)?;
            while let Some(row) = rows.next().map_err(database)? {
                parked.push(parked::read(row, &self.place)?);
            }
        }
        Ok(parked)
    }

    /// Whether what is held still is. SQLite gives a transaction up by itself when the disk fails: who goes on would write
    /// without the lock, and each statement for itself.
    pub(super) fn check_lock(&self) -> Result<(), CommitError> {
        match &self.guard {
            Guard::Held { built, .. } if self.file().is_autocommit() => Err(CommitError::NotOurs {
                view: built.view.clone(),
                generation: built.generation,
            }),
            _ => Ok(()),
        }
    }

    fn apply(&self, batch: &Batch) -> Result<(), CommitError> {
        let (connection, targets) = (self.file(), &self.targets);
        for step in &batch.moves {
            move_checkpoint(connection, targets.of(&step.key.projection)?, step)?;
        }
        // Changes of one view mostly stand together: its statements are looked up once for all of them.
        for changes in batch.rows.chunk_by(|a, b| a.view == b.view) {
            let table = targets.table(&changes[0].view)?;
            table.write(connection, changes).map_err(database)?;
        }
        if !batch.history.is_empty() {
            targets.of(HISTORY)?;
            history::write(connection, &batch.history).map_err(database)?;
        }
        commands::write(connection, &batch.commands).map_err(database)?;
        history::write_touches(connection, &batch.touches).map_err(database)?;
        for key in &batch.unparked {
            unpark(connection, targets.of(&key.projection)?, key).map_err(database)?;
        }
        for parked in &batch.parked {
            park(connection, targets.of(&parked.projection)?, parked).map_err(database)?;
        }
        Ok(())
    }
}

impl<C: Borrow<Connection> + Send> ViewWriter for SqliteWriter<C> {
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
        let mut checkpoints = HashMap::new();
        for (projection, generation) in self.targets.iter() {
            checkpoints.extend(reader::positions_of(self.file(), projection, generation)?);
        }
        Ok(checkpoints)
    }

    fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        let mut parked = self.parked_where("")?;
        if self.targets.of(HISTORY).is_err() {
            parked.extend(parked::of(self.file(), &self.place, HISTORY, 0)?);
        }
        Ok(parked)
    }

    fn retries(&mut self) -> Result<Vec<Parked>, StoreError> {
        self.parked_where(" AND retry = 1")
    }

    fn beside(&self) -> &[String] {
        &self.beside
    }

    fn load(&mut self, view: &str, ids: &[AggregateId]) -> Result<Vec<Row>, StoreError> {
        let generation = self.targets.of(view)?;
        let sql = format!(
            "SELECT id, doc, sequence, version, {generation} FROM {} WHERE id = ?1",
            table(view, generation)
        );
        let _reading = self.at_one_moment()?;
        let mut statement = self.file().prepare_cached(&sql).map_err(database)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let mut rows = statement.query([id.as_str()]).map_err(database)?;
            if let Some(row) = rows.next().map_err(database)? {
                found.push(reader::row(row, &self.place)?);
            }
        }
        Ok(found)
    }

    fn sequences(
        &mut self,
        aggregate: &str,
        ids: &[AggregateId],
    ) -> Result<HashMap<AggregateId, Sequence>, StoreError> {
        let _reading = self.at_one_moment()?;
        let mut statement = self
            .file()
            .prepare_cached("SELECT max(sequence) FROM history WHERE aggregate = ?1 AND id = ?2")
            .map_err(database)?;
        let mut found = HashMap::with_capacity(ids.len());
        for id in ids {
            let sequence: Option<Sequence> = statement
                .query_row([aggregate, id.as_str()], |row| row.get(0))
                .map_err(database)?;
            if let Some(sequence) = sequence {
                found.insert(id.clone(), sequence);
            }
        }
        Ok(found)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        if self.guard.is_held() {
            self.check_lock()?;
            return self.apply(batch);
        }
        // Takes the lock at once, so that what is checked still holds at the commit. Dropped, it rolls back.
        let transaction =
            Transaction::new_unchecked(self.file(), TransactionBehavior::Immediate).map_err(database)?;
        self.guard.check(&transaction, &self.targets)?;
        self.apply(batch)?;
        transaction.commit().map_err(database)?;
        if let Some(copier) = &self.copier {
            copier.committed(self.file());
        }
        Ok(())
    }
}

fn move_checkpoint(
    connection: &Connection,
    generation: i64,
    step: &CheckpointMove,
) -> Result<(), CommitError> {
    let CheckpointMove { key, from, to } = step;
    let actual = position(connection, generation, key)
        .map_err(database)?
        .unwrap_or(Position::START);
    if actual != *from {
        return Err(CommitError::WrongStep {
            key: key.clone(),
            from: *from,
            actual,
        });
    }
    connection
        .prepare_cached(
            "INSERT INTO checkpoints (projection, generation, aggregate, partition, next_offset, command_offset)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
             SET next_offset = excluded.next_offset, command_offset = excluded.command_offset",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                key.projection,
                generation,
                key.aggregate,
                key.partition,
                to.next_offset,
                to.command_offset
            ])
        })
        .map_err(database)?;
    Ok(())
}

fn position(
    connection: &Connection,
    generation: i64,
    key: &CheckpointKey,
) -> rusqlite::Result<Option<Position>> {
    connection
        .prepare_cached(
            "SELECT next_offset, command_offset FROM checkpoints
             WHERE projection = ?1 AND generation = ?2 AND aggregate = ?3 AND partition = ?4",
        )?
        .query_row(
            params![key.projection, generation, key.aggregate, key.partition],
            |row| {
                Ok(Position {
                    next_offset: row.get(0)?,
                    command_offset: row.get(1)?,
                })
            },
        )
        .optional()
}

fn unpark(connection: &Connection, generation: i64, key: &ParkedKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM parked WHERE projection = ?1 AND generation = ?2 AND aggregate = ?3 AND id = ?4",
        )?
        .execute(params![
            key.projection,
            generation,
            key.aggregate,
            key.id.as_str()
        ])?;
    Ok(())
}

fn park(connection: &Connection, generation: i64, parked: &Parked) -> rusqlite::Result<()> {
    // The first reason is the one to be settled; what follows it is its consequence.
    let sql = format!(
        "INSERT INTO parked (projection, generation, aggregate, id, reason, partition, at_offset, parked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, {NOW}) ON CONFLICT DO NOTHING"
    );
    connection.prepare_cached(&sql)?.execute(params![
        parked.projection,
        generation,
        parked.aggregate,
        parked.id.as_str(),
        parked.reason,
        parked.partition,
        parked.offset,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::SqliteWriter;
    use crate::conformance::toy::{CLUSTER, VIEW, coats, step};
    use crate::sqlite::SqliteStore;
    use crate::sqlite::generations::Targets;
    use crate::sqlite::guard::{Built, Guard};
    use crate::{Batch, CommitError, ViewStore, ViewWriter};

    #[test]
    fn who_has_lost_the_lock_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        drop(SqliteStore::new(&path).writer(&coats(), CLUSTER).unwrap());
        let built = Built {
            view: VIEW.to_owned(),
            generation: 1,
            epoch: 0,
        };
        let guard = Guard::Held {
            built,
            is_open: false,
        };
        let connection = Connection::open(&path).unwrap();
        let targets = Targets::only(coats().views()[0].info(), 1);
        let mut held = SqliteWriter::new(connection, &path, targets, guard);
        let batch = Batch {
            moves: vec![step(0, 1)],
            ..Batch::default()
        };
        let refused = held.commit(&batch);
        assert!(
            matches!(refused, Err(CommitError::NotOurs { generation: 1, .. })),
            "{refused:?}"
        );
        assert!(held.checkpoints().unwrap().is_empty());
        held.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        held.commit(&batch).unwrap();
        assert_eq!(held.checkpoints().unwrap().len(), 1);
    }
}
