//! What has changed between two versions of an Avro schema, in words, with what follows from it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

/// A difference between two versions of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// The field, from the record's own on: `item_added_to_order.subtotal`. Empty for the record itself.
    pub path: String,
    /// What has changed.
    pub what: WhatChanged,
}

/// What has changed of a field; types are told in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhatChanged {
    /// It was not there.
    Added {
        /// Its type.
        of: String,
        /// What older records are read with; `None` if it has no default.
        default: Option<Value>,
    },
    /// It is not there any more.
    Removed {
        /// Whether older readers read newer records without it.
        had_default: bool,
    },
    /// It has another type.
    Type {
        /// What it was.
        from: String,
        /// What it is.
        to: String,
        /// Whether newer readers read it in older records.
        reads_older: bool,
        /// Whether older readers read it in newer records.
        reads_newer: bool,
    },
    /// Records without it are read as another value.
    Default {
        /// What it was.
        from: Option<Value>,
        /// What it is.
        to: Option<Value>,
    },
    /// It is marked as personal, or no longer.
    Personal {
        /// Whether it is now.
        is: bool,
    },
    /// Its fields stand in another order.
    Order,
    /// It is documented in other words.
    Doc,
}

impl fmt::Display for SchemaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |default: &Option<Value>| default.as_ref().map_or("none".to_owned(), Value::to_string);
        let path = if self.path.is_empty() {
            "the record"
        } else {
            &self.path
        };
        match &self.what {
            WhatChanged::Added {
                of,
                default: Some(default),
            } => write!(
                f,
                "{path}: added, {of}. Older records are read with {default}; older readers do not see it"
            ),
            WhatChanged::Added { of, default: None } => {
                write!(
                    f,
                    "{path}: added, {of}, without default. Older records cannot be read"
                )
            }
            WhatChanged::Removed { had_default: true } => write!(
                f,
                "{path}: removed. What older records have in it is no longer seen; older readers see its default"
            ),
            WhatChanged::Removed { had_default: false } => {
                write!(f, "{path}: removed. Older readers cannot read newer records")
            }
            WhatChanged::Type {
                from,
                to,
                reads_older,
                reads_newer,
            } => {
                let follows = match (reads_older, reads_newer) {
                    (true, true) => "Both are read by all, and may mean something else",
                    (true, false) => "Older readers cannot read newer records",
                    (false, true) => "Older records cannot be read",
                    (false, false) => "Older records cannot be read, nor newer ones by older readers",
                };
                write!(f, "{path}: its type was {from}, and is {to}. {follows}")
            }
            WhatChanged::Default { from, to } => write!(
                f,
                "{path}: its default was {}, and is {}. Records without it mean something else now",
                said(from),
                said(to)
            ),
            WhatChanged::Personal { is: true } => write!(
                f,
                "{path}: personal. It is sealed in newer records; in older ones it stands in the clear, and cannot be erased"
            ),
            WhatChanged::Personal { is: false } => write!(
                f,
                "{path}: no longer personal. It stands in the clear in newer records, and cannot be erased there"
            ),
            WhatChanged::Order => write!(
                f,
                "{path}: its fields stand in another order. Readers go by names: nothing follows"
            ),
            WhatChanged::Doc => write!(f, "{path}: documented in other words. Nothing follows"),
        }
    }
}

/// The differences, in the order of the newer schema; both are records, as topics have them.
pub fn schema_changes(older: &Value, newer: &Value) -> Vec<SchemaChange> {
    let mut comparison = Comparison {
        older: named(older),
        newer: named(newer),
        compared: BTreeSet::new(),
        changes: Vec::new(),
    };
    comparison.records("", older, newer);
    comparison.changes
}

/// The records of a schema by their names; an Avro schema defines each once, and then names it.
type Names<'a> = HashMap<&'a str, &'a Value>;

struct Comparison<'a> {
    older: Names<'a>,
    newer: Names<'a>,
    /// Records that were compared already, where they were met first.
    compared: BTreeSet<&'a str>,
    changes: Vec<SchemaChange>,
}

impl<'a> Comparison<'a> {
    fn records(&mut self, path: &str, older: &'a Value, newer: &'a Value) {
        if !self.compared.insert(name(newer)) {
            return;
        }
        self.doc(path, older, newer);
        let (before, after) = (fields(older), fields(newer));
        for field in after {
            let path = below(path, name(field));
            match before.iter().find(|known| name(known) == name(field)) {
                Some(known) => self.field(&path, known, field),
                None => {
                    let (of, default) = (told(&field["type"]), field.get("default").cloned());
                    self.change(&path, WhatChanged::Added { of, default });
                }
            }
        }
        for field in before
            .iter()
            .filter(|field| !after.iter().any(|kept| name(kept) == name(field)))
        {
            let had_default = field.get("default").is_some();
            self.change(&below(path, name(field)), WhatChanged::Removed { had_default });
        }
        let kept = |fields: &'a [Value], others: &[Value]| -> Vec<&'a str> {
            let is_in_both = |field: &&Value| others.iter().any(|other| name(other) == name(field));
            fields.iter().filter(is_in_both).map(name).collect()
        };
        if kept(before, after) != kept(after, before) {
            self.change(path, WhatChanged::Order);
        }
    }

