use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foldline_core::{AggregateId, Domains, Sequence, Timestamp};
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, ToSql, params};
use uuid::Uuid;

use super::columns::table;
use super::history::Growing;
use super::served::{self, Served, ServedView};
use super::{commands, connect, database, feed, generations, history, list, parked, schema};
use crate::{
    CheckpointKey, Conversation, FeedPage, FeedQuery, Generation, HistoryCommand, HistoryEvent, ListQuery,
    Page, Parked, ParkedEntry, Position, Row, Snapshot, StoreError, StoredRow, Version, ViewReader,
};

/// What each reader keeps of the file in memory, in KiB: some pages of a list. What is not there, the kernel mostly has.
const READER_CACHE_KIB: i64 = 1024;

/// How long the file at the path is taken for the one that it was. A snapshot is then at most so much older than it need be; to
/// look each time would take as long as to find a row.
const LOOK_EACH: Duration = Duration::from_millis(1);

/// Reads the file that stands at the path, also when another one is put there.
pub(super) struct SqliteReader {
    connection: Connection,
    path: PathBuf,
    place: String,
    file: FileId,
    looked_at: Instant,
    /// How often the file was another one.
    opened: u64,
    /// What is served, in the version that was read last.
    served: (Option<Version>, OnceCell<Served>),
}

/// Tells a file from the one that stood at its path before.
type FileId = (u64, u64);

impl SqliteReader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        // Asked before it is opened: if it is replaced in between, a later snapshot sees that.
        let looked_at = Instant::now();
        let file = file_id(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags).map_err(database)?;
        connection
            .pragma_update(None, "cache_size", -READER_CACHE_KIB)
            .map_err(database)?;
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
            looked_at,
            opened: 0,
            served: (None, OnceCell::new()),
        })
    }

    fn look_for_another_file(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if now - self.looked_at < LOOK_EACH {
            return Ok(());
        }
        if file_id(&self.path)? != self.file {
            let opened = self.opened + 1;
            *self = Self {
                opened,
                ..Self::open(&self.path)?
            };
        }
        self.looked_at = now;
        Ok(())
    }
}

impl ViewReader for SqliteReader {
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.look_for_another_file()?;
        let transaction = Reading::begin(&self.connection).map_err(database)?;
        let version = Version {
            opened: self.opened,
            number: transaction.version().map_err(database)?,
        };
        if self.served.0 != Some(version) {
            self.served = (Some(version), OnceCell::new());
        }
        Ok(Box::new(SqliteSnapshot {
            transaction,
            version,
            place: &self.place,
            served: &self.served.1,
        }))
    }
}

fn file_id(path: &Path) -> Result<FileId, StoreError> {
    let metadata = fs::metadata(path).map_err(|_| StoreError::NotThere(path.display().to_string()))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A read transaction: SQLite shows it one state of the file, from its first read on.
///
/// `rusqlite` has one, which compiles `BEGIN` and `ROLLBACK` each time: that costs as much as finding a row.
struct Reading<'a>(&'a Connection);

impl<'a> Reading<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(connection))
    }

    /// The first read: from here on nothing changes. SQLite counts what other connections commit.
    fn version(&self) -> rusqlite::Result<i64> {
        self.prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))
    }
}

impl Deref for Reading<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Where it fails, the next one cannot begin, and its reader is not used again.
        let _ = self
            .prepare_cached("COMMIT")
            .and_then(|mut statement| statement.execute([]));
    }
}

struct SqliteSnapshot<'a> {
    transaction: Reading<'a>,
    version: Version,
    place: &'a str,
    served: &'a OnceCell<Served>,
}

