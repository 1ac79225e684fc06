use std::collections::BTreeMap;

use rusqlite::Connection;

use super::columns::table;

/// Of each view, what clients see.
pub(super) type Served = BTreeMap<String, ServedView>;

pub(super) struct ServedView {
    pub(super) generation: i64,
    /// Finds a row. To write it anew for each would be a quarter of all that finding one takes.
    pub(super) find: String,
}

impl ServedView {
    fn new(view: &str, generation: i64) -> Self {
        let table = table(view, generation);
        let find = format!(
            "SELECT id, doc, sequence, version, {generation} FROM {table} WHERE id = ?1 AND listed = 1"
        );
        Self { generation, find }
    }
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Served> {
    let mut statement = connection.prepare_cached("SELECT view, generation FROM served")?;
    let rows = statement.query_map([], |row| {
        let (view, generation): (String, i64) = (row.get(0)?, row.get(1)?);
        let served = ServedView::new(&view, generation);
        Ok((view, served))
    })?;
    rows.collect()
}
