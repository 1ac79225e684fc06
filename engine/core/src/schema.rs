//! One source for every schema: the Rust type of a command or an event, by its JSON Schema.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::personal::holds_personal;

/// One variant of a [`Payload`](crate::Payload) enum.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    /// `ItemAddedToOrder`.
    pub(crate) name: String,
    /// From the variant's doc comment.
    pub(crate) doc: String,
    /// The JSON Schema of its fields, complete in itself.
    pub(crate) schema: Value,
}

impl Variant {
    /// The field of the record that holds it: `item_added_to_order`.
    pub(crate) fn field(&self) -> String {
        snake_case(&self.name)
    }

    /// The fields that are not there since revision 1, with the revision that brought them.
    pub(crate) fn fields_since(&self) -> impl Iterator<Item = (&str, i64)> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        let all = properties.into_iter().flatten();
        all.filter_map(|(field, schema)| Some((field.as_str(), since(schema)?)))
    }
}

/// Marks a field that is not there since revision 1.
const SINCE: &str = "x-since-revision";

/// Marks the Avro field of a [`Personal`](crate::Personal) value: what stands in it is sealed, or erased.
const PERSONAL: &str = "foldline.personal";

/// Of the field itself; a record in it marks its own.
fn is_personal(field: &Value) -> bool {
    let of = nullable(field);
    let of = of.as_ref().unwrap_or(field);
    let items = of.get("items").unwrap_or(of);
    items.get("$ref").is_none() && items.get("properties").is_none() && holds_personal(items)
}

fn since(schema: &Value) -> Option<i64> {
    schema.get(SINCE).and_then(Value::as_i64)
}

/// The type of a payload cannot be written as a schema that every consumer reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct SchemaError {
    at: String,
    problem: String,
}

/// The name, the documentation and the variants of a payload.
pub(crate) fn variants_of<P: JsonSchema>() -> Result<(String, String, Vec<Variant>), SchemaError> {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<P>();
    let root = schema.to_value();
    let name = text(&root, "title");
    let defs = root.get("$defs").cloned();
    let alternatives = root.get("oneOf").and_then(Value::as_array);
    let alternatives = alternatives.ok_or_else(|| error(&name, "not an enum of struct variants"))?;
    let variants = alternatives
        .iter()
        .map(|variant| read_variant(&name, variant, defs.as_ref()));
    Ok((
        name.clone(),
        text(&root, "description"),
        variants.collect::<Result<_, _>>()?,
    ))
}

fn read_variant(of: &str, variant: &Value, defs: Option<&Value>) -> Result<Variant, SchemaError> {
    let properties = variant.get("properties").and_then(Value::as_object);
    let (name, schema) = properties
        .and_then(|properties| properties.iter().next())
        .filter(|(_, schema)| schema.get("type") == Some(&json!("object")))
        .ok_or_else(|| {
            error(
                of,
                "every variant must have named fields, `Placed {}` if there are none",
            )
        })?;
    let mut schema = schema.clone();
    close(&mut schema);
    let doc = text(variant, "description");
    if let (Some(object), Some(defs)) = (schema.as_object_mut(), defs)
        && mentions_ref(object)
    {
        let mut defs = defs.clone();
        close(&mut defs);
        object.insert("$defs".to_owned(), defs);
    }
    Ok(Variant {
        name: name.clone(),
        doc,
        schema,
    })
}

/// Forbids unknown fields, at every depth: a misspelt one must not be lost in silence.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            let is_record = object.get("type") == Some(&json!("object"));
            if is_record && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn mentions_ref(object: &Map<String, Value>) -> bool {
    object.contains_key("$ref")
        || object.values().any(|value| match value {
            Value::Object(inner) => mentions_ref(inner),
            Value::Array(items) => items
                .iter()
                .any(|item| item.as_object().is_some_and(mentions_ref)),
            _ => false,
        })
}

/// Writes Avro records for the variants of a payload.
pub(crate) struct AvroWriter {
    /// The records that are already defined: later mentions are by name.
    defined: Vec<String>,
}