impl SqliteSnapshot<'_> {
    /// What clients see: looked up once for each version.
    fn all_served(&self) -> Result<&Served, StoreError> {
        match self.served.get() {
            Some(served) => Ok(served),
            None => {
                let read = served::read(&self.transaction).map_err(database)?;
                Ok(self.served.get_or_init(|| read))
            }
        }
    }

    fn served(&self, view: &str) -> Result<&ServedView, StoreError> {
        let found = self.all_served()?.get(view);
        found.ok_or_else(|| StoreError::NoView(view.to_owned()))
    }
}

impl Snapshot for SqliteSnapshot<'_> {
    fn version(&self) -> Version {
        self.version
    }

    fn cluster_id(&self) -> Result<String, StoreError> {
        schema::meta(&self.transaction, "cluster_id").map_err(database)
    }

    fn missing(&self, domains: &Domains) -> Result<Vec<String>, StoreError> {
        let mut missing = Vec::new();
        for view in domains.views() {
            let view = view.info();
            let served = generations::served(&self.transaction, view.name).map_err(database)?;
            if served.is_none_or(|served| !served.is_made_by(view)) {
                missing.push(view.name.to_owned());
            }
        }
        Ok(missing)
    }

    fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        generations::all(&self.transaction).map_err(database)
    }

    fn served_generations(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let served = self.all_served()?.iter();
        Ok(served
            .map(|(view, served)| (view.clone(), served.generation))
            .collect())
    }

    fn positions_of(
        &self,
        view: &str,
        generation: i64,
    ) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
        positions_of(&self.transaction, view, generation)
    }

    fn rows_of(
        &self,
        view: &str,
        generation: i64,
        after: Option<&AggregateId>,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        if generations::epoch(&self.transaction, view, generation)
            .map_err(database)?
            .is_none()
        {
            let view = view.to_owned();
            return Err(StoreError::NoGeneration { view, generation });
        }
        let sql = format!(
            "SELECT id, doc, sequence, version, {generation}, listed FROM {} WHERE id > ?1 ORDER BY id LIMIT ?2",
            table(view, generation)
        );
        let mut statement = self.transaction.prepare_cached(&sql).map_err(database)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Before all ids there is the empty text, which is none.
        let mut rows = statement
            .query(params![after.map_or("", |id| id.as_str()), limit])
            .map_err(database)?;
        let mut found = Vec::new();
        while let Some(stored) = rows.next().map_err(database)? {
            found.push(StoredRow {
                row: row(stored, self.place)?,
                listed: stored.get(5).map_err(database)?,
            });
        }
        Ok(found)
    }

    fn parked_of(&self, view: &str, generation: i64) -> Result<Vec<Parked>, StoreError> {
        parked::of(&self.transaction, self.place, view, generation)
    }

    fn parked(&self) -> Result<Vec<ParkedEntry>, StoreError> {
        parked::entries(&self.transaction, self.place)
    }

    fn positions(&self, projection: &str) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
        positions(&self.transaction, Some(projection))
    }

    fn all_positions(&self) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
        positions(&self.transaction, None)
    }

    fn get(&self, view: &str, id: &AggregateId) -> Result<Option<Row>, StoreError> {
        let find = &self.served(view)?.find;
        let mut statement = self.transaction.prepare_cached(find).map_err(database)?;
        let mut rows = statement.query([id.as_str()]).map_err(database)?;
        let found = rows.next().map_err(database)?;
        found.map(|found| row(found, self.place)).transpose()
    }

    fn list(&self, view: &str, query: &ListQuery) -> Result<Page, StoreError> {
        let generation = match query.generation {
            Some(generation) => generation,
            None => self.served(view)?.generation,
        };
        let source = list::Source {
            connection: &self.transaction,
            place: self.place,
            view,
            generation,
        };
        list::page(&source, query)
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

    fn last_sequence(&self, aggregate: &str, id: &AggregateId) -> Result<Option<Sequence>, StoreError> {
        self.transaction
            .prepare_cached("SELECT max(sequence) FROM history WHERE aggregate = ?1 AND id = ?2")
            .and_then(|mut statement| statement.query_row([aggregate, id.as_str()], |row| row.get(0)))
            .map_err(database)
    }

    fn feed(&self, query: &FeedQuery) -> Result<FeedPage, StoreError> {
        feed::page(&self.transaction, self.place, query)
    }

    fn first_after_time(
        &self,
        aggregate: &str,
        partition: i32,
        time: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let place = (aggregate, partition);
        history::first_past(&self.transaction, place, Growing::Time, time.0)
    }

    fn first_after_command(
        &self,
        aggregate: &str,
        partition: i32,
        command_offset: i64,
    ) -> Result<Option<i64>, StoreError> {
        let place = (aggregate, partition);
        history::first_past(&self.transaction, place, Growing::Command, command_offset)
    }

    fn commands(
        &self,
        aggregate: &str,
        id: &AggregateId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HistoryCommand>, StoreError> {
        commands::of_aggregate(&self.transaction, self.place, (aggregate, id), after, limit)
    }

    fn refusals(
        &self,
        aggregate: &str,
        id: &AggregateId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HistoryCommand>, StoreError> {
        commands::refused_by(&self.transaction, self.place, (aggregate, id), after, limit)
    }

    fn conversation(&self, correlation_id: &str, limit: usize) -> Result<Conversation, StoreError> {
        commands::conversation(&self.transaction, self.place, correlation_id, limit)
    }

    fn touching(
        &self,
        view: &str,
        id: &AggregateId,
        (aggregate, partition, from): (&str, i32, i64),
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        let place = (aggregate, partition, from);
        history::touching(&self.transaction, self.place, (view, id), place, limit)
    }
}

/// The columns that [`event`] reads.
pub(super) const EVENT: &str =
    "aggregate, id, sequence, partition, at_offset, event_id, event_type, occurred_at,
    recorded_at, command_id, command_offset, correlation_id, actor, json";

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
            command_offset: row.get(10)?,
            correlation_id: row.get(11)?,
            actor: row.get(12)?,
            json: row.get(13)?,
        })
    };
    event().map_err(database)
}

