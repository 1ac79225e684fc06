//! What the write API says about itself, made from the installed aggregate types: see `routes`, and `documents` for
//! where it is served.

use foldline_core::{AggregateInfo, CommandType, Domains};
use foldline_service::openapi::{OpenApi, Operation, parameter};
use serde_json::{Map, Value, json};

use super::create_command;
use super::forms::with_type;

const COMMANDS: &str = "commands";
const JSON: &str = "application/json";

/// What the engine refuses, whatever the aggregate type.
const OF_THE_ENGINE: [&str; 6] = [
    "sequence-mismatch",
    "command-id-reused",
    "token-not-reached",
    "decision-failed",
    "subject-erased",
    "unknown-aggregate",
];
/// What the form of a request can have against it.
const OF_THE_FORM: [&str; 8] = [
    "malformed-json",
    "invalid-command",
    "invalid-header",
    "invalid-parameter",
    "invalid-consistency-token",
    "too-large",
    "request-timeout",
    "unsupported-media-type",
];
const AWAY: [&str; 3] = ["not-ready", "overloaded", "kafka-unavailable"];
const OUTCOME_HEADERS: [&str; 4] = ["ETag", "Consistency-Token", "Location", "Preference-Applied"];

/// The document.
pub(super) fn document(domains: &Domains) -> Value {
    let mut document = OpenApi::new("Foldline write API", DESCRIPTION);
    document.tag(COMMANDS, "What became of commands, and where everything is.");
    let schemas = Schemas::new(&mut document);
    add_outcome(&mut document, &schemas);
    for aggregate in domains.aggregates() {
        let info = aggregate.info();
        if !info.is_internal() {
            add_aggregate(&mut document, info, &schemas);
        }
    }
    let async_api = Operation::new("asyncapi", "documents", "The topics, as AsyncAPI has them.");
    let json = [(JSON, json!({ "type": "object" }))];
    document.add(
        "get",
        "/asyncapi.json",
        async_api.open().answers(200, "The document.", json, &[]),
    );
    document.finish()
}

const DESCRIPTION: &str = "Takes commands, and answers when they are decided and committed.\n\nSend the same command \
    again under the same `Idempotency-Key` whenever an answer was lost: it is decided once, and answered the same. \
    `If-Match` says which sequence the aggregate must be at. What was accepted is read from the read API; send it the \
    `Consistency-Token` of the answer, and it shows nothing older.";

/// References to what several operations have.
struct Schemas {
    accepted: Value,
    pending: Value,
    rehearsed: Value,
    refused: Value,
}

impl Schemas {
    fn new(document: &mut OpenApi) -> Self {
        Self {
            accepted: document.schema("Accepted", &accepted()),
            pending: document.schema("Pending", &pending()),
            rehearsed: document.schema("Rehearsed", &rehearsed()),
            refused: document.schema("Refused", &refused()),
        }
    }
}

fn add_outcome(document: &mut OpenApi, schemas: &Schemas) {
    let any = json!({ "oneOf": [schemas.accepted, schemas.refused, schemas.pending,
        { "$ref": "#/components/schemas/DeadLettered" }, { "$ref": "#/components/schemas/Gone" }] });
    document.schema("DeadLettered", &dead_lettered());
    let gone = json!({
        "type": "object",
        "description": "The outcome of a command of a domain that is not installed any more.",
        "required": ["aggregate_id"],
        "properties": { "aggregate_id": text("The aggregate.") },
    });
    document.schema("Gone", &gone);
    let index = Operation::new("index", COMMANDS, "Where everything is.")
        .answers(200, "Links.", [(JSON, json!({ "type": "object" }))], &[])
        .fails(["not-ready"]);
    document.add("get", "/", index);
    let outcome = Operation::new(
        "outcome",
        COMMANDS,
        "What became of a command, however it came in.",
    )
    .description("With `Prefer: wait=N`, it waits for a command that is not decided yet.")
    .takes([prefer("wait=3")])
    .answers(
        200,
        "Accepted, refused, pending or dead-lettered: `status` says which.",
        [(JSON, any)],
        &["Retry-After"],
    )
    .fails(["invalid-id", "unknown-command", "unavailable", "not-ready"]);
    document.add("get", "/commands/{command_id}", outcome);
}

