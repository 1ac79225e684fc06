//! Databases of earlier forms.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{quoted, table};
use super::schema::{NOW, TABLES};

/// Form 1 had one generation of each view, without a number. What stands there becomes generation 1, and is served.
pub(super) fn to_generations(connection: &Connection) -> rusqlite::Result<()> {
    let is_old = connection
        .query_row(
            "SELECT 1 FROM sqlite_master WHERE name = 'projections'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if is_old.is_none() {
        return Ok(());
    }
    tracing::info!("the view database has an earlier form: what it holds becomes the first generation");
    connection.execute_batch(
        "ALTER TABLE checkpoints RENAME TO old_checkpoints; ALTER TABLE parked RENAME TO old_parked;",
    )?;
    connection.execute_batch(TABLES)?;
    connection.execute_batch(&format!(
        "INSERT INTO checkpoints SELECT projection, projection <> 'history', aggregate, partition, next_offset,
           command_offset FROM old_checkpoints;
         INSERT INTO parked SELECT projection, projection <> 'history', aggregate, id, reason, partition, at_offset,
           {NOW}, 0, NULL FROM old_parked;"
    ))?;
    for (view, shape) in views(connection)? {
        let old = quoted(&format!("view_{view}"));
        connection.execute_batch(&format!("ALTER TABLE {old} RENAME TO {}", table(&view, 1)))?;
        connection.execute(
            &format!(
                "INSERT INTO generations (view, generation, shape, version, program, epoch, made_at, served_at)
                 VALUES (?1, 1, ?2, ?3, '', 0, {NOW}, {NOW})"
            ),
            params![view, shape, version(&shape)],
        )?;
        connection.execute("INSERT INTO served (view, generation) VALUES (?1, 1)", [view])?;
    }
    connection.execute_batch(
        "DROP TABLE old_checkpoints; DROP TABLE old_parked; DROP TABLE projections;
         UPDATE meta SET value = 2 WHERE key = 'form';",
    )
}

fn views(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT name, shape FROM projections")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Form 1 had it in the text of the shape only: `restaurant version 2; reads ...`.
fn version(shape: &str) -> u32 {
    let after = shape.split_once(" version ").map_or("", |(_, rest)| rest);
    let digits = after.split(';').next().unwrap_or_default();
    digits.parse().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::conformance::toy::{AGGREGATE, CLUSTER, VIEW, coats, id, key};
    use crate::generation::shape;
    use crate::{HISTORY, SqliteStore, ViewStore};

    /// What the first form made of a view with one row, parked once.
    fn of_the_first_form(connection: &Connection) {
        let shape = shape(coats().views()[0].info());
        connection
            .execute_batch(&format!(
                "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
                 INSERT INTO meta VALUES ('form', 1), ('cluster_id', '{CLUSTER}'), ('epoch', 4);
                 CREATE TABLE projections (name TEXT PRIMARY KEY, shape TEXT NOT NULL) WITHOUT ROWID;
                 INSERT INTO projections VALUES ('{VIEW}', '{shape}');
                 CREATE TABLE checkpoints (projection TEXT NOT NULL, aggregate TEXT NOT NULL,
                   partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, command_offset INTEGER NOT NULL,
                   PRIMARY KEY (projection, aggregate, partition)) WITHOUT ROWID;
                 INSERT INTO checkpoints VALUES ('{VIEW}', '{AGGREGATE}', 0, 5, 4), ('{HISTORY}', '{AGGREGATE}', 0, 5, 4);
                 CREATE TABLE parked (projection TEXT NOT NULL, aggregate TEXT NOT NULL, id TEXT NOT NULL,
                   reason TEXT NOT NULL, partition INTEGER NOT NULL, at_offset INTEGER NOT NULL,
                   PRIMARY KEY (projection, aggregate, id)) WITHOUT ROWID;
                 INSERT INTO parked VALUES ('{VIEW}', '{AGGREGATE}', 'a', 'no such field', 0, 3);
                 CREATE TABLE view_{VIEW} (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL, listed INTEGER NOT NULL,
                   sequence INTEGER NOT NULL, version INTEGER NOT NULL);
                 INSERT INTO view_{VIEW} VALUES ('1', '{{}}', 1, 7, 2);"
            ))
            .unwrap();
    }

    #[test]
    fn a_database_of_the_first_form_is_served_on_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        of_the_first_form(&Connection::open(&path).unwrap());
        let store = SqliteStore::new(&path);
        for _ in 0..2 {
            let mut writer = store.writer(&coats(), CLUSTER).unwrap();
            assert!(writer.beside().is_empty());
            let checkpoints = writer.checkpoints().unwrap();
            assert_eq!(checkpoints[&key(VIEW)].next_offset, 5);
            // The history says more of an event than it did: it is read anew.
            assert!(!checkpoints.contains_key(&key(HISTORY)));
            assert_eq!(writer.parked().unwrap()[0].reason, "no such field");
        }
        let mut reader = store.reader().unwrap();
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(snapshot.get(VIEW, &id("1")).unwrap().unwrap().sequence, 7);
        assert_eq!(snapshot.generations().unwrap().len(), 1);
    }
}
