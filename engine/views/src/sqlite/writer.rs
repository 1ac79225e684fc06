use std::collections::HashMap;
use std::path::Path;

use foldline_core::{AggregateId, Sequence};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::columns::table;
use super::{database, reader, schema};
use crate::{
    Batch, CheckpointKey, CheckpointMove, CommitError, HistoryEvent, NewRow, Parked, Position, Row,
    RowChange, StoreError, ViewWriter,
};

/// Writes to the file for as long as nobody newer does.
pub(super) struct SqliteWriter {
    connection: Connection,
    place: String,
    epoch: i64,
}

impl SqliteWriter {
    pub(super) fn new(connection: Connection, path: &Path, epoch: i64) -> Self {
        Self {
            connection,
            place: path.display().to_string(),
            epoch,
        }
    }
}

impl ViewWriter for SqliteWriter {
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
        let positions = reader::positions(&self.connection, None)?;
        Ok(positions.into_iter().collect())
    }

    fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT projection, aggregate, id, reason, partition, at_offset FROM parked")
            .map_err(database)?;
        let mut rows = statement.query([]).map_err(database)?;
        let mut parked = Vec::new();
        while let Some(row) = rows.next().map_err(database)? {
            parked.push(Parked {
                projection: row.get(0).map_err(database)?,
                aggregate: row.get(1).map_err(database)?,
                id: reader::id(row, 2, &self.place)?,
                reason: row.get(3).map_err(database)?,
                partition: row.get(4).map_err(database)?,
                offset: row.get(5).map_err(database)?,
            });
        }
        Ok(parked)
    }

    fn load(&mut self, view: &str, ids: &[AggregateId]) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT id, doc, sequence, version FROM {} WHERE id = ?1",
            table(view)
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(database)?;
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
        let mut statement = self
            .connection
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
        // Takes the lock at once, so that what is checked still holds at the commit. Dropped, it rolls back.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(database)?;
        let theirs: i64 = schema::meta(&transaction, "epoch").map_err(database)?;
        if theirs != self.epoch {
            let ours = self.epoch;
            return Err(CommitError::Fenced { ours, theirs });
        }
        for step in &batch.moves {
            move_checkpoint(&transaction, step)?;
        }
        write_rows(&transaction, &batch.rows).map_err(database)?;
        write_history(&transaction, &batch.history).map_err(database)?;
        write_parked(&transaction, &batch.parked).map_err(database)?;
        transaction.commit().map_err(database)?;
        Ok(())
    }
}

fn move_checkpoint(transaction: &Transaction<'_>, step: &CheckpointMove) -> Result<(), CommitError> {
    let CheckpointMove { key, from, to } = step;
    let actual = position(transaction, key)
        .map_err(database)?
        .unwrap_or(Position::START);
    if actual != *from {
        return Err(CommitError::WrongStep {
            key: key.clone(),
            from: *from,
            actual,
        });
    }
    transaction
        .prepare_cached(
            "INSERT INTO checkpoints (projection, aggregate, partition, next_offset, command_offset)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
             SET next_offset = excluded.next_offset, command_offset = excluded.command_offset",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                key.projection,
                key.aggregate,
                key.partition,
                to.next_offset,
                to.command_offset
            ])
        })
        .map_err(database)?;
    Ok(())
}

fn position(connection: &Connection, key: &CheckpointKey) -> rusqlite::Result<Option<Position>> {
    connection
        .prepare_cached(
            "SELECT next_offset, command_offset FROM checkpoints
             WHERE projection = ?1 AND aggregate = ?2 AND partition = ?3",
        )?
        .query_row(params![key.projection, key.aggregate, key.partition], |row| {
            Ok(Position {
                next_offset: row.get(0)?,
                command_offset: row.get(1)?,
            })
        })
        .optional()
}

fn write_rows(transaction: &Transaction<'_>, rows: &[RowChange]) -> rusqlite::Result<()> {
    // Changes of one view mostly stand together: its statements are looked up once for all of them.
    for changes in rows.chunk_by(|a, b| a.view == b.view) {
        let table = table(&changes[0].view);
        let mut put = transaction.prepare_cached(&format!(
            "INSERT INTO {table} (id, doc, listed, sequence, version) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, listed = excluded.listed,
             sequence = excluded.sequence, version = excluded.version"
        ))?;
        let mut remove = transaction.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?;
        for RowChange { id, row, .. } in changes {
            match row {
                Some(NewRow {
                    doc,
                    listed,
                    sequence,
                    version,
                }) => put.execute(params![id.as_str(), doc, listed, sequence, version])?,
                None => remove.execute([id.as_str()])?,
            };
        }
    }
    Ok(())
}

fn write_history(transaction: &Transaction<'_>, events: &[HistoryEvent]) -> rusqlite::Result<()> {
    // No `OR IGNORE`: checkpoints let each event in once, so one that is there already is a fault to be seen.
    let mut statement = transaction.prepare_cached(
        "INSERT INTO history (aggregate, id, sequence, partition, at_offset, event_id, event_type,
         occurred_at, recorded_at, command_id, correlation_id, actor, json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for event in events {
        statement.execute(params![
            event.aggregate,
            event.id.as_str(),
            event.sequence,
            event.partition,
            event.offset,
            event.event_id.as_bytes(),
            event.event_type,
            event.occurred_at.0,
            event.recorded_at.0,
            event.command_id.as_bytes(),
            event.correlation_id,
            event.actor,
            event.json,
        ])?;
    }
    Ok(())
}

fn write_parked(transaction: &Transaction<'_>, parked: &[Parked]) -> rusqlite::Result<()> {
    // The first reason is the one to be settled; what follows it is its consequence.
    let mut statement = transaction.prepare_cached(
        "INSERT INTO parked (projection, aggregate, id, reason, partition, at_offset)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    for parked in parked {
        statement.execute(params![
            parked.projection,
            parked.aggregate,
            parked.id.as_str(),
            parked.reason,
            parked.partition,
            parked.offset,
        ])?;
    }
    Ok(())
}
