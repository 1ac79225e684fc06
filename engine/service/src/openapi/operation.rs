use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Page;

/// What any route may answer with.
const ALWAYS: [&str; 2] = ["internal", "rate-limited"];
/// And what one may that asks who its callers are.
const GUARDED: [&str; 2] = ["unauthenticated", "keys-unavailable"];
/// The security scheme of the document.
pub(super) const BEARER: &str = "bearer";
/// What a rule without a page may answer with.
const RULES: [u16; 3] = [400, 409, 422];

/// An operation in the making.
#[must_use]
pub struct Operation {
    fields: Map<String, Value>,
    parameters: Vec<Value>,
    answers: BTreeMap<u16, Value>,
    codes: Vec<String>,
    is_open: bool,
}

/// A parameter in `place`: `query` or `header`. `Null` for no example.
pub fn parameter(place: &str, name: &str, description: &str, schema: Value, example: Value) -> Value {
    let mut parameter = json!({
        "name": name, "in": place, "required": false, "description": description, "schema": schema,
    });
    if !example.is_null() {
        parameter["example"] = example;
    }
    parameter
}

impl Operation {
    /// `id` names it in programs that are generated from the document.
    pub fn new(id: &str, tag: &str, summary: &str) -> Self {
        let id: String = id
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '_'
                }
            })
            .collect();
        let fields = json!({ "operationId": id, "tags": [tag], "summary": summary });
        let Value::Object(fields) = fields else {
            unreachable!("an object stands there")
        };
        Self {
            fields,
            parameters: Vec::new(),
            answers: BTreeMap::new(),
            codes: Vec::new(),
            is_open: false,
        }
    }

    /// Nobody is asked who they are: it is not behind [`Auth::guard`](crate::Auth::guard).
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self.fields.insert("security".to_owned(), json!([]));
        self
    }

    /// The caller needs one of these scopes.
    pub fn needs(mut self, scopes: impl IntoIterator<Item = String>) -> Self {
        let any = scopes.into_iter().map(|scope| json!({ BEARER: [scope] }));
        let any: Vec<Value> = any.collect();
        self.fields.insert("security".to_owned(), any.into());
        self.fails(["forbidden"])
    }

    /// More about it.
    pub fn description(mut self, text: &str) -> Self {
        self.fields.insert("description".to_owned(), text.into());
        self
    }

    /// What it takes besides those of its path.
    pub fn takes(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// The JSON that it takes, with examples by name.
    pub fn reads(mut self, schema: Value, examples: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut content = json!({ "schema": schema });
        let examples = examples
            .into_iter()
            .map(|(name, value)| (name, json!({ "value": value })));
        let examples: Map<String, Value> = examples.collect();
        if !examples.is_empty() {
            content["examples"] = examples.into();
        }
        let body = json!({ "required": true, "content": { "application/json": content } });
        self.fields.insert("requestBody".to_owned(), body);
        self
    }

    /// An answer that is no problem; `content` is its schema by media type, `headers` are names of components.
    pub fn answers(
        mut self,
        status: u16,
        description: &str,
        content: impl IntoIterator<Item = (&'static str, Value)>,
        headers: &[&str],
    ) -> Self {
        let content = content
            .into_iter()
            .map(|(kind, schema)| (kind.to_owned(), json!({ "schema": schema })));
        let content: Map<String, Value> = content.collect();
        let mut answer = json!({ "description": description, "headers": header_refs(headers) });
        if !content.is_empty() {
            answer["content"] = content.into();
        }
        self.answers.insert(status, answer);
        self
    }

    /// The problems that it may answer with; their pages know the status.
    pub fn fails<'a>(mut self, codes: impl IntoIterator<Item = &'a str>) -> Self {
        self.codes.extend(codes.into_iter().map(str::to_owned));
        self
    }

    pub(super) fn finish(mut self, path: &str) -> Value {
        let mut parameters: Vec<Value> = path.split('/').filter_map(path_parameter).collect();
        parameters.append(&mut self.parameters);
        if !parameters.is_empty() {
            self.fields.insert("parameters".to_owned(), parameters.into());
        }
        self.codes.extend(ALWAYS.map(str::to_owned));
        if !self.is_open {
            self.codes.extend(GUARDED.map(str::to_owned));
        }
        for (status, codes) in by_status(&self.codes) {
            self.answers.insert(status, problems(status, &codes));
        }
        let answers = self.answers.into_iter();
        let answers: Map<String, Value> = answers
            .map(|(status, answer)| (status.to_string(), answer))
            .collect();
        self.fields.insert("responses".to_owned(), answers.into());
        self.fields.into()
    }
}

fn path_parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let (description, schema, example) = match name {
        "id" => (
            "The id, as the client or the service has chosen it.",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9._~-]{1,128}$" }),
            "8659a0d6",
        ),
        "command_id" => (
            "The id of the command.",
            json!({ "type": "string", "format": "uuid" }),
            "8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11",
        ),
        "code" => (
            "The last part of a problem's `type`.",
            json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }),
            "view-behind",
        ),
        _ => (
            "Which of them, as the links to them say it.",
            json!({ "type": "string", "minLength": 1 }),
            "8d30d99",
        ),
    };
    Some(json!({
        "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        "example": example,
    }))
}

fn by_status(codes: &[String]) -> BTreeMap<u16, Vec<&str>> {
    let mut found: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let statuses = match Page::of(code).and_then(|page| page.status()) {
            Some(status) => vec![status],
            None => RULES.to_vec(),
        };
        for status in statuses {
            let codes = found.entry(status).or_default();
            if !codes.contains(&code.as_str()) {
                codes.push(code);
            }
        }
    }
    found
}

/// The answer with this status, whichever of these problems it is.
fn problems(status: u16, codes: &[&str]) -> Value {
    let links = codes.iter().map(|code| format!("[{code}](/problems/{code})"));
    let examples = codes.iter().filter_map(|code| {
        let page = Page::of(code)?;
        let example = json!({ "summary": page.summary(), "value": page.example()? });
        Some(((*code).to_owned(), example))
    });
    let mut content = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    let examples: Map<String, Value> = examples.collect();
    if !examples.is_empty() {
        content["examples"] = examples.into();
    }
    let headers: &[&str] = match status {
        429 => &["Retry-After", "RateLimit", "RateLimit-Policy"],
        401 => &["WWW-Authenticate"],
        503 => &["Retry-After"],
        _ => &[],
    };
    json!({
        "description": links.collect::<Vec<_>>().join(", "),
        "headers": header_refs(headers),
        "content": { "application/problem+json": content },
    })
}

/// The headers of an answer: these, and those that every answer has.
fn header_refs(names: &[&str]) -> Value {
    let names = names.iter().chain(&["X-Request-Id", "traceparent"]);
    let refs = names.map(|name| {
        let reference = json!({ "$ref": format!("#/components/headers/{name}") });
        ((*name).to_owned(), reference)
    });
    refs.collect::<Map<_, _>>().into()
}
