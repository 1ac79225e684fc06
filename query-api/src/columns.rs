//! The columns of a table, made from a JSON Schema: they do not depend on what the rows hold.

use serde_json::Value;

/// How deep columns go; what is deeper (a type that contains itself, say) is JSON text.
const DEPTH_MAX: usize = 6;

/// A column: parts of parts with dots, `total.amount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column(String);

impl Column {
    /// One with this name.
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// What stands in it: nothing if there is no value, lists and maps as JSON.
    pub(crate) fn text(&self, row: &Value) -> String {
        let mut parts = self.0.split('.');
        let value = parts.try_fold(row, |value, part| value.get(part));
        match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }
}

/// The columns of rows that have this schema.
pub(crate) fn of_rows(schema: &Value) -> Vec<Column> {
    columns(schema, schema)
}

/// The columns of the entries of a list within such rows.
pub(crate) fn of_entries(schema: &Value, list: &str) -> Vec<Column> {
    let list = resolved(schema, schema)
        .get("properties")
        .and_then(|of| of.get(list));
    let entry = list.and_then(|list| resolved(schema, list).get("items"));
    entry.map(|entry| columns(schema, entry)).unwrap_or_default()
}

fn columns(root: &Value, of: &Value) -> Vec<Column> {
    let mut columns = Vec::new();
    add(root, of, "", 0, &mut columns);
    columns
}

fn add(root: &Value, schema: &Value, path: &str, depth: usize, columns: &mut Vec<Column>) {
    let schema = resolved(root, schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    match properties.filter(|properties| depth < DEPTH_MAX && !properties.is_empty()) {
        Some(properties) => {
            for (name, property) in properties {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                add(root, property, &path, depth + 1, columns);
            }
        }
        None if path.is_empty() => {}
        None => columns.push(Column::new(path)),
    }
}

/// What a reference leads to, and the one thing that something is if it is there at all.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target = reference.and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        let Some(next) = target.or_else(|| the_one(schema)) else {
            return schema;
        };
        schema = next;
    }
    schema
}

fn the_one(schema: &Value) -> Option<&Value> {
    let choices = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    let is_null = |choice: &&Value| choice.get("type").is_some_and(|kind| kind == "null");
    let mut others = choices.iter().filter(|choice| !is_null(choice));
    let one = others.next()?;
    others.next().is_none().then_some(one)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Column, of_entries, of_rows};

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "total": { "anyOf": [{ "$ref": "#/$defs/Money" }, { "type": "null" }] },
                "items": { "type": "array", "items": { "$ref": "#/$defs/Item" } },
                "notes": { "type": "object", "additionalProperties": { "type": "string" } },
                "parent": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] },
            },
            "$defs": {
                "Money": {
                    "type": "object",
                    "properties": { "amount": { "type": "integer" }, "currency": { "type": "string" } },
                },
                "Item": { "type": "object", "properties": { "price": { "$ref": "#/$defs/Money" } } },
            },
        })
    }

    fn names(columns: &[Column]) -> Vec<&str> {
        columns.iter().map(Column::name).collect()
    }

    #[test]
    fn columns_are_those_of_the_schema_whatever_a_row_has() {
        let columns = of_rows(&schema());
        let names = names(&columns);
        assert_eq!(
            names[..5],
            ["id", "total.amount", "total.currency", "items", "notes"]
        );
        assert_eq!(
            names[5..9],
            [
                "parent.id",
                "parent.total.amount",
                "parent.total.currency",
                "parent.items"
            ]
        );
        assert!(names.len() < 40, "a type that contains itself ends");
        assert_eq!(
            self::names(&of_entries(&schema(), "items")),
            ["price.amount", "price.currency"]
        );
        assert!(of_entries(&schema(), "id").is_empty());
    }

    #[test]
    fn what_is_not_there_is_empty_and_lists_are_json() {
        let row = json!({ "id": "a", "total": null, "items": [{ "n": 1 }], "paid": true, "price": { "amount": -5 } });
        let text = |name: &str| Column::new(name).text(&row);
        assert_eq!(text("id"), "a");
        assert_eq!(text("total.amount"), "");
        assert_eq!(text("items"), "[{\"n\":1}]");
        assert_eq!(text("paid"), "true");
        assert_eq!(text("price.amount"), "-5");
    }
}
