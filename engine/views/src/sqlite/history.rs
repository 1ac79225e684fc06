//! What has happened: the events, marks that lead to a moment of them, and which rows they touch elsewhere.

use foldline_core::{AggregateId, Domains, ViewInfo};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::generations::Targets;
use super::{commands, database, reader};
use crate::{COMMANDS, HISTORY, HistoryEvent, StoreError, Touch, has_touches, touches_of};

/// Raised when the tables here change, or what their rows must be: what stands in them is then taken from the log anew.
const FORM: &str = "form 4";

/// What the projections here were made by.
const FORMS: &str = "CREATE TABLE IF NOT EXISTS history_forms (
    projection TEXT PRIMARY KEY,
    shape TEXT NOT NULL
) WITHOUT ROWID;";

pub(super) const TABLES: &str = "
    -- With a rowid: events are long, and appended in no order of aggregates.
    CREATE TABLE IF NOT EXISTS history (
        aggregate TEXT NOT NULL,
        id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        partition INTEGER NOT NULL,
        at_offset INTEGER NOT NULL,
        event_id BLOB NOT NULL,
        event_type TEXT NOT NULL,
        occurred_at INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        command_id BLOB NOT NULL,
        command_offset INTEGER NOT NULL,
        correlation_id TEXT NOT NULL,
        actor TEXT,
        json TEXT NOT NULL,
        PRIMARY KEY (aggregate, id, sequence)
    );
    -- For feeds. The type is in it, so that what a feed leaves out is not even looked up.
    CREATE INDEX IF NOT EXISTS history_feed ON history (aggregate, partition, at_offset, event_type);
    -- Both columns grow with the offset, so a moment is found by halving. An index of all events by time would cost
    -- each event, and clocks that go back would make it wrong.
    CREATE TABLE IF NOT EXISTS history_marks (
        aggregate TEXT NOT NULL,
        partition INTEGER NOT NULL,
        at_offset INTEGER NOT NULL,
        -- Of this event and of all before it in the partition.
        recorded_max INTEGER NOT NULL,
        command_offset INTEGER NOT NULL,
        PRIMARY KEY (aggregate, partition, at_offset)
    ) WITHOUT ROWID;
    -- Which conversations the events of a stretch belong to. To find one, all of it is read, 4 bytes for an event; an
    -- index would be written at as many places as there are events, and cost each of them a third more.
    CREATE TABLE IF NOT EXISTS history_correlations (
        aggregate TEXT NOT NULL,
        partition INTEGER NOT NULL,
        first_offset INTEGER NOT NULL,
        last_offset INTEGER NOT NULL,
        hashes BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS touches (
        view TEXT NOT NULL,
        id TEXT NOT NULL,
        aggregate TEXT NOT NULL,
        partition INTEGER NOT NULL,
        at_offset INTEGER NOT NULL,
        PRIMARY KEY (view, id, aggregate, partition, at_offset)
    ) WITHOUT ROWID;";

/// At most so many events lie between two marks that one batch makes.
const MARK_EVERY: usize = 512;

/// Makes the tables. A history of another form, or touches of a view that is declared otherwise, begin anew.
pub(super) fn prepare(
    transaction: &Transaction<'_>,
    domains: &Domains,
    targets: &mut Targets,
) -> rusqlite::Result<()> {
    transaction.execute_batch(FORMS)?;
    renew(transaction, HISTORY, FORM, |transaction| {
        transaction.execute_batch(
            "DROP TABLE IF EXISTS history; DROP TABLE IF EXISTS history_marks;
             DROP TABLE IF EXISTS history_correlations",
        )
    })?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(commands::TABLES)?;
    targets.add(COMMANDS);
    for view in domains.views() {
        let view = view.info();
        if has_touches(domains, view) {
            targets.add(&touches_of(view.name));
            renew(transaction, &touches_of(view.name), &shape(view), |transaction| {
                let sql = "DELETE FROM touches WHERE view = ?1";
                transaction.execute(sql, [view.name]).map(drop)
            })?;
        }
    }
    Ok(())
}

/// What touches depend on.
fn shape(view: &ViewInfo) -> String {
    format!("version {}; reads {}", view.version, view.sources.join(", "))
}

fn renew(
    transaction: &Transaction<'_>,
    projection: &str,
    shape: &str,
    empty: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let found: Option<String> = transaction
        .prepare_cached("SELECT shape FROM history_forms WHERE projection = ?1")?
        .query_row([projection], |row| row.get(0))
        .optional()?;
    if found.as_deref() == Some(shape) {
        return Ok(());
    }
    empty(transaction)?;
    for table in ["checkpoints", "parked"] {
        let sql = format!("DELETE FROM {table} WHERE projection = ?1");
        transaction.execute(&sql, [projection])?;
    }
    transaction.execute(
        "INSERT INTO history_forms (projection, shape) VALUES (?1, ?2)
         ON CONFLICT (projection) DO UPDATE SET shape = excluded.shape",
        params![projection, shape],
    )?;
    Ok(())
}

pub(super) fn write(connection: &Connection, events: &[HistoryEvent]) -> rusqlite::Result<()> {
    // No `OR IGNORE`: checkpoints let each event in once, so one that is there already is a fault to be seen.
    let mut statement = connection.prepare_cached(
        "INSERT INTO history (aggregate, id, sequence, partition, at_offset, event_id, event_type,
         occurred_at, recorded_at, command_id, command_offset, correlation_id, actor, json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
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
            event.command_offset,
            event.correlation_id,
            event.actor,
            event.json,
        ])?;
    }
    mark(connection, events)
}

