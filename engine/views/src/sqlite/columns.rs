//! What tables and columns are called.

use foldline_core::Field;

/// The table of a generation of a view. Names of views have no underscore, so no two tables are called the same.
pub(super) fn table(view: &str, generation: i64) -> String {
    quoted(&table_name(view, generation))
}

/// As SQLite itself lists it.
pub(super) fn table_name(view: &str, generation: i64) -> String {
    format!("view_{view}_{generation}")
}

/// The index by a field.
pub(super) fn index(view: &str, generation: i64, field: Field) -> String {
    quoted(&format!("{view}_{generation}_{}", field.name))
}

/// The column of a field.
pub(super) fn column(field: Field) -> String {
    if field.name == crate::ID.name {
        return "id".to_owned();
    }
    quoted(&format!("field_{}", field.name))
}

/// A name as SQL takes any name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
