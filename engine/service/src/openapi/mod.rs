//! OpenAPI 3.1 documents, written from what is installed: the routes of a service are made from the domains when it
//! starts, and so is what it says about them.

mod operation;
mod routes;
mod shared;

pub use operation::{Operation, parameter};
pub use routes::differences;

use serde_json::{Map, Value, json};

/// A document in the making.
pub struct OpenApi {
    title: String,
    description: String,
    tags: Vec<Value>,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl OpenApi {
    /// An empty document.
    pub fn new(title: &str, description: &str) -> Self {
        Self {
            title: title.to_owned(),
            description: description.to_owned(),
            tags: Vec::new(),
            paths: Map::new(),
            schemas: shared::schemas(),
        }
    }

    /// Describes a group of operations; groups are shown in this order.
    pub fn tag(&mut self, name: &str, description: &str) {
        self.tags
            .push(json!({ "name": name, "description": description }));
    }

    /// Keeps a JSON Schema under a name, and its `$defs` under names that begin with it. Returns the reference to it.
    pub fn schema(&mut self, name: &str, schema: &Value) -> Value {
        let name = component_name(name);
        let mut schema = schema.clone();
        rename_refs(&mut schema, &name);
        if let Some(object) = schema.as_object_mut() {
            object.remove("$schema");
            if let Some(Value::Object(defs)) = object.remove("$defs") {
                let named = |(def, schema)| (component_name(&format!("{name}.{def}")), schema);
                self.schemas.extend(defs.into_iter().map(named));
            }
        }
        let reference = format!("#/components/schemas/{name}");
        self.schemas.insert(name, schema);
        json!({ "$ref": reference })
    }

    /// A schema that is kept, with its references as they are here.
    pub fn kept(&self, name: &str) -> Option<&Value> {
        self.schemas.get(&component_name(name))
    }

    /// Adds an operation; the parameters of the path are made from it.
    pub fn add(&mut self, method: &str, path: &str, operation: Operation) {
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        item[method] = operation.finish(path);
    }

    /// The document, with what every service has: problems, health, and the documents themselves.
    pub fn finish(mut self) -> Value {
        shared::add_routes(&mut self);
        let paths = Value::Object(self.paths);
        let text = paths.to_string();
        let is_used = |name: &str| text.contains(&format!("\"#/components/headers/{name}\""));
        let mut headers = shared::headers();
        if let Some(headers) = headers.as_object_mut() {
            headers.retain(|name, _| is_used(name));
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "description": self.description,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/", "description": "The service that this document comes from." }],
            "security": [{ operation::BEARER: [] }],
            "tags": self.tags,
            "paths": paths,
            "components": {
                "schemas": self.schemas,
                "headers": headers,
                "securitySchemes": { operation::BEARER: shared::bearer() },
            },
        })
    }
}

/// What the name of a component may be made of.
fn component_name(name: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter);
    name.chars()
        .map(|letter| if allowed(letter) { letter } else { '_' })
        .collect()
}

fn rename_refs(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
                    Some(def) if key == "$ref" => {
                        let def = component_name(&format!("{name}.{def}"));
                        *value = format!("#/components/schemas/{def}").into();
                    }
                    _ => rename_refs(value, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_refs(item, name)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{OpenApi, Operation};

    #[test]
    fn what_a_schema_defines_is_moved_to_the_components_under_its_name() {
        let mut document = OpenApi::new("t", "d");
        let schema = json!({
            "$schema": "x",
            "properties": { "price": { "anyOf": [{ "$ref": "#/$defs/Money" }, { "type": "null" }] } },
            "$defs": { "Money": { "type": "object" } },
        });
        assert_eq!(
            document.schema("shop items", &schema),
            json!({ "$ref": "#/components/schemas/shop_items" })
        );
        let document = document.finish();
        let schemas = &document["components"]["schemas"];
        let price = &schemas["shop_items"]["properties"]["price"]["anyOf"][0]["$ref"];
        assert_eq!(price, "#/components/schemas/shop_items.Money");
        assert_eq!(schemas["shop_items.Money"], json!({ "type": "object" }));
    }

    #[test]
    fn problems_are_sorted_into_answers_by_the_status_on_their_pages() {
        let mut document = OpenApi::new("t", "d");
        let operation =
            Operation::new("o", "tag", "Does.").fails(["order-not-open", "not-found", "of-elsewhere"]);
        document.add("get", "/things/{id}", operation);
        let document = document.finish();
        let operation = &document["paths"]["/things/{id}"]["get"];
        assert_eq!(operation["parameters"][0]["name"], "id");
        let examples = |status: &str| {
            let content = &operation["responses"][status]["content"]["application/problem+json"];
            let examples = content["examples"].as_object().unwrap();
            examples.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(examples("409"), ["order-not-open"]);
        assert_eq!(examples("404"), ["not-found"]);
        for status in ["400", "409", "422"] {
            let description = operation["responses"][status]["description"].as_str().unwrap();
            assert!(description.contains("of-elsewhere"), "{status}: {description}");
        }
    }
}