/// Sees to it that marks lie behind the events, and adds what leads from a conversation to them, those of each partition
/// in the order of their offsets.
fn mark(connection: &Connection, events: &[HistoryEvent]) -> rusqlite::Result<()> {
    let mut by_place: Vec<&HistoryEvent> = events.iter().collect();
    by_place.sort_by_key(|event| (&event.aggregate, event.partition, event.offset));
    let mut newest = connection.prepare_cached(
        "SELECT recorded_max FROM history_marks WHERE aggregate = ?1 AND partition = ?2
         ORDER BY at_offset DESC LIMIT 1",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO history_marks (aggregate, partition, at_offset, recorded_max, command_offset)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut correlations = connection.prepare_cached(
        "INSERT INTO history_correlations (aggregate, partition, first_offset, last_offset, hashes)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let same =
        |a: &&HistoryEvent, b: &&HistoryEvent| (&a.aggregate, a.partition) == (&b.aggregate, b.partition);
    for of_partition in by_place.chunk_by(same) {
        let (aggregate, partition) = (&of_partition[0].aggregate, of_partition[0].partition);
        let beyond = raise_marks(connection, of_partition)?;
        let known = newest.query_row(params![aggregate, partition], |row| row.get(0));
        let mut recorded_max: i64 = known.optional()?.unwrap_or(i64::MIN);
        for stretch in beyond.chunks(MARK_EVERY) {
            recorded_max = latest(recorded_max, stretch);
            let last = stretch[stretch.len() - 1];
            insert.execute(params![
                aggregate,
                partition,
                last.offset,
                recorded_max,
                last.command_offset
            ])?;
        }
        for stretch in of_partition.chunks(MARK_EVERY) {
            let hashes = stretch.iter().flat_map(|event| hash(&event.correlation_id));
            let hashes: Vec<u8> = hashes.collect();
            let (first, last) = (stretch[0].offset, stretch[stretch.len() - 1].offset);
            correlations.execute(params![aggregate, partition, first, last, hashes])?;
        }
    }
    Ok(())
}

/// Has the marks that are there cover these events of a partition, which come late if their aggregate was parked. A mark
/// of their own between those would have to cover the events around it as well. Returns what lies beyond all marks.
fn raise_marks<'a, 'b>(
    connection: &Connection,
    of_partition: &'a [&'b HistoryEvent],
) -> rusqlite::Result<&'a [&'b HistoryEvent]> {
    let (aggregate, partition) = (&of_partition[0].aggregate, of_partition[0].partition);
    let mut marks = connection.prepare_cached(
        "SELECT at_offset, recorded_max FROM history_marks
         WHERE aggregate = ?1 AND partition = ?2 AND at_offset >= ?3 ORDER BY at_offset",
    )?;
    let mut raise = connection.prepare_cached(
        "UPDATE history_marks SET recorded_max = ?4 WHERE aggregate = ?1 AND partition = ?2 AND at_offset = ?3",
    )?;
    let marks = marks.query_map(params![aggregate, partition, of_partition[0].offset], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    // Read to their end before any of them is written.
    let marks: Vec<(i64, i64)> = marks.collect::<Result<_, _>>()?;
    let (mut beyond, mut recorded_max) = (of_partition, i64::MIN);
    for (at_offset, known) in marks {
        let (covered, rest) = beyond.split_at(beyond.partition_point(|event| event.offset <= at_offset));
        beyond = rest;
        recorded_max = latest(recorded_max, covered);
        if recorded_max > known {
            raise.execute(params![aggregate, partition, at_offset, recorded_max])?;
        }
    }
    Ok(beyond)
}

/// The greatest time so far, behind these events.
fn latest(so_far: i64, events: &[&HistoryEvent]) -> i64 {
    events
        .iter()
        .map(|event| event.recorded_at.0)
        .fold(so_far, i64::max)
}

/// Four bytes that stand for a conversation: FNV-1a.
pub(super) fn hash(correlation_id: &str) -> [u8; 4] {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    correlation_id.bytes().fold(0x811c_9dc5, step).to_le_bytes()
}

pub(super) fn write_touches(connection: &Connection, touches: &[Touch]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO touches (view, id, aggregate, partition, at_offset) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for touch in touches {
        statement.execute(params![
            touch.view,
            touch.id.as_str(),
            touch.aggregate,
            touch.partition,
            touch.offset
        ])?;
    }
    Ok(())
}

/// What grows with the offset.
#[derive(Debug, Clone, Copy)]
pub(super) enum Growing {
    Time,
    Command,
}

impl Growing {
    /// In the marks, and in the events.
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Time => ("recorded_max", "recorded_at"),
            Self::Command => ("command_offset", "command_offset"),
        }
    }
}