    fn field(&mut self, path: &str, older: &'a Value, newer: &'a Value) {
        self.doc(path, older, newer);
        let default = |field: &Value| field.get("default").cloned();
        if default(older) != default(newer) {
            let (from, to) = (default(older), default(newer));
            self.change(path, WhatChanged::Default { from, to });
        }
        let is_personal = |field: &Value| field.get("foldline.personal").is_some_and(|mark| *mark == true);
        if is_personal(older) != is_personal(newer) {
            let is = is_personal(newer);
            self.change(path, WhatChanged::Personal { is });
        }
        self.types(path, &older["type"], &newer["type"]);
    }

    fn types(&mut self, path: &str, older: &'a Value, newer: &'a Value) {
        let (from, to) = (told(older), told(newer));
        if from != to {
            let (reads_older, reads_newer) = (takes(newer, older), takes(older, newer));
            let what = WhatChanged::Type {
                from,
                to,
                reads_older,
                reads_newer,
            };
            return self.change(path, what);
        }
        // The same in words: what they hold may still differ.
        if let (Some(older), Some(newer)) = (record_in(older, &self.older), record_in(newer, &self.newer)) {
            self.records(path, older, newer);
        }
    }

    fn doc(&mut self, path: &str, older: &Value, newer: &Value) {
        if older.get("doc") != newer.get("doc") {
            self.change(path, WhatChanged::Doc);
        }
    }

    fn change(&mut self, path: &str, what: WhatChanged) {
        let path = path.to_owned();
        self.changes.push(SchemaChange { path, what });
    }
}

fn below(path: &str, field: &str) -> String {
    match path {
        "" => field.to_owned(),
        path => format!("{path}.{field}"),
    }
}

fn name(named: &Value) -> &str {
    named["name"].as_str().unwrap_or_default()
}

fn fields(record: &Value) -> &[Value] {
    record["fields"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn named(schema: &Value) -> Names<'_> {
    let mut names = Names::new();
    collect(schema, &mut names);
    names
}

fn collect<'a>(schema: &'a Value, names: &mut Names<'a>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| collect(branch, names)),
        Value::Object(object) => {
            if object.get("type").is_some_and(|kind| kind == "record") {
                names.insert(name(schema), schema);
                fields(schema)
                    .iter()
                    .for_each(|field| collect(&field["type"], names));
            }
            object
                .get("items")
                .into_iter()
                .for_each(|items| collect(items, names));
        }
        _ => {}
    }
}

/// The record that a type is, or holds as its only other branch or as its items.
fn record_in<'a>(avro: &'a Value, names: &Names<'a>) -> Option<&'a Value> {
    match avro {
        Value::String(name) => names.get(last(name)).copied(),
        Value::Array(branches) => branches.iter().find_map(|branch| record_in(branch, names)),
        Value::Object(object) if object.get("type").is_some_and(|kind| kind == "record") => Some(avro),
        Value::Object(object) => record_in(object.get("items")?, names),
        _ => None,
    }
}

/// A type in words.
fn told(avro: &Value) -> String {
    match avro {
        Value::String(name) => last(name).to_owned(),
        Value::Array(branches) => {
            let others = branches.iter().filter(|branch| *branch != "null").map(told);
            let others = others.collect::<Vec<_>>().join(" or ");
            match branches.iter().any(|branch| branch == "null") {
                true => format!("{others} or null"),
                false => others,
            }
        }
        Value::Object(object) => match (
            object.get("type").and_then(Value::as_str),
            object.get("logicalType"),
        ) {
            (Some("record"), _) => name(avro).to_owned(),
            (Some("array"), _) => format!("list of {}", object.get("items").map(told).unwrap_or_default()),
            (Some(kind), Some(logical)) => format!("{kind} ({})", logical.as_str().unwrap_or_default()),
            (Some(kind), None) => kind.to_owned(),
            (None, _) => avro.to_string(),
        },
        other => other.to_string(),
    }
}