fn add_aggregate(document: &mut OpenApi, info: &AggregateInfo, schemas: &Schemas) {
    let (name, path) = (info.qualified_name(), info.path);
    document.tag(&name, &format!("The aggregate type `{name}`, at `{path}`."));
    let creating = create_command(info);
    let one = |command: &CommandType, document: &mut OpenApi, requires_type: bool| {
        let suffix = if requires_type { "" } else { ".New" };
        let mut schema = with_type(command);
        if !requires_type && let Some(required) = schema["required"].as_array_mut() {
            required.retain(|field| field != "type");
        }
        schema["description"] = command.doc.clone().into();
        document.schema(&format!("{name}.{}{suffix}", command.name), &schema)
    };
    let commands: Vec<Value> = info
        .commands
        .iter()
        .map(|command| one(command, document, true))
        .collect();
    let any = document.schema(&format!("{name}.Command"), &json!({ "oneOf": commands }));
    let several = json!({ "type": "array", "items": any, "minItems": 1, "maxItems": 100,
        "description": "All are accepted, or none." });
    if let Some(command) = info.commands.iter().find(|command| command.name == creating) {
        let body = one(command, document, false);
        let create = Operation::new(
            &format!("{name}.create"),
            &name,
            &format!("{creating}: makes one with a new id."),
        );
        let create = create
            .description(&command.doc)
            .needs(scopes(info, Some(command)))
            .reads(body, [(creating.to_owned(), example(command, false))]);
        document.add("post", path, deciding(create, info, schemas));
    }
    let examples = info
        .commands
        .iter()
        .map(|command| (command.name.clone(), example(command, true)));
    let command = Operation::new(
        &format!("{name}.command"),
        &name,
        "Asks for something: any command, or a list of them.",
    )
    .description(
        "A list is decided as one: all of it is accepted, or nothing. `dry_run=true` says what would happen; \
        payloads and the state, to who may read the history (`history`, `history-own`).",
    )
    .needs(scopes(info, None))
    .reads(json!({ "oneOf": [any, several] }), examples);
    document.add(
        "post",
        &format!("{path}/{{id}}/commands"),
        deciding(command.fails(["invalid-id"]), info, schemas),
    );
    let forms = [(JSON, forms())];
    let possible = Operation::new(
        &format!("{name}.possible"),
        &name,
        "What can be asked of one, and what is possible now.",
    )
    .answers(
        200,
        "Each command with its JSON Schema.",
        forms.clone(),
        &["ETag"],
    )
    .needs(scopes(info, None))
    .fails(["invalid-id", "not-ready"]);
    document.add("get", &format!("{path}/{{id}}/commands"), possible);
    let all = Operation::new(&format!("{name}.commands"), &name, "What can be asked.")
        .answers(200, "Each command with its JSON Schema.", forms, &[])
        .needs(scopes(info, None))
        .fails(["not-ready"]);
    document.add("get", &format!("{path}/commands"), all);
}

/// The scopes with which this command may be sent; without one, those of each of them.
fn scopes(info: &AggregateInfo, only: Option<&CommandType>) -> Vec<String> {
    let name = info.qualified_name();
    let types = info
        .commands
        .iter()
        .filter(|command| only.is_none_or(|only| only.name == command.name));
    let whole = ["write", "write-own"].map(|action| format!("{name}:{action}"));
    let of_types =
        types.flat_map(|command| whole.iter().map(move |scope| format!("{scope}:{}", command.name)));
    whole
        .iter()
        .cloned()
        .chain(of_types.collect::<Vec<_>>())
        .collect()
}

/// What every operation takes and answers that decides on commands.
fn deciding(operation: Operation, info: &AggregateInfo, schemas: &Schemas) -> Operation {
    let taken: Vec<String> = info.unique.iter().map(|name| format!("{name}-taken")).collect();
    let decided = json!({ "oneOf": [schemas.accepted, schemas.rehearsed] });
    let mut codes = info.codes.to_vec();
    codes.extend(taken.iter().map(String::as_str));
    let codes = codes
        .into_iter()
        .chain(OF_THE_ENGINE)
        .chain(OF_THE_FORM)
        .chain(AWAY);
    operation
        .takes(request_parameters())
        .answers(
            201,
            "Accepted and committed; it made something.",
            [(JSON, schemas.accepted.clone())],
            &OUTCOME_HEADERS,
        )
        .answers(
            200,
            "Accepted and committed, or what would become of it.",
            [(JSON, decided)],
            &OUTCOME_HEADERS,
        )
        .answers(
            202,
            "In the log, and not decided yet.",
            [(JSON, schemas.pending.clone())],
            &["Location", "Retry-After", "Preference-Applied"],
        )
        .fails(codes)
}

