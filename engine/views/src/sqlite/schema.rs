//! The tables, and who may write to them.

use std::path::Path;

use foldline_core::{Domains, Field, FieldKind, ViewInfo};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::columns::{column, quoted, table};
use super::database;
use crate::{HISTORY, OpenError};

/// Raised when the tables here change in a way that an older program does not understand.
const FORM: i64 = 1;

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (
        key TEXT PRIMARY KEY,
        value NOT NULL
    ) WITHOUT ROWID;
    -- The declaration that each view's rows were made by.
    CREATE TABLE IF NOT EXISTS projections (
        name TEXT PRIMARY KEY,
        shape TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS checkpoints (
        projection TEXT NOT NULL,
        aggregate TEXT NOT NULL,
        partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL,
        command_offset INTEGER NOT NULL,
        PRIMARY KEY (projection, aggregate, partition)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS parked (
        projection TEXT NOT NULL,
        aggregate TEXT NOT NULL,
        id TEXT NOT NULL,
        reason TEXT NOT NULL,
        partition INTEGER NOT NULL,
        at_offset INTEGER NOT NULL,
        PRIMARY KEY (projection, aggregate, id)
    ) WITHOUT ROWID;
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
        correlation_id TEXT NOT NULL,
        actor TEXT,
        json TEXT NOT NULL,
        PRIMARY KEY (aggregate, id, sequence)
    );
    -- For feeds. The type is in it, so that what a feed leaves out is not even looked up.
    CREATE INDEX IF NOT EXISTS history_feed ON history (aggregate, partition, at_offset, event_type);";

/// Makes the database ours, and returns the epoch of its new writer.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    domains: &Domains,
    cluster_id: &str,
) -> Result<i64, OpenError> {
    if domains.views().iter().any(|view| view.info().name == HISTORY) {
        return Err(OpenError::Reserved(HISTORY.to_owned()));
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(database)?;
    transaction.execute_batch(TABLES).map_err(database)?;
    check_owner(&transaction, path, cluster_id)?;
    for view in domains.views() {
        prepare_view(&transaction, view.info()).map_err(database)?;
    }
    let epoch = next_epoch(&transaction).map_err(database)?;
    transaction.commit().map_err(database)?;
    Ok(epoch)
}

fn check_owner(transaction: &Transaction<'_>, path: &Path, cluster_id: &str) -> Result<(), OpenError> {
    let form: i64 = meta_or_set(transaction, "form", FORM).map_err(database)?;
    if form > FORM {
        return Err(OpenError::Newer {
            place: path.display().to_string(),
            found: form,
            expected: FORM,
        });
    }
    let found: String = meta_or_set(transaction, "cluster_id", cluster_id.to_owned()).map_err(database)?;
    if found != cluster_id {
        return Err(OpenError::OtherCluster {
            place: path.display().to_string(),
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

fn next_epoch(connection: &Connection) -> rusqlite::Result<i64> {
    meta_or_set(connection, "epoch", 0_i64)?;
    connection.query_row(
        "UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value",
        [],
        |row| row.get(0),
    )
}

/// Leaves a view alone that is declared as it was; any other one begins anew.
fn prepare_view(connection: &Connection, view: &ViewInfo) -> rusqlite::Result<()> {
    let shape = shape(view);
    let found = found_shape(connection, view.name)?;
    if found.as_ref() == Some(&shape) {
        return Ok(());
    }
    if found.is_some() {
        tracing::info!(
            view = view.name,
            "the view is declared otherwise than before: building it anew"
        );
    }
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", table(view.name)))?;
    connection.execute("DELETE FROM checkpoints WHERE projection = ?1", [view.name])?;
    connection.execute("DELETE FROM parked WHERE projection = ?1", [view.name])?;
    connection.execute_batch(&table_of(view))?;
    connection.execute(
        "INSERT INTO projections (name, shape) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET shape = excluded.shape",
        params![view.name, shape],
    )?;
    Ok(())
}

/// The declaration that the view in the database was made by.
pub(super) fn found_shape(connection: &Connection, view: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT shape FROM projections WHERE name = ?1")?
        .query_row([view], |row| row.get(0))
        .optional()
}

/// All of a declaration that rows and columns depend on.
pub(super) fn shape(view: &ViewInfo) -> String {
    let mut sources = view.sources.clone();
    sources.sort_unstable();
    let mut fields: Vec<_> = view
        .fields
        .iter()
        .map(|field| format!("{} {:?}", field.name, field.kind))
        .collect();
    fields.sort_unstable();
    format!(
        "{} version {}; reads {}; fields {}",
        view.domain,
        view.version,
        sources.join(", "),
        fields.join(", ")
    )
}

/// The view's table: a row as JSON, and its fields as columns that SQLite computes when it writes an index.
pub(super) fn table_of(view: &ViewInfo) -> String {
    let table = table(view.name);
    let own = |field: &&Field| column(**field) != column(crate::ID);
    let mut columns = String::new();
    let mut indexes = String::new();
    for field in view.fields.iter().filter(own) {
        let column = column(*field);
        columns += &format!(", {column} {} AS ({}) VIRTUAL", type_of(*field), value_of(*field));
        let index = quoted(&format!("{}_{}", view.name, field.name));
        // The index that lists are read from: only what is listed, in the order of the pages.
        indexes += &format!("CREATE INDEX {index} ON {table} ({column}, id) WHERE listed = 1;");
    }
    format!(
        "CREATE TABLE {table} (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL, listed INTEGER NOT NULL,
         sequence INTEGER NOT NULL, version INTEGER NOT NULL{columns});{indexes}"
    )
}

fn type_of(field: Field) -> &'static str {
    match field.kind {
        FieldKind::Text => "TEXT",
        FieldKind::Number | FieldKind::Boolean => "INTEGER",
    }
}

fn value_of(field: Field) -> String {
    let path: String = field.name.split('.').map(|part| format!(".\"{part}\"")).collect();
    let path = format!("${path}").replace('\'', "''");
    match field.kind {
        FieldKind::Text => format!("json_extract(doc, '{path}')"),
        // Whole numbers, whatever the row says: a page begins after one.
        FieldKind::Number | FieldKind::Boolean => format!("CAST(json_extract(doc, '{path}') AS INTEGER)"),
    }
}
