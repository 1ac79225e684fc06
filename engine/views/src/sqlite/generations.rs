//! The generations of views: rows in `generations`, each with a table, and in `served` the one that clients see.

use std::collections::BTreeMap;

use foldline_core::{Timestamp, ViewInfo};
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::table;
use super::rows::{self, RowTable};
use super::schema::{self, NOW};
use crate::generation::shape;
use crate::{CommitError, Generation, HISTORY, StoreError};

/// Which generation of each projection a writer writes, and how the rows of it, if it is a view.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    generations: BTreeMap<String, i64>,
    tables: BTreeMap<String, RowTable>,
}

impl Targets {
    /// The history, which has one.
    pub(super) fn history() -> Self {
        let mut targets = Self::default();
        targets.add(HISTORY);
        targets
    }

    /// One generation of one view.
    pub(super) fn only(view: &ViewInfo, generation: i64) -> Self {
        let mut targets = Self::default();
        targets.add_view(view, generation);
        targets
    }

    /// What leads through the history.
    pub(super) fn add(&mut self, projection: &str) {
        self.generations.insert(projection.to_owned(), 0);
    }

    pub(super) fn add_view(&mut self, view: &ViewInfo, generation: i64) {
        self.generations.insert(view.name.to_owned(), generation);
        self.tables
            .insert(view.name.to_owned(), RowTable::new(view, generation));
    }

    /// Where its rows are written; an error if it is not this writer's.
    pub(super) fn table(&self, view: &str) -> Result<&RowTable, StoreError> {
        let found = self.tables.get(view);
        found.ok_or_else(|| StoreError::NoView(view.to_owned()))
    }

    /// That of a projection; an error if it is not this writer's.
    pub(super) fn of(&self, projection: &str) -> Result<i64, StoreError> {
        let found = self.generations.get(projection).copied();
        found.ok_or_else(|| StoreError::NoView(projection.to_owned()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.generations
            .iter()
            .map(|(name, generation)| (name.as_str(), *generation))
    }

    /// Refuses if one of them is not served any more.
    pub(super) fn check_served(&self, connection: &Connection) -> Result<(), CommitError> {
        // The history, and what leads through it, has none.
        for (view, ours) in self.iter().filter(|(_, generation)| *generation != 0) {
            let theirs = served_number(connection, view).map_err(super::database)?;
            if theirs != Some(ours) {
                return Err(CommitError::Switched {
                    view: view.to_owned(),
                    ours,
                    theirs: theirs.unwrap_or_default(),
                });
            }
        }
        Ok(())
    }
}

/// The number of the generation that clients see.
pub(super) fn served_number(connection: &Connection, view: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT generation FROM served WHERE view = ?1")?
        .query_row([view], |row| row.get(0))
        .optional()
}

/// The generation that clients see.
pub(super) fn served(connection: &Connection, view: &str) -> rusqlite::Result<Option<Generation>> {
    let all = all(connection)?;
    Ok(all
        .into_iter()
        .find(|generation| generation.view == view && generation.is_served))
}

/// Every generation, by view and number.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Generation>> {
    let mut statement = connection.prepare_cached(
        "SELECT g.view, g.generation, g.shape, g.version, g.program, g.made_at, g.served_at, s.view IS NOT NULL
         FROM generations g LEFT JOIN served s ON s.view = g.view AND s.generation = g.generation
         ORDER BY g.view, g.generation",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Generation {
            view: row.get(0)?,
            number: row.get(1)?,
            shape: row.get(2)?,
            version: row.get(3)?,
            program: row.get(4)?,
            made_at: Timestamp(row.get(5)?),
            served_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
            is_served: row.get(7)?,
        })
    })?;
    rows.collect()
}

/// Makes the next one, empty, and returns its number. No number comes twice: whoever still builds what was removed must
/// not find another one in its place.
pub(super) fn make(connection: &Connection, view: &ViewInfo, program: &str) -> rusqlite::Result<i64> {
    let highest: i64 = connection.query_row(
        "SELECT ifnull(max(generation), 0) FROM generations WHERE view = ?1",
        [view.name],
        |row| row.get(0),
    )?;
    let generation = schema::next(connection, &format!("generations_of_{}", view.name), highest)?;
    connection.execute_batch(&rows::table_of(view, generation))?;
    connection.execute(
        &format!(
            "INSERT INTO generations (view, generation, shape, version, program, epoch, made_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, {NOW})"
        ),
        params![view.name, generation, shape(view), view.version, program],
    )?;
    Ok(generation)
}

/// Puts one before clients: the switch.
pub(super) fn serve(connection: &Connection, view: &str, generation: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO served (view, generation) VALUES (?1, ?2)
         ON CONFLICT (view) DO UPDATE SET generation = excluded.generation",
        params![view, generation],
    )?;
    connection.execute(
        &format!("UPDATE generations SET served_at = {NOW} WHERE view = ?1 AND generation = ?2"),
        params![view, generation],
    )?;
    Ok(())
}

/// Removes one with all that belongs to it.
pub(super) fn remove(connection: &Connection, view: &str, generation: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", table(view, generation)))?;
    for delete in [
        "DELETE FROM checkpoints WHERE projection = ?1 AND generation = ?2",
        "DELETE FROM parked WHERE projection = ?1 AND generation = ?2",
        "DELETE FROM generations WHERE view = ?1 AND generation = ?2",
    ] {
        connection.execute(delete, params![view, generation])?;
    }
    Ok(())
}

/// The epoch of the builder of one; `None` if there is no such generation.
pub(super) fn epoch(connection: &Connection, view: &str, generation: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT epoch FROM generations WHERE view = ?1 AND generation = ?2")?
        .query_row(params![view, generation], |row| row.get(0))
        .optional()
}

/// Fences the builder before, and returns the epoch of the new one.
pub(super) fn next_epoch(connection: &Connection, view: &str, generation: i64) -> rusqlite::Result<i64> {
    connection.query_row(
        "UPDATE generations SET epoch = epoch + 1 WHERE view = ?1 AND generation = ?2 RETURNING epoch",
        params![view, generation],
        |row| row.get(0),
    )
}
