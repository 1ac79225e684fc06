//! Databases of earlier forms.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{quoted, table, table_name};
use super::rows;
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

/// In form 2, SQLite computed the columns of a view from its JSON. They are written now, so tables are made anew.
pub(super) fn to_written_fields(connection: &Connection) -> rusqlite::Result<()> {
    let is_old = "SELECT 1 FROM sqlite_master WHERE name = 'meta'";
    let is_form = "SELECT 1 FROM meta WHERE key = 'form' AND value = 2";
    for condition in [is_old, is_form] {
        let holds = connection.query_row(condition, [], |_| Ok(())).optional()?;
        if holds.is_none() {
            return Ok(());
        }
    }
    tracing::info!("the view database has an earlier form: the tables of its views are made anew");
    let mut statement = connection.prepare("SELECT view, generation FROM generations")?;
    let generations = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for generation in generations.collect::<rusqlite::Result<Vec<(String, i64)>>>()? {
        write_fields(connection, &generation.0, generation.1)?;
    }
    // Who still builds one of them, as a program of that form, would leave the columns empty: it is fenced.
    connection.execute_batch(
        "UPDATE generations SET epoch = epoch + 1; UPDATE meta SET value = 3 WHERE key = 'form';",
    )
}

fn write_fields(connection: &Connection, view: &str, generation: i64) -> rusqlite::Result<()> {
    let (name, table) = (table_name(view, generation), table(view, generation));
    let mut statement =
        connection.prepare("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden = 2")?;
    let computed = statement.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let computed: Vec<(String, String)> = computed.collect::<rusqlite::Result<_>>()?;
    // Of what SQLite makes for a primary key there is no statement.
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 AND sql > ''")?;
    let indexes = statement.query_map([&name], |row| row.get(0))?;
    let indexes: Vec<String> = indexes.collect::<rusqlite::Result<_>>()?;
    let (mut columns, mut names) = (String::new(), String::new());
    for (name, kind) in &computed {
        columns += &format!(", {} {kind}", quoted(name));
        names += &format!(", {}", quoted(name));
    }
    let old = quoted(&format!("old_{name}"));
    connection.execute_batch(&format!(
        "ALTER TABLE {table} RENAME TO {old}; {}
         INSERT INTO {table} (id, doc, listed, sequence, version{names})
           SELECT id, doc, listed, sequence, version{names} FROM {old} ORDER BY rowid;
         DROP TABLE {old}; {}",
        rows::create(&table, &columns),
        indexes.join(";"),
    ))
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

    use crate::conformance::lists::first;
    use crate::conformance::toy::{AGGREGATE, CLUSTER, PRICE, VIEW, coats, id, ids, key, put};
    use crate::generation::shape;
    use crate::sqlite::columns::table;
    use crate::{Batch, Build, CommitError, HISTORY, ListQuery, OpenError, Sort, SqliteStore, ViewStore};

    /// The fields of the view, as SQLite computed them.
    const COMPUTED: &str = r#",
        "field_colour" TEXT AS (json_extract(doc, '$."colour"')) VIRTUAL,
        "field_price.amount" INTEGER AS (CAST(json_extract(doc, '$."price"."amount"') AS INTEGER)) VIRTUAL,
        "field_wet" INTEGER AS (CAST(json_extract(doc, '$."wet"') AS INTEGER)) VIRTUAL"#;

    /// What the first form made of a view with two rows, parked once.
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
                   sequence INTEGER NOT NULL, version INTEGER NOT NULL{COMPUTED});
                 CREATE INDEX \"{VIEW}_price.amount\" ON view_{VIEW} (\"field_price.amount\", id) WHERE listed = 1;
                 INSERT INTO view_{VIEW} VALUES ('1', '{{\"price\":{{\"amount\":30}}}}', 1, 7, 2),
                   ('2', '{{\"price\":{{\"amount\":10}},\"colour\":\"red\"}}', 1, 8, 1);"
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
        let sort = vec![Sort {
            field: PRICE,
            descending: false,
        }];
        let dearest_last = ListQuery { sort, ..first(9) };
        assert_eq!(ids(&snapshot.list(VIEW, &dearest_last).unwrap()), ["2", "1"]);
    }

    /// An empty table with the columns that SQLite computed.
    fn as_in_form_2(connection: &Connection, table: &str) {
        connection
            .execute_batch(&format!(
                "DROP TABLE {table};
                 CREATE TABLE {table} (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL, listed INTEGER NOT NULL,
                   sequence INTEGER NOT NULL, version INTEGER NOT NULL{COMPUTED});
                 UPDATE meta SET value = 2 WHERE key = 'form';"
            ))
            .unwrap();
    }

    #[test]
    fn nobody_builds_before_a_writer_has_made_the_tables_over_and_who_had_begun_is_fenced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let (store, domains) = (SqliteStore::new(&path), coats());
        drop(store.writer(&domains, CLUSTER).unwrap());
        let anew = Build::Anew { program: "older" };
        let mut builder = store.builder(domains.views()[0].info(), anew, CLUSTER).unwrap();
        let connection = Connection::open(&path).unwrap();
        as_in_form_2(&connection, &table(VIEW, 1));
        as_in_form_2(&connection, &table(VIEW, 2));
        let early = store
            .builder(domains.views()[0].info(), Build::Kept(1), CLUSTER)
            .err();
        assert!(
            matches!(early, Some(OpenError::Older { found: 2, .. })),
            "{early:?}"
        );
        let mut writer = store.writer(&domains, CLUSTER).unwrap();
        let batch = Batch {
            rows: vec![put("1", "{}")],
            ..Batch::default()
        };
        let refused = builder.commit(&batch);
        assert!(matches!(refused, Err(CommitError::NotOurs { .. })), "{refused:?}");
        writer.commit(&batch).unwrap();
    }
}