fn request_parameters() -> [Value; 10] {
    let header = |name: &str, description: &str, example: &str| {
        let schema = json!({ "type": "string", "maxLength": 255 });
        parameter("header", name, description, schema, example.into())
    };
    [
        header(
            "Idempotency-Key",
            "The command's identity, for ever: the same key gets the same answer. A UUID is the \
            command's id itself.",
            "\"8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11\"",
        ),
        parameter(
            "header",
            "If-Match",
            "The ETag, and so the sequence, that the aggregate must be at.",
            json!({ "type": "string", "pattern": "^\"[0-9]{1,18}(-[0-9]+)?\"$" }),
            "\"7\"".into(),
        ),
        parameter(
            "header",
            "If-None-Match",
            "Only if it does not exist yet.",
            json!({ "type": "string", "enum": ["*"] }),
            "*".into(),
        ),
        parameter(
            "header",
            "Consistency-Token",
            "Decide on nothing older than what this token has seen; several, with commas, for all of them.",
            json!({ "type": "string" }),
            Value::Null,
        ),
        prefer("respond-async"),
        header(
            "Correlation-Id",
            "The conversation; kept in the events.",
            "order-talk-1",
        ),
        header("Causation-Id", "What caused this; kept in the events.", "mail-17"),
        header("X-Actor", "Who asks. Written down, not verified.", "ada"),
        header(
            "traceparent",
            "The trace that it belongs to (W3C); goes with the command and its events on Kafka.",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        parameter(
            "query",
            "dry_run",
            "Only say what would happen: nothing is written.",
            json!({ "type": "boolean", "default": false }),
            json!(true),
        ),
    ]
}

fn prefer(example: &str) -> Value {
    let description =
        "`wait=N`: answer within N seconds, with 202 if it is not decided by then. `respond-async`: at once.";
    parameter(
        "header",
        "Prefer",
        description,
        json!({ "type": "string" }),
        example.into(),
    )
}

/// A command with a value in each field that must be there.
fn example(command: &CommandType, with_type: bool) -> Value {
    let mut fields = Map::new();
    if with_type {
        fields.insert("type".to_owned(), command.name.clone().into());
    }
    let required = command.schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        let value = sample(
            &command.schema["properties"][name],
            &command.schema["$defs"],
            name,
        );
        fields.insert(name.to_owned(), value);
    }
    fields.into()
}

/// Some value that fits the schema, as the schemas of commands are.
fn sample(schema: &Value, defs: &Value, name: &str) -> Value {
    if let Some(def) = schema["$ref"].as_str().and_then(|text| text.rsplit('/').next()) {
        return sample(&defs[def], defs, name);
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields = fields.map(|(name, schema)| (name.clone(), sample(schema, defs, name)));
            Value::Object(fields.collect())
        }
        Some("integer" | "number") => match name {
            "amount" => 1250.into(),
            _ => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        },
        Some("boolean") => true.into(),
        Some("array") => json!([sample(&schema["items"], defs, name)]),
        _ => match schema["pattern"].as_str() {
            Some(pattern) if schema["format"] == "uri-reference" => linked(pattern).into(),
            _ if name == "currency" => "USD".into(),
            _ if name == "email" => "ada@example.com".into(),
            _ => format!("a {}", name.replace('_', " ")).into(),
        },
    }
}

/// The pattern of a link, with an id for each part of it that varies.
fn linked(pattern: &str) -> String {
    let path = pattern
        .trim_start_matches("^(https?://[^/]+)?")
        .trim_end_matches('$');
    path.replace(foldline_core::AggregateId::PATTERN, "8659a0d6")
        .replace("[^/]+", "8d30d99")
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn id(description: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": description })
}

fn sequence() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "The sequence that the aggregate is at." })
}

