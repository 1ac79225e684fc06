//! Commands of which the events alone do not tell: refused ones, and those that something else caused.

use std::collections::HashSet;

use foldline_core::{AggregateId, Timestamp};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{database, history, reader};
use crate::{Conversation, HistoryCommand, HistoryEvent, StoreError};

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS history_commands (
        aggregate TEXT NOT NULL,
        id TEXT NOT NULL,
        partition INTEGER NOT NULL,
        at_offset INTEGER NOT NULL,
        command_id BLOB NOT NULL,
        command_type TEXT NOT NULL,
        command_offset INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        issued_at INTEGER,
        decided_at INTEGER NOT NULL,
        actor TEXT,
        correlation_id TEXT NOT NULL,
        causation_id TEXT,
        -- JSON; null if it was accepted.
        refusal TEXT,
        PRIMARY KEY (aggregate, partition, at_offset)
    );
    CREATE INDEX IF NOT EXISTS history_commands_of ON history_commands (aggregate, id, command_offset);
    -- Those that were accepted may be many, and are passed over by who asks for the refused ones.
    CREATE INDEX IF NOT EXISTS history_refusals_of ON history_commands (aggregate, id, command_offset)
        WHERE refusal IS NOT NULL;
    CREATE INDEX IF NOT EXISTS history_commands_correlation ON history_commands (substr(correlation_id, -8));
    DROP INDEX IF EXISTS history_correlation;
    -- Costs nothing where nobody says who asks.
    CREATE INDEX IF NOT EXISTS history_actor ON history (actor, aggregate, partition, at_offset)
        WHERE actor IS NOT NULL;";

const COLUMNS: &str =
    "aggregate, id, partition, at_offset, command_id, command_type, command_offset, sequence, issued_at,
    decided_at, actor, correlation_id, causation_id, refusal";

pub(super) fn write(connection: &Connection, commands: &[HistoryCommand]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO history_commands ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    ))?;
    for command in commands {
        statement.execute(params![
            command.aggregate,
            command.id.as_str(),
            command.partition,
            command.offset,
            command.command_id.as_bytes(),
            command.command_type,
            command.command_offset,
            command.sequence,
            command.issued_at.map(|time| time.0),
            command.decided_at.0,
            command.actor,
            command.correlation_id,
            command.causation_id,
            command.refusal,
        ])?;
    }
    Ok(())
}

fn read(
    connection: &Connection,
    place: &str,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<HistoryCommand>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM history_commands WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql).map_err(database)?;
    let mut rows = statement.query(values).map_err(database)?;
    let mut commands = Vec::new();
    while let Some(row) = rows.next().map_err(database)? {
        let id = reader::id(row, 1, place)?;
        commands.push(command(row, id).map_err(database)?);
    }
    Ok(commands)
}

fn command(row: &rusqlite::Row<'_>, id: AggregateId) -> rusqlite::Result<HistoryCommand> {
    Ok(HistoryCommand {
        aggregate: row.get(0)?,
        id,
        partition: row.get(2)?,
        offset: row.get(3)?,
        command_id: Uuid::from_bytes(row.get(4)?),
        command_type: row.get(5)?,
        command_offset: row.get(6)?,
        sequence: row.get(7)?,
        issued_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        decided_at: Timestamp(row.get(9)?),
        actor: row.get(10)?,
        correlation_id: row.get(11)?,
        causation_id: row.get(12)?,
        refusal: row.get(13)?,
    })
}

pub(super) fn of_aggregate(
    connection: &Connection,
    place: &str,
    aggregate: (&str, &AggregateId),
    after: i64,
    limit: usize,
) -> Result<Vec<HistoryCommand>, StoreError> {
    those_of(connection, place, aggregate, "TRUE", after, limit)
}

/// Those of them that were refused.
pub(super) fn refused_by(
    connection: &Connection,
    place: &str,
    aggregate: (&str, &AggregateId),
    after: i64,
    limit: usize,
) -> Result<Vec<HistoryCommand>, StoreError> {
    those_of(connection, place, aggregate, "refusal IS NOT NULL", after, limit)
}

fn those_of(
    connection: &Connection,
    place: &str,
    (aggregate, id): (&str, &AggregateId),
    which: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<HistoryCommand>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let condition = format!(
        "aggregate = ?1 AND id = ?2 AND command_offset > ?3 AND {which} ORDER BY command_offset LIMIT ?4"
    );
    read(
        connection,
        place,
        &condition,
        params![aggregate, id.as_str(), after, limit],
    )
}

pub(super) fn conversation(
    connection: &Connection,
    place: &str,
    correlation: &str,
    limit: usize,
) -> Result<Conversation, StoreError> {
    // The end of it, where ids of all kinds differ.
    let condition = "substr(correlation_id, -8) = substr(?1, -8) AND correlation_id = ?1
         ORDER BY decided_at, command_offset LIMIT ?2";
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(Conversation {
        commands: read(connection, place, condition, params![correlation, most])?,
        events: events_of(connection, place, correlation, limit)?,
    })
}

/// The events of a conversation by time; not all that there are, if there are more than so many.
fn events_of(
    connection: &Connection,
    place: &str,
    correlation: &str,
    limit: usize,
) -> Result<Vec<HistoryEvent>, StoreError> {
    let wanted = history::hash(correlation);
    let mut stretches = connection
        .prepare_cached(
            "SELECT aggregate, partition, first_offset, last_offset, hashes FROM history_correlations",
        )
        .map_err(database)?;
    let mut events = connection
        .prepare_cached(&format!(
            "SELECT {} FROM history INDEXED BY history_feed
             WHERE aggregate = ?1 AND partition = ?2 AND at_offset BETWEEN ?3 AND ?4 AND correlation_id = ?5",
            reader::EVENT
        ))
        .map_err(database)?;
    let mut found: Vec<HistoryEvent> = Vec::new();
    // Stretches of events that came late lie across others.
    let mut ids = HashSet::new();
    let mut rows = stretches.query([]).map_err(database)?;
    while let Some(row) = rows.next().map_err(database)? {
        let hashes = row.get_ref(4).map_err(database)?.as_blob();
        let (hashes, _) = hashes
            .map_err(|error| StoreError::Database(error.into()))?
            .as_chunks::<4>();
        if !hashes.contains(&wanted) {
            continue;
        }
        let stretch = || -> rusqlite::Result<(String, i32, i64, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        };
        let (aggregate, partition, first, last) = stretch().map_err(database)?;
        let mut rows = events
            .query(params![aggregate, partition, first, last, correlation])
            .map_err(database)?;
        while let Some(row) = rows.next().map_err(database)? {
            let event = reader::event(row, place)?;
            if ids.insert(event.event_id) {
                found.push(event);
            }
        }
        if found.len() >= limit {
            break;
        }
    }
    found.sort_by_key(|event| (event.recorded_at, event.command_offset, event.sequence));
    found.truncate(limit);
    Ok(found)
}