impl AvroWriter {
    pub(crate) fn new() -> Self {
        Self { defined: Vec::new() }
    }

    /// The record of a variant.
    pub(crate) fn record(&mut self, variant: &Variant) -> Result<Value, SchemaError> {
        let defs = variant.schema.get("$defs").cloned().unwrap_or_default();
        self.object(&variant.name, &variant.doc, &variant.schema, &defs)
    }

    fn object(&mut self, name: &str, doc: &str, schema: &Value, defs: &Value) -> Result<Value, SchemaError> {
        self.defined.push(name.to_owned());
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut fields = Vec::new();
        for (field, schema) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let at = format!("{name}.{field}");
            let mut avro = self.value(&at, schema, defs)?;
            let mut doc = text(schema, "description");
            if let Some(since) = since(schema) {
                doc = format!("{doc} Null in records of a revision before {since}.")
                    .trim()
                    .to_owned();
                if !is_nullable(&avro) {
                    avro = json!(["null", avro]);
                }
            }
            let mut entry = json!({ "name": field, "type": avro, "doc": doc });
            if is_personal(schema) {
                entry[PERSONAL] = json!(true);
            }
            if let Some(default) = schema.get("default") {
                entry["default"] = default.clone();
            } else if is_nullable(&entry["type"]) {
                entry["default"] = Value::Null;
            } else if !required.contains(&field.as_str()) {
                return Err(error(
                    &at,
                    "a field that may be missing must be an Option or have a default",
                ));
            }
            fields.push(entry);
        }
        Ok(json!({ "type": "record", "name": name, "doc": doc, "fields": fields }))
    }

    fn value(&mut self, at: &str, schema: &Value, defs: &Value) -> Result<Value, SchemaError> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            if self.defined.iter().any(|defined| defined == name) {
                return Ok(json!(name));
            }
            let schema = defs
                .get(name)
                .ok_or_else(|| error(at, "refers to an unknown type"))?;
            return self.object(name, &text(schema, "description"), schema, defs);
        }
        if let Some(inner) = nullable(schema) {
            return Ok(json!(["null", self.value(at, &inner, defs)?]));
        }
        match (
            schema.get("type").and_then(Value::as_str),
            schema.get("format").and_then(Value::as_str),
        ) {
            (Some("string"), _) if schema.get("enum").is_some() => Err(error(
                at,
                "an Avro enum breaks old readers when it grows: use a String",
            )),
            (Some("string"), _) => Ok(json!("string")),
            (Some("boolean"), _) => Ok(json!("boolean")),
            (Some("integer"), Some("int8" | "int16" | "int32" | "uint8" | "uint16")) => Ok(json!("int")),
            (Some("integer"), Some("int64" | "uint32")) => Ok(json!("long")),
            (Some("number"), Some("double")) => Ok(json!("double")),
            (Some("array"), _) => {
                let items = schema
                    .get("items")
                    .ok_or_else(|| error(at, "an array of nothing"))?;
                Ok(json!({ "type": "array", "items": self.value(at, items, defs)? }))
            }
            (kind, format) => {
                let found = format!("{} {}", kind.unwrap_or("a choice"), format.unwrap_or_default());
                Err(error(
                    at,
                    &format!("{} has no Avro type that every reader knows", found.trim()),
                ))
            }
        }
    }
}

/// What an `Option` holds: `{"type": ["string", "null"]}` or `{"anyOf": [.., {"type": "null"}]}`.
fn nullable(schema: &Value) -> Option<Value> {
    let null = json!("null");
    if let Some(types) = schema.get("type").and_then(Value::as_array) {
        let other = types.iter().find(|kind| **kind != null)?;
        let mut inner = schema.clone();
        inner["type"] = other.clone();
        return types.contains(&null).then_some(inner);
    }
    let choices = schema.get("anyOf")?.as_array()?;
    let is_null = |choice: &&Value| choice.get("type") == Some(&null);
    choices.iter().find(is_null)?;
    choices.iter().find(|choice| !is_null(choice)).cloned()
}