/// A name without its namespace.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// Whether whatever one type holds has a place in the other, as Avro promotes and resolves.
fn takes(reader: &Value, writer: &Value) -> bool {
    let primitive = |avro: &Value| match avro.get("logicalType") {
        Some(_) => told(&avro["type"]),
        None => told(avro),
    };
    let branches = |avro: &Value| match avro {
        Value::Array(branches) => branches.iter().map(primitive).collect(),
        other => vec![primitive(other)],
    };
    let fits = |from: &str, to: &str| {
        from == to
            || matches!(
                (from, to),
                ("int", "long" | "float" | "double")
                    | ("long", "float" | "double")
                    | ("float", "double")
                    | ("string", "bytes")
                    | ("bytes", "string")
            )
    };
    let reader = branches(reader);
    branches(writer)
        .iter()
        .all(|from| reader.iter().any(|to| fits(from, to)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::schema_changes;

    fn base() -> Value {
        let item = json!({"type": "record", "name": "Item", "doc": "One.", "fields": [
            {"name": "price", "type": "int", "doc": "What it costs."},
            {"name": "note", "type": ["null", "string"], "default": null, "doc": ""}]});
        json!({"type": "record", "name": "Event", "doc": "It.", "fields": [
            {"name": "id", "type": "string", "doc": "Its own."},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": ""},
            {"name": "added", "type": ["null", item], "default": null, "doc": ""},
            {"name": "all", "type": {"type": "array", "items": "Item"}, "doc": ""},
            {"name": "dry", "type": "boolean", "default": false, "doc": ""}]})
    }

    /// The changes in words, of a change of the base.
    fn said(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut newer = base();
        change(&mut newer);
        schema_changes(&base(), &newer)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn fields(record: &mut Value) -> &mut Vec<Value> {
        record["fields"].as_array_mut().unwrap()
    }

    #[test]
    fn nothing_changed_is_nothing_said() {
        assert_eq!(said(|_| ()), [""; 0]);
    }

    #[test]
    fn a_field_that_is_added_says_how_older_records_are_read() {
        let nullable = json!({"name": "by", "type": ["null", "string"], "default": null, "doc": ""});
        assert_eq!(
            said(|newer| fields(newer).push(nullable.clone())),
            ["by: added, string or null. Older records are read with null; older readers do not see it"]
        );
        let needed = json!({"name": "by", "type": "string", "doc": ""});
        assert_eq!(
            said(|newer| fields(newer).push(needed.clone())),
            ["by: added, string, without default. Older records cannot be read"]
        );
    }

    #[test]
    fn a_field_that_is_removed_says_what_older_readers_do() {
        assert_eq!(
            said(|newer| fields(newer).retain(|field| field["name"] != "id")),
            ["id: removed. Older readers cannot read newer records"]
        );
        let only =
            "dry: removed. What older records have in it is no longer seen; older readers see its default";
        assert_eq!(
            said(|newer| fields(newer).retain(|field| field["name"] != "dry")),
            [only]
        );
    }

    #[test]
    fn a_change_deep_inside_is_told_once_where_it_is_met_first() {
        let change =
            |newer: &mut Value| fields(&mut newer["fields"][2]["type"][1])[0]["type"] = json!("long");
        let only = "added.price: its type was int, and is long. Older readers cannot read newer records";
        assert_eq!(said(change), [only]);
    }

    #[test]
    fn types_that_do_not_widen_are_told_apart() {
        let cases = [
            (
                "id",
                json!("long"),
                "id: its type was string, and is long. Older records cannot be read, nor newer ones by older readers",
            ),
            (
                "at",
                json!("long"),
                "at: its type was long (timestamp-millis), and is long. Both are read by all, and may mean something else",
            ),
            (
                "id",
                json!(["null", "string"]),
                "id: its type was string, and is string or null. Older readers cannot read newer records",
            ),
        ];
        for (name, avro, expected) in cases {
            let change = |newer: &mut Value| {
                let field = fields(newer).iter_mut().find(|field| field["name"] == name);
                field.unwrap()["type"] = avro.clone();
            };
            assert_eq!(said(change), [expected]);
        }
    }

    #[test]
    fn defaults_order_and_words_are_told() {
        assert_eq!(
            said(|newer| fields(newer)[4]["default"] = json!(true)),
            ["dry: its default was false, and is true. Records without it mean something else now"]
        );
        assert_eq!(
            said(|newer| fields(newer).swap(0, 1)),
            ["the record: its fields stand in another order. Readers go by names: nothing follows"]
        );
        assert_eq!(
            said(|newer| fields(newer)[0]["doc"] = json!("Another.")),
            ["id: documented in other words. Nothing follows"]
        );
    }

    #[test]
    fn a_field_that_becomes_personal_says_what_cannot_be_erased() {
        assert_eq!(
            said(|newer| fields(newer)[0]["foldline.personal"] = json!(true)),
            [
                "id: personal. It is sealed in newer records; in older ones it stands in the clear, and cannot be erased"
            ]
        );
    }
}
