use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use foldline_core::{AggregateId, Domains, Sequence, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::columns::table;
use super::{connect, database, feed, list, schema};
use crate::{
    CheckpointKey, FeedPage, FeedQuery, HistoryEvent, ListQuery, Page, Position, Row, Snapshot, StoreError,
    ViewReader,
};

/// Reads the file that stands at the path, also when another one is put there.
pub(super) struct SqliteReader {
    connection: Connection,
    path: PathBuf,
    place: String,
    file: FileId,
}

/// Tells a file from the one that stood at its path before.
type FileId = (u64, u64);

impl SqliteReader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        // Asked before it is opened: if it is replaced in between, the next snapshot sees that.
        let file = file_id(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags).map_err(database)?;
        // The projector makes all tables in one transaction: none, and it has not come that far.
        let made = connection
            .query_row("SELECT 1 FROM sqlite_master WHERE name = 'meta'", [], |_| Ok(()))
            .optional()
            .map_err(database)?;
        if made.is_none() {
            return Err(StoreError::NotThere(place));
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
            place,
            file,
        })
    }
}

impl ViewReader for SqliteReader {
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        if file_id(&self.path)? != self.file {
            *self = Self::open(&self.path)?;
        }
        let transaction = self.connection.transaction().map_err(database)?;
        Ok(Box::new(SqliteSnapshot {
            transaction,
            place: &self.place,
        }))
    }
}

fn file_id(path: &Path) -> Result<FileId, StoreError> {
    let metadata = fs::metadata(path).map_err(|_| StoreError::NotThere(path.display().to_string()))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A read transaction: SQLite shows it one state of the file, from its first read on.
struct SqliteSnapshot<'a> {
    transaction: Transaction<'a>,
    place: &'a str,
}

impl Snapshot for SqliteSnapshot<'_> {
    fn cluster_id(&self) -> Result<String, StoreError> {
        schema::meta(&self.transaction, "cluster_id").map_err(database)
    }

    fn missing(&self, domains: &Domains) -> Result<Vec<String>, StoreError> {
        let mut missing = Vec::new();
        for view in domains.views() {
            let view = view.info();
            let found = schema::found_shape(&self.transaction, view.name).map_err(database)?;
            if found != Some(schema::shape(view)) {
                missing.push(view.name.to_owned());
            }
        }
        Ok(missing)
    }

    fn positions(&self, projection: &str) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
        positions(&self.transaction, Some(projection))
    }

    fn all_positions(&self) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
        positions(&self.transaction, None)
    }

    fn get(&self, view: &str, id: &AggregateId) -> Result<Option<Row>, StoreError> {
        let table = table(view);
        let sql = format!("SELECT id, doc, sequence, version FROM {table} WHERE id = ?1 AND listed = 1");
        let mut statement = self.transaction.prepare_cached(&sql).map_err(database)?;
        let mut rows = statement.query([id.as_str()]).map_err(database)?;
        let found = rows.next().map_err(database)?;
        found.map(|found| row(found, self.place)).transpose()
    }

    fn list(&self, view: &str, query: &ListQuery) -> Result<Page, StoreError> {
        list::page(&self.transaction, self.place, view, query)
    }

    fn events(
        &self,
        aggregate: &str,
        id: &AggregateId,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        let sql = format!(
            "SELECT {EVENT} FROM history
             WHERE aggregate = ?1 AND id = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4"
        );
        let mut statement = self.transaction.prepare_cached(&sql).map_err(database)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement
            .query(params![aggregate, id.as_str(), after, limit])
            .map_err(database)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(database)? {
            events.push(event(row, self.place)?);
        }
        Ok(events)
    }

    fn feed(&self, query: &FeedQuery) -> Result<FeedPage, StoreError> {
        feed::page(&self.transaction, self.place, query)
    }
}

/// The columns that [`event`] reads.
pub(super) const EVENT: &str =
    "aggregate, id, sequence, partition, at_offset, event_id, event_type, occurred_at,
    recorded_at, command_id, correlation_id, actor, json";

/// An event of `SELECT {EVENT} ...`.
pub(super) fn event(row: &rusqlite::Row<'_>, place: &str) -> Result<HistoryEvent, StoreError> {
    let id = id(row, 1, place)?;
    let event = || -> rusqlite::Result<HistoryEvent> {
        Ok(HistoryEvent {
            aggregate: row.get(0)?,
            id,
            sequence: row.get(2)?,
            partition: row.get(3)?,
            offset: row.get(4)?,
            event_id: Uuid::from_bytes(row.get(5)?),
            event_type: row.get(6)?,
            occurred_at: Timestamp(row.get(7)?),
            recorded_at: Timestamp(row.get(8)?),
            command_id: Uuid::from_bytes(row.get(9)?),
            correlation_id: row.get(10)?,
            actor: row.get(11)?,
            json: row.get(12)?,
        })
    };
    event().map_err(database)
}

/// Where a projection stands, or every one.
pub(super) fn positions(
    connection: &Connection,
    projection: Option<&str>,
) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
    let mut statement = connection
        .prepare_cached(match projection {
            Some(_) => {
                "SELECT projection, aggregate, partition, next_offset, command_offset FROM checkpoints
                 WHERE projection = ?1"
            }
            None => {
                "SELECT projection, aggregate, partition, next_offset, command_offset FROM checkpoints
                 WHERE ?1 IS NULL"
            }
        })
        .map_err(database)?;
    let rows = statement
        .query_map([projection], |row| {
            let key = CheckpointKey {
                projection: row.get(0)?,
                aggregate: row.get(1)?,
                partition: row.get(2)?,
            };
            let position = Position {
                next_offset: row.get(3)?,
                command_offset: row.get(4)?,
            };
            Ok((key, position))
        })
        .map_err(database)?;
    rows.collect::<Result<_, _>>().map_err(database)
}

/// A row of `SELECT id, doc, sequence, version ...`.
pub(super) fn row(row: &rusqlite::Row<'_>, place: &str) -> Result<Row, StoreError> {
    Ok(Row {
        id: id(row, 0, place)?,
        doc: row.get(1).map_err(database)?,
        sequence: row.get(2).map_err(database)?,
        version: row.get(3).map_err(database)?,
    })
}

/// The id in a column.
pub(super) fn id(row: &rusqlite::Row<'_>, column: usize, place: &str) -> Result<AggregateId, StoreError> {
    let text: String = row.get(column).map_err(database)?;
    AggregateId::try_from(text).map_err(|invalid| StoreError::Corrupt {
        what: format!("a row whose id is none: {invalid}"),
        place: place.to_owned(),
    })
}
