//! The table of a generation, and how rows are written to it.
//!
//! A row is JSON, and what lists are filtered and sorted by stands beside it in columns, each with an index. Most events change
//! few of them: an index whose column has the value that it had is not touched. SQLite touches each whose column is set, and if
//! it computed the columns from the JSON by itself, that were all of them, each time.

use std::fmt::Write;

use foldline_core::{AggregateId, Field, FieldKind, ViewInfo};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection};

use super::columns::{column, index, table};
use crate::{NewRow, RowChange};

/// Makes the table of a generation, with its indexes.
pub(super) fn table_of(view: &ViewInfo, generation: i64) -> String {
    let table = table(view.name, generation);
    let (mut columns, mut indexes) = (String::new(), String::new());
    for field in own_fields(view) {
        let column = column(*field);
        let _ = write!(columns, ", {column} {}", type_of(*field));
        indexes += &index_of(&table, &index(view.name, generation, *field), &column);
    }
    create(&table, &columns) + &indexes
}

/// The JSON stands last: what comes before it is found without going through it.
pub(super) fn create(table: &str, columns: &str) -> String {
    format!(
        "CREATE TABLE {table} (id TEXT PRIMARY KEY NOT NULL, listed INTEGER NOT NULL, sequence INTEGER NOT NULL,
         version INTEGER NOT NULL{columns}, doc TEXT NOT NULL);"
    )
}

/// Lists are read from it: only what is listed, in the order of the pages.
fn index_of(table: &str, index: &str, column: &str) -> String {
    format!("CREATE INDEX {index} ON {table} ({column}, id) WHERE listed = 1;")
}

/// Those that have a column of their own, which the id has anyway.
fn own_fields(view: &ViewInfo) -> impl Iterator<Item = &Field> {
    let own = |field: &&Field| column(**field) != column(crate::ID);
    view.fields.iter().filter(own)
}

fn type_of(field: Field) -> &'static str {
    match field.kind {
        FieldKind::Text => "TEXT",
        FieldKind::Number | FieldKind::Boolean => "INTEGER",
    }
}

/// The field in the JSON that is the parameter.
fn value_of(field: Field, parameter: &str) -> String {
    let path: String = field.name.split('.').map(|part| format!(".\"{part}\"")).collect();
    let path = format!("${path}").replace('\'', "''");
    match field.kind {
        FieldKind::Text => format!("json_extract({parameter}, '{path}')"),
        // Whole numbers, whatever the row says: a page begins after one.
        FieldKind::Number | FieldKind::Boolean => {
            format!("CAST(json_extract({parameter}, '{path}') AS INTEGER)")
        }
    }
}

/// Writes rows of one generation.
#[derive(Debug, Clone)]
pub(super) struct RowTable {
    table: String,
    /// What is compared before it is set: whether the row is listed, and its fields.
    compared: Vec<String>,
    /// The row that is there, if one is: its number and what is compared; and the same of what it is to be.
    compare: String,
    insert: String,
    remove: String,
}

/// What a row is to have in the columns that are compared.
struct Compared {
    /// The number of the row that is there.
    row: Option<i64>,
    /// By column, those that are other than they stand there; all, if nothing does.
    values: Vec<(usize, Value)>,
}

impl RowTable {
    pub(super) fn new(view: &ViewInfo, generation: i64) -> Self {
        let table = table(view.name, generation);
        let (mut compared, mut wanted) = (vec!["listed".to_owned()], vec!["?3".to_owned()]);
        for field in own_fields(view) {
            compared.push(column(*field));
            wanted.push(value_of(*field, "?2"));
        }
        let stored: String = compared.iter().map(|column| format!("t.{column}, ")).collect();
        let parameters: String = (0..compared.len()).map(|at| format!(", ?{}", 5 + at)).collect();
        Self {
            compare: format!(
                "SELECT t.rowid, {stored}{} FROM (SELECT 1) LEFT JOIN {table} t ON t.id = ?1",
                wanted.join(", ")
            ),
            insert: format!(
                "INSERT INTO {table} (id, doc, sequence, version, {}) VALUES (?1, ?2, ?3, ?4{parameters})",
                compared.join(", ")
            ),
            remove: format!("DELETE FROM {table} WHERE id = ?1"),
            table,
            compared,
        }
    }