/// The offset of the first event of a partition that is past this; `None` if all are not.
pub(super) fn first_past(
    connection: &Connection,
    (aggregate, partition): (&str, i32),
    growing: Growing,
    limit: i64,
) -> Result<Option<i64>, StoreError> {
    let (of_marks, of_events) = growing.columns();
    let Some((before, mark)) =
        first_mark_past(connection, aggregate, partition, of_marks, limit).map_err(database)?
    else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT at_offset FROM history INDEXED BY history_feed
         WHERE aggregate = ?1 AND partition = ?2 AND at_offset > ?3 AND at_offset <= ?4 AND {of_events} > ?5
         ORDER BY at_offset LIMIT 1"
    );
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            let range = params![aggregate, partition, before, mark, limit];
            statement.query_row(range, |row| row.get(0)).optional()
        })
        .map_err(database)
}

/// The first mark that is past this, and the one before it.
fn first_mark_past(
    connection: &Connection,
    aggregate: &str,
    partition: i32,
    column: &str,
    limit: i64,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut next = connection.prepare_cached(&format!(
        "SELECT at_offset, {column} FROM history_marks
         WHERE aggregate = ?1 AND partition = ?2 AND at_offset >= ?3 ORDER BY at_offset LIMIT 1"
    ))?;
    let mut last = connection.prepare_cached(
        "SELECT at_offset FROM history_marks WHERE aggregate = ?1 AND partition = ?2
         ORDER BY at_offset DESC LIMIT 1",
    )?;
    let end: Option<i64> = last
        .query_row(params![aggregate, partition], |row| row.get(0))
        .optional()?;
    // All marks below `low` are not past it; one at or behind `high` is, if any is.
    let (mut low, mut high) = (0, end.map_or(0, |end| end + 1));
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let mark: (i64, i64) = next.query_row(params![aggregate, partition, middle], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        if mark.1 > limit {
            found = Some(mark.0);
            high = middle;
        } else {
            low = mark.0 + 1;
        }
    }
    // The last mark that is not past it lies just below `low`.
    Ok(found.map(|mark| (low - 1, mark)))
}

/// Events of other aggregates that touch a row, of one partition, from an offset on.
pub(super) fn touching(
    connection: &Connection,
    place: &str,
    (view, id): (&str, &AggregateId),
    (aggregate, partition, from): (&str, i32, i64),
    limit: usize,
) -> Result<Vec<HistoryEvent>, StoreError> {
    let columns: Vec<String> = reader::EVENT
        .split(',')
        .map(|column| format!("history.{}", column.trim()))
        .collect();
    // A cross join, so that the touches lead and the events are looked up.
    let sql = format!(
        "SELECT {} FROM touches CROSS JOIN history INDEXED BY history_feed
         ON history.aggregate = touches.aggregate AND history.partition = touches.partition
         AND history.at_offset = touches.at_offset
         WHERE touches.view = ?1 AND touches.id = ?2 AND touches.aggregate = ?3 AND touches.partition = ?4
         AND touches.at_offset >= ?5 ORDER BY touches.at_offset LIMIT ?6",
        columns.join(", ")
    );
    let mut statement = connection.prepare_cached(&sql).map_err(database)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement
        .query(params![view, id.as_str(), aggregate, partition, from, limit])
        .map_err(database)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(database)? {
        events.push(reader::event(row, place)?);
    }
    Ok(events)
}
