//! What tables and columns are called.

use foldline_core::Field;

/// The table of a view.
pub(super) fn table(view: &str) -> String {
    quoted(&format!("view_{view}"))
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