    pub(super) fn write(&self, connection: &Connection, changes: &[RowChange]) -> rusqlite::Result<()> {
        let mut compare = connection.prepare_cached(&self.compare)?;
        let mut insert = connection.prepare_cached(&self.insert)?;
        let mut remove = connection.prepare_cached(&self.remove)?;
        for RowChange { id, row, .. } in changes {
            let Some(row) = row else {
                remove.execute([id.as_str()])?;
                continue;
            };
            let found = self.compare(&mut compare, id, row)?;
            match found.row {
                Some(number) => {
                    let mut update = connection.prepare_cached(&self.update(&found.values))?;
                    update.raw_bind_parameter(1, number)?;
                    put(&mut update, row, &found.values)?;
                }
                None => {
                    insert.raw_bind_parameter(1, id.as_str())?;
                    put(&mut insert, row, &found.values)?;
                }
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        compare: &mut CachedStatement<'_>,
        id: &AggregateId,
        row: &NewRow,
    ) -> rusqlite::Result<Compared> {
        let mut rows = compare.query((id.as_str(), &row.doc, row.listed))?;
        // One table of one row, joined from the left: there is always one, and never two with this id.
        let found = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let number: Option<i64> = found.get(0)?;
        let mut values = Vec::new();
        for at in 0..self.compared.len() {
            let (there, wanted) = (1 + at, 1 + self.compared.len() + at);
            if number.is_none() || found.get_ref(there)? != found.get_ref(wanted)? {
                values.push((at, found.get(wanted)?));
            }
        }
        Ok(Compared { row: number, values })
    }

    /// Sets these columns alone. There are few such sets in a view, and each is compiled once.
    fn update(&self, values: &[(usize, Value)]) -> String {
        let mut sql = format!("UPDATE {} SET doc = ?2, sequence = ?3, version = ?4", self.table);
        for (parameter, (at, _)) in (5..).zip(values) {
            let _ = write!(sql, ", {} = ?{parameter}", self.compared[*at]);
        }
        sql + " WHERE rowid = ?1"
    }
}

/// Binds all but the first parameter, and executes.
fn put(statement: &mut CachedStatement<'_>, row: &NewRow, values: &[(usize, Value)]) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(2, &row.doc)?;
    statement.raw_bind_parameter(3, row.sequence)?;
    statement.raw_bind_parameter(4, row.version)?;
    for (parameter, (_, value)) in (5..).zip(values) {
        statement.raw_bind_parameter(parameter, value)?;
    }
    statement.raw_execute().map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;
    use rusqlite::{Connection, params_from_iter};

    use super::{RowTable, table_of};
    use crate::conformance::lists::states;
    use crate::conformance::toy::coats;

    const GENERATION: i64 = 3;

    fn database() -> (Connection, RowTable) {
        let (connection, domains) = (Connection::open_in_memory().unwrap(), coats());
        let view = domains.views()[0].info();
        connection.execute_batch(&table_of(view, GENERATION)).unwrap();
        (connection, RowTable::new(view, GENERATION))
    }

    /// How many indexes an update of these columns writes to.
    fn indexes_written(connection: &Connection, table: &RowTable, columns: &[usize]) -> usize {
        let values: Vec<_> = columns.iter().map(|at| (*at, Value::Null)).collect();
        let sql = format!("EXPLAIN {}", table.update(&values));
        let mut statement = connection.prepare(&sql).unwrap();
        let nothing = params_from_iter(vec![Value::Null; 4 + columns.len()]);
        let steps = statement.query_map(nothing, |row| row.get::<_, String>("opcode"));
        let steps = steps.unwrap().map(Result::unwrap);
        steps.filter(|step| step == "IdxInsert").count()
    }

    #[test]
    fn an_index_is_written_only_if_its_column_changes() {
        let (connection, table) = database();
        assert_eq!(table.compared.len(), 4);
        assert_eq!(indexes_written(&connection, &table, &[]), 0);
        assert_eq!(indexes_written(&connection, &table, &[2]), 1);
        assert_eq!(indexes_written(&connection, &table, &[1, 3]), 2);
        // Which indexes have the row depends on it.
        assert_eq!(indexes_written(&connection, &table, &[0]), 3);
    }

    #[test]
    fn indexes_have_what_the_table_has_after_every_change() {
        let (connection, table) = database();
        for before in states("1") {
            for after in states("1") {
                table.write(&connection, &[before.clone(), after]).unwrap();
                let check = "PRAGMA integrity_check";
                let found: String = connection.query_row(check, [], |row| row.get(0)).unwrap();
                assert_eq!(found, "ok");
            }
        }
    }
}
