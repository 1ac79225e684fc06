//! The tables, and who may write to them.

use std::cmp::Ordering;
use std::path::Path;

use foldline_core::{Domains, ViewInfo};
use rusqlite::{Connection, TransactionBehavior, params};

use super::generations::{self, Targets};
use super::{database, history, upgrade};
use crate::{HISTORY, OpenError};

/// Raised when the tables here change in a way that an older program does not understand.
pub(super) const FORM: i64 = 3;

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (
        key TEXT PRIMARY KEY,
        value NOT NULL
    ) WITHOUT ROWID;
    -- Each has a table of rows. The shape is the declaration that they are made by; the epoch is that of its builder.
    CREATE TABLE IF NOT EXISTS generations (
        view TEXT NOT NULL,
        generation INTEGER NOT NULL,
        shape TEXT NOT NULL,
        version INTEGER NOT NULL,
        program TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        made_at INTEGER NOT NULL,
        served_at INTEGER,
        PRIMARY KEY (view, generation)
    ) WITHOUT ROWID;
    -- The generation that clients see.
    CREATE TABLE IF NOT EXISTS served (
        view TEXT PRIMARY KEY,
        generation INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- The history has no generations: it stands under 0.
    CREATE TABLE IF NOT EXISTS checkpoints (
        projection TEXT NOT NULL,
        generation INTEGER NOT NULL,
        aggregate TEXT NOT NULL,
        partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL,
        command_offset INTEGER NOT NULL,
        PRIMARY KEY (projection, generation, aggregate, partition)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS parked (
        projection TEXT NOT NULL,
        generation INTEGER NOT NULL,
        aggregate TEXT NOT NULL,
        id TEXT NOT NULL,
        reason TEXT NOT NULL,
        partition INTEGER NOT NULL,
        at_offset INTEGER NOT NULL,
        parked_at INTEGER NOT NULL,
        retry INTEGER NOT NULL DEFAULT 0,
        dropped TEXT,
        PRIMARY KEY (projection, generation, aggregate, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS parked_retry ON parked (projection) WHERE retry = 1;";

/// The time in milliseconds since 1970, in SQL.
pub(super) const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// What a new writer begins with.
pub(super) struct Prepared {
    pub(super) epoch: i64,
    pub(super) targets: Targets,
    /// The views that are served in another form.
    pub(super) beside: Vec<String>,
}

/// Makes the database ours.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    domains: &Domains,
    cluster_id: &str,
) -> Result<Prepared, OpenError> {
    if domains.views().iter().any(|view| view.info().name == HISTORY) {
        return Err(OpenError::Reserved(HISTORY.to_owned()));
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(database)?;
    upgrade::to_generations(&transaction).map_err(database)?;
    upgrade::to_written_fields(&transaction).map_err(database)?;
    transaction.execute_batch(TABLES).map_err(database)?;
    check_owner(&transaction, path, cluster_id)?;
    let (mut targets, mut beside) = (Targets::history(), Vec::new());
    for view in domains.views().iter().map(|view| view.info()) {
        match served_or_made(&transaction, view)? {
            Some(generation) => targets.add_view(view, generation),
            None => beside.push(view.name.to_owned()),
        }
    }
    history::prepare(&transaction, domains, &mut targets).map_err(database)?;
    let epoch = next(&transaction, "epoch", 0).map_err(database)?;
    transaction.commit().map_err(database)?;
    Ok(Prepared {
        epoch,
        targets,
        beside,
    })
}

/// The generation of the view that is served, if it has the form in which the view is declared.
fn served_or_made(connection: &Connection, view: &ViewInfo) -> Result<Option<i64>, OpenError> {
    let Some(served) = generations::served(connection, view.name).map_err(database)? else {
        // Nothing could be shown while it is built: it is served from the beginning.
        let generation = generations::make(connection, view, "").map_err(database)?;
        generations::serve(connection, view.name, generation).map_err(database)?;
        return Ok(Some(generation));
    };
    if served.is_made_by(view) {
        return Ok(Some(served.number));
    }
    if served.version > view.version {
        return Err(OpenError::NewerView {
            view: view.name.to_owned(),
            found: served.version,
            expected: view.version,
        });
    }
    tracing::info!(
        view = view.name,
        served = served.shape,
        "the view is declared otherwise than it is served: a generation is built beside it"
    );
    Ok(None)
}

pub(super) fn check_owner(transaction: &Connection, path: &Path, cluster_id: &str) -> Result<(), OpenError> {
    let form: i64 = meta_or_set(transaction, "form", FORM).map_err(database)?;
    let place = || path.display().to_string();
    match form.cmp(&FORM) {
        Ordering::Greater => {
            return Err(OpenError::Newer {
                place: place(),
                found: form,
                expected: FORM,
            });
        }
        Ordering::Less => {
            return Err(OpenError::Older {
                place: place(),
                found: form,
                expected: FORM,
            });
        }
        Ordering::Equal => {}
    }
    let found: String = meta_or_set(transaction, "cluster_id", cluster_id.to_owned()).map_err(database)?;
    if found != cluster_id {
        return Err(OpenError::OtherCluster {
            place: place(),
            found,
            expected: cluster_id.to_owned(),
        });
    }
    Ok(())
}

fn meta_or_set<T>(connection: &Connection, key: &str, initial: T) -> rusqlite::Result<T>
where
    T: rusqlite::ToSql + rusqlite::types::FromSql,
{
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![key, initial],
    )?;
    meta(connection, key)
}

/// What stands in `meta`.
pub(super) fn meta<T: rusqlite::types::FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<T> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
}

/// Counts one on from what stands in `meta`, or from `initial`.
pub(super) fn next(connection: &Connection, key: &str, initial: i64) -> rusqlite::Result<i64> {
    meta_or_set(connection, key, initial)?;
    connection.query_row(
        "UPDATE meta SET value = value + 1 WHERE key = ?1 RETURNING value",
        [key],
        |row| row.get(0),
    )
}
