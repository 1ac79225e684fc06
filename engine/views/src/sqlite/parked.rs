//! Aggregates whose events are not folded any more.

use foldline_core::Timestamp;
use rusqlite::{Connection, params};

use super::database;
use super::reader::id;
use crate::{Parked, ParkedEntry, StoreError};

/// Everything that is parked, as [`read`] reads it.
pub(super) const ALL: &str = "SELECT projection, aggregate, id, reason, partition, at_offset FROM parked";

/// What is parked for one generation.
pub(super) fn of(
    connection: &Connection,
    place: &str,
    projection: &str,
    generation: i64,
) -> Result<Vec<Parked>, StoreError> {
    let sql = format!("{ALL} WHERE projection = ?1 AND generation = ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(database)?;
    let mut rows = statement
        .query(params![projection, generation])
        .map_err(database)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(database)? {
        found.push(read(row, place)?);
    }
    Ok(found)
}

/// A row of [`ALL`].
pub(super) fn read(row: &rusqlite::Row<'_>, place: &str) -> Result<Parked, StoreError> {
    Ok(Parked {
        projection: row.get(0).map_err(database)?,
        aggregate: row.get(1).map_err(database)?,
        id: id(row, 2, place)?,
        reason: row.get(3).map_err(database)?,
        partition: row.get(4).map_err(database)?,
        offset: row.get(5).map_err(database)?,
    })
}

/// What is parked in the history and in the views that are served, the longest first.
pub(super) fn entries(connection: &Connection, place: &str) -> Result<Vec<ParkedEntry>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT p.projection, p.aggregate, p.id, p.reason, p.partition, p.at_offset, p.parked_at, p.retry,
                 p.dropped FROM parked p LEFT JOIN served s ON s.view = p.projection
                 WHERE p.generation = ifnull(s.generation, 0) ORDER BY p.parked_at, p.projection, p.aggregate, p.id",
        )
        .map_err(database)?;
    let mut rows = statement.query([]).map_err(database)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(database)? {
        entries.push(ParkedEntry {
            parked: read(row, place)?,
            parked_at: Timestamp(row.get(6).map_err(database)?),
            is_to_be_retried: row.get(7).map_err(database)?,
            dropped: row.get(8).map_err(database)?,
        });
    }
    Ok(entries)
}