fn accepted() -> Value {
    let event = json!({
        "type": "object",
        "required": ["event_id", "event_type", "sequence"],
        "properties": { "event_id": id("Its identity."), "event_type": text("Its type."), "sequence": sequence() },
    });
    json!({
        "type": "object",
        "description": "The outcome of a command that was accepted.",
        "required": ["command_id", "command_type", "status", "aggregate", "sequence", "events", "consistency_token",
            "correlation_id", "decided_at", "replayed", "links"],
        "properties": {
            "command_id": id("The command."),
            "command_type": text("Its type."),
            "status": { "const": "accepted" },
            "aggregate": text("The link to the aggregate, in both APIs."),
            "sequence": sequence(),
            "events": { "type": "array", "items": event, "description": "What it made, in order." },
            "consistency_token": text("Send it with what must not be answered from before this."),
            "correlation_id": text("The conversation."),
            "decided_at": { "type": "string", "format": "date-time" },
            "replayed": { "type": "boolean", "description": "Whether it repeats the answer that was given before." },
            "links": { "type": "object", "additionalProperties": { "type": "string", "format": "uri-reference" } },
        },
    })
}

fn dead_lettered() -> Value {
    let place = json!({
        "type": "object",
        "required": ["topic", "partition", "offset"],
        "properties": {
            "topic": text("The topic."),
            "partition": { "type": "integer" },
            "offset": { "type": "integer" },
        },
    });
    json!({
        "type": "object",
        "description": "A record of a command topic that could not be read as a command, and was set aside.",
        "required": ["command_id", "status", "problem", "command", "dead_letter"],
        "properties": {
            "command_id": id("The command's."),
            "status": { "const": "dead-lettered" },
            "problem": { "type": "object", "description": "Why it is no command, and what helps." },
            "command": place,
            "dead_letter": place,
            "links": { "type": "object" },
        },
    })
}

fn pending() -> Value {
    json!({
        "type": "object",
        "description": "A command that is in the log, and is not decided yet.",
        "required": ["command_id", "status", "links"],
        "properties": {
            "command_id": id("The command."),
            "status": { "const": "pending" },
            "aggregate": text("The link to the aggregate."),
            "links": { "type": "object", "additionalProperties": { "type": "string", "format": "uri-reference" } },
        },
    })
}

fn rehearsed() -> Value {
    json!({
        "type": "object",
        "description": "What would become of a command.",
        "required": ["command_type", "status", "dry_run", "aggregate", "sequence", "events"],
        "properties": {
            "command_type": text("Its type."),
            "status": { "const": "accepted" },
            "dry_run": { "const": true },
            "aggregate": text("The link to the aggregate."),
            "sequence": sequence(),
            "events": { "type": "array", "items": { "type": "object" }, "description": "As the history would \
                show them, to who may read it; else with their id, type and sequence alone." },
            "state": { "description": "The state of the aggregate afterwards, to who may read its history." },
            "consistency_token": text("What was looked at."),
        },
    })
}

fn refused() -> Value {
    json!({
        "type": "object",
        "description": "The outcome of a command that was refused.",
        "required": ["command_id", "command_type", "status", "aggregate", "sequence", "problem", "links"],
        "properties": {
            "command_id": id("The command."),
            "command_type": text("Its type."),
            "status": { "const": "refused" },
            "aggregate": text("The link to the aggregate."),
            "sequence": sequence(),
            "consistency_token": text("Send it with what must not be answered from before this."),
            "correlation_id": text("The conversation."),
            "decided_at": { "type": "string", "format": "date-time" },
            "problem": { "$ref": "#/components/schemas/Problem" },
            "links": { "type": "object", "additionalProperties": { "type": "string", "format": "uri-reference" } },
        },
    })
}

fn forms() -> Value {
    let form = json!({
        "type": "object",
        "required": ["type", "method", "href", "schema"],
        "properties": {
            "type": text("The name of the command."),
            "description": text("What it does."),
            "creates": { "type": "boolean", "description": "Whether it makes an aggregate." },
            "possible": { "type": "boolean", "description": "Whether the state allows it." },
            "method": { "const": "POST" },
            "href": text("Where it is sent."),
            "schema": { "type": "object", "description": "The JSON Schema of its body." },
        },
    });
    json!({
        "type": "object",
        "required": ["commands"],
        "properties": { "commands": { "type": "array", "items": form } },
    })
}
