//! JSON as a JSON Schema sees it: which objects are structs, whose fields may grow in number, and which are maps.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The form of values, by which two versions of one are compared.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    root: Value,
    /// Whether it is the form that values have now, not the one they had before.
    is_todays: bool,
}

/// Where two values differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// A JSON pointer, with `*` for a place in a list and for a key of a map.
    pub(crate) path: String,
    /// `None` if it was not there.
    pub(crate) before: Option<Value>,
    /// `None` if it is not there any more.
    pub(crate) after: Option<Value>,
}

/// How an object is to be read.
enum Object<'a> {
    /// Its fields, by name; `None` if it has none. Others came later.
    Struct(Option<&'a Map<String, Value>>),
    /// Any keys; their values are of one form.
    Map(Option<&'a Value>),
}

impl Shape {
    /// The form that values had before, as a JSON Schema, complete in itself, describes it.
    pub(crate) fn new(schema: Value) -> Self {
        Self {
            root: schema,
            is_todays: false,
        }
    }

    /// The form that values have now, where it is not known which one they had.
    pub(crate) fn todays(schema: Value) -> Self {
        Self {
            root: schema,
            is_todays: true,
        }
    }

    /// The value without the fields that the schema does not know, its keys and its sets in a fixed order: equal
    /// values become equal text, and a new field changes nothing.
    pub(crate) fn project(&self, value: &Value) -> Value {
        self.projected(value, &self.root)
    }

    /// A hash of [`project`](Self::project).
    pub(crate) fn mark(&self, value: &Value) -> u32 {
        let text = self.project(value).to_string();
        let hash = Sha256::digest(text.as_bytes());
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Where two values differ: in the fields that the schema knows, and that the one before has if the schema is
    /// today's.
    pub(crate) fn differences(&self, before: &Value, after: &Value) -> Vec<Difference> {
        let mut found = Vec::new();
        let (before, after) = (self.project(before), self.project(after));
        self.compare("", &before, &after, &self.root, &mut found);
        found
    }

    fn projected(&self, value: &Value, schema: &Value) -> Value {
        let schema = self.alternative(value, schema);
        match value {
            Value::Object(fields) => {
                let object = object(schema);
                let known = fields.iter().filter_map(|(name, value)| {
                    let unknown = self.is_todays.then_some(&ANY);
                    let value = self.projected(value, object.field(name).or(unknown)?);
                    Some((name.clone(), value))
                });
                // Sorted: the order of a struct's fields means nothing, and that of a map's keys neither.
                let sorted: BTreeMap<String, Value> = known.collect();
                Value::Object(sorted.into_iter().collect())
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let mut items: Vec<Value> = items
                    .map(|(index, value)| self.projected(value, item(schema, index)))
                    .collect();
                if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
                    items.sort_by_cached_key(Value::to_string);
                }
                Value::Array(items)
            }
            scalar => scalar.clone(),
        }
    }

    fn compare(&self, at: &str, before: &Value, after: &Value, schema: &Value, found: &mut Vec<Difference>) {
        if before == after {
            return;
        }
        let schema = self.alternative(before, schema);
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => {
                let object = object(schema);
                for (name, value) in before {
                    let at = format!("{at}/{}", object.path(name));
                    match after.get(name) {
                        Some(after) => {
                            self.compare(&at, value, after, object.field(name).unwrap_or(&ANY), found);
                        }
                        None => found.push(difference(at, Some(value), None)),
                    }
                }
                // In a struct of today's, what was not there before is a new field.
                let may_be_new = self.is_todays && matches!(object, Object::Struct(_));
                let more = after
                    .iter()
                    .filter(|(name, _)| !may_be_new && !before.contains_key(*name));
                for (name, value) in more {
                    let at = format!("{at}/{}", object.path(name));
                    found.push(difference(at, None, Some(value)));
                }
            }
            (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
                for (index, (before, after)) in before.iter().zip(after).enumerate() {
                    self.compare(&format!("{at}/*"), before, after, item(schema, index), found);
                }
            }
            _ => found.push(difference(at.to_owned(), Some(before), Some(after))),
        }
    }

    /// The schema that describes the value, where there is a choice.
    fn alternative<'a>(&'a self, value: &Value, schema: &'a Value) -> &'a Value {
        let schema = self.resolve(schema);
        let choices = ["oneOf", "anyOf"]
            .iter()
            .find_map(|key| schema.get(key)?.as_array());
        let Some(choices) = choices else { return schema };
        let fitting = choices.iter().find(|choice| self.fits(value, choice));
        // Of no form that was known: everything in it counts.
        fitting.map_or(&ANY, |choice| self.alternative(value, choice))
    }

    /// Whether a value is of this form, as far as its outermost parts say.
    fn fits(&self, value: &Value, schema: &Value) -> bool {
        let schema = self.resolve(schema);
        if let Some(expected) = schema.get("const") {
            return expected == value;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            return allowed.contains(value);
        }
        if let Some(choices) = ["oneOf", "anyOf"]
            .iter()
            .find_map(|key| schema.get(key)?.as_array())
        {
            return choices.iter().any(|choice| self.fits(value, choice));
        }
        let is_type = match schema.get("type") {
            None => true,
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| is_of_type(value, kind)),
            Some(kind) => is_of_type(value, kind),
        };
        is_type && self.has_required(value, schema)
    }

    fn has_required(&self, value: &Value, schema: &Value) -> bool {
        let Value::Object(fields) = value else { return true };
        let required = schema.get("required").and_then(Value::as_array);
        required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .all(|name| {
                let tag = &schema["properties"][name];
                // A tag's value tells one alternative from another.
                let is_tagged = tag.get("const").is_some() || tag.get("enum").is_some();
                fields
                    .get(name)
                    .is_some_and(|value| !is_tagged || self.fits(value, tag))
            })
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        while let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let found = name
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            let Some(found) = found else { return &ANY };
            schema = found;
        }
        schema
    }
}

impl<'a> Object<'a> {
    /// The form of a field; `None` if it is not known.
    fn field(&self, name: &str) -> Option<&'a Value> {
        match self {
            Self::Struct(fields) => fields.and_then(|fields| fields.get(name)),
            Self::Map(values) => Some(values.unwrap_or(&ANY)),
        }
    }

    fn path<'n>(&self, name: &'n str) -> &'n str {
        match self {
            Self::Struct(_) => name,
            Self::Map(_) => "*",
        }
    }
}

/// Anything.
static ANY: Value = Value::Null;

fn object(schema: &Value) -> Object<'_> {
    let fields = schema.get("properties").and_then(Value::as_object);
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(false)) if fields.is_some() || schema.get("type").is_some() => {
            Object::Struct(fields)
        }
        values => Object::Map(values.filter(|values| values.is_object())),
    }
}

fn item(schema: &Value, index: usize) -> &Value {
    let listed = schema
        .get("prefixItems")
        .and_then(Value::as_array)
        .and_then(|items| items.get(index));
    listed.or_else(|| schema.get("items")).unwrap_or(&ANY)
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn difference(path: String, before: Option<&Value>, after: Option<&Value>) -> Difference {
    Difference {
        path,
        before: before.cloned(),
        after: after.cloned(),
    }
}

#[cfg(test)]
mod tests;