fn is_nullable(avro: &Value) -> bool {
    avro.as_array()
        .is_some_and(|branches| branches.contains(&json!("null")))
}

fn text(schema: &Value, key: &str) -> String {
    let text = schema.get(key).and_then(Value::as_str).unwrap_or_default();
    // A doc comment's line breaks mean nothing.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn error(at: &str, problem: &str) -> SchemaError {
    SchemaError {
        at: at.to_owned(),
        problem: problem.to_owned(),
    }
}

/// `ItemAddedToOrder` is `item_added_to_order`.
pub(crate) fn snake_case(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for (index, letter) in camel.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::{AvroWriter, snake_case, variants_of};
    use crate::Personal;

    /// A price.
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Money {
        /// In minor units.
        amount: i64,
    }

    /// What can happen.
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum Events {
        /// It was priced.
        Priced {
            /// What it costs.
            price: Money,
            /// What it cost.
            before: Option<Money>,
            /// Why.
            note: Option<String>,
            /// Who says so.
            #[schemars(extend("x-since-revision" = 2))]
            by: String,
            #[serde(default)]
            times: i32,
        },
        Gone {},
    }

    #[test]
    fn a_variant_becomes_a_record_with_its_documentation() {
        let (name, doc, variants) = variants_of::<Events>().unwrap();
        assert_eq!((name.as_str(), doc.as_str()), ("Events", "What can happen."));
        assert_eq!(variants[0].field(), "priced");
        let mut avro = AvroWriter::new();
        let money = json!({"type": "record", "name": "Money", "doc": "A price.", "fields": [
            {"name": "amount", "type": "long", "doc": "In minor units."}]});
        assert_eq!(
            avro.record(&variants[0]).unwrap(),
            json!({"type": "record", "name": "Priced", "doc": "It was priced.", "fields": [
                {"name": "price", "type": money, "doc": "What it costs."},
                {"name": "before", "type": ["null", "Money"], "doc": "What it cost.", "default": null},
                {"name": "note", "type": ["null", "string"], "doc": "Why.", "default": null},
                {"name": "by", "type": ["null", "string"], "default": null,
                    "doc": "Who says so. Null in records of a revision before 2."},
                {"name": "times", "type": "int", "doc": "", "default": 0}]})
        );
        assert_eq!(avro.record(&variants[1]).unwrap()["fields"], json!([]));
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Place {
        street: Personal,
        country: String,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum OfPeople {
        Moved {
            name: Personal,
            before: Option<Personal>,
            names: Vec<Personal>,
            to: Place,
            why: String,
        },
    }

    #[test]
    fn the_fields_that_are_personal_are_marked_and_stay_strings() {
        let (_, _, variants) = variants_of::<OfPeople>().unwrap();
        let record = AvroWriter::new().record(&variants[0]).unwrap();
        let marked = |fields: &serde_json::Value| -> Vec<String> {
            let fields = fields.as_array().unwrap().iter();
            let marked = fields.filter(|field| field["foldline.personal"] == true);
            marked
                .map(|field| field["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(marked(&record["fields"]), ["name", "before", "names"]);
        assert_eq!(marked(&record["fields"][3]["type"]["fields"]), ["street"]);
        assert_eq!(record["fields"][0]["type"], "string");
        assert_eq!(record["fields"][1]["type"], json!(["null", "string"]));
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum TooWide {
        Counted { by: u64 },
    }

    #[test]
    fn a_type_that_not_every_reader_knows_is_refused_by_name() {
        let (_, _, variants) = variants_of::<TooWide>().unwrap();
        let error = AvroWriter::new().record(&variants[0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Counted.by: integer uint64 has no Avro type that every reader knows"
        );
    }

    #[test]
    fn names_of_fields_are_in_snake_case() {
        assert_eq!(snake_case("ItemAddedToOrder"), "item_added_to_order");
        assert_eq!(snake_case("Placed"), "placed");
    }
}