/// Where a projection stands, or every one; views as they are served.
pub(super) fn positions(
    connection: &Connection,
    projection: Option<&str>,
) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
    let statement = connection.prepare_cached(match projection {
        Some(_) => {
            "SELECT projection, aggregate, partition, next_offset, command_offset FROM checkpoints
             WHERE projection = ?1 AND generation = ifnull((SELECT generation FROM served WHERE view = ?1), 0)"
        }
        None => {
            "SELECT c.projection, c.aggregate, c.partition, c.next_offset, c.command_offset FROM checkpoints c
             LEFT JOIN served s ON s.view = c.projection
             WHERE ?1 IS NULL AND c.generation = ifnull(s.generation, 0)"
        }
    });
    collected(statement.map_err(database)?, params![projection])
}

/// Where one generation stands.
pub(super) fn positions_of(
    connection: &Connection,
    projection: &str,
    generation: i64,
) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
    let statement = connection.prepare_cached(
        "SELECT projection, aggregate, partition, next_offset, command_offset FROM checkpoints
         WHERE projection = ?1 AND generation = ?2",
    );
    collected(statement.map_err(database)?, params![projection, generation])
}

fn collected(
    mut statement: CachedStatement<'_>,
    values: &[&dyn ToSql],
) -> Result<Vec<(CheckpointKey, Position)>, StoreError> {
    let rows = statement
        .query_map(values, |row| {
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

/// A row of `SELECT id, doc, sequence, version, {generation} ...`.
pub(super) fn row(row: &rusqlite::Row<'_>, place: &str) -> Result<Row, StoreError> {
    Ok(Row {
        id: id(row, 0, place)?,
        doc: row.get(1).map_err(database)?,
        sequence: row.get(2).map_err(database)?,
        version: row.get(3).map_err(database)?,
        generation: row.get(4).map_err(database)?,
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
