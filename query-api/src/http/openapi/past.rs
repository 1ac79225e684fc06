//! What the document says of the past.

use foldline_service::openapi::{OpenApi, Operation, parameter};
use serde_json::{Value, json};

use super::{HEADERS, ROW_HEADERS, format_parameter, if_none_match, reading, to_read, to_see};
use crate::api::{HistoryResource, ViewResource};
use crate::http::accept::Format;
use crate::http::access::explained_by;

/// What a moment that has no answer is.
pub(super) const FAILURES: [&str; 4] = [
    "moment-in-the-future",
    "sequence-not-reached",
    "not-there-yet",
    "history-too-long",
];

/// What a moment of a list that has no answer is.
pub(super) const LIST_FAILURES: [&str; 2] = ["moment-in-the-future", "past-being-built"];

/// A parameter that names a moment.
pub(super) fn at(name: &str) -> Value {
    let description = "As it was then: at a sequence of the aggregate (`seq:7`; a list has none), at a time (RFC 3339; what was recorded in \
        that millisecond has happened), or when just what a consistency token has seen had happened.";
    let schema = json!({ "type": "string" });
    parameter("query", name, description, schema, "2025-01-01T12:00:00Z".into())
}

pub(super) fn explain(view: &ViewResource) -> Value {
    let [all, own] = to_see(explained_by(view));
    let description = format!(
        "Name the event that last changed each field, in `explained`. That tells of the history, so it needs `{all}` or \
        `{own}` too; events of other aggregates are left out without theirs."
    );
    let schema = json!({ "type": "boolean" });
    parameter("query", "explain", &description, schema, true.into())
}

/// Citations by JSON pointer.
pub(super) fn explained() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "With `explain=true`: for each field, by its JSON pointer (RFC 6901), the event that last changed it, \
            if the caller may see it.",
        "additionalProperties": {
            "type": "object",
            "required": ["event_type", "event_id", "aggregate", "aggregate_id", "sequence", "log"],
            "properties": {
                "event_type": text("Its type."),
                "event_id": text("Its identity."),
                "aggregate": text("The type of the aggregate that it happened to."),
                "aggregate_id": text("The aggregate."),
                "sequence": { "type": "integer", "minimum": 1, "description": "Its place in the aggregate." },
                "recorded_at": text("When it was decided."),
                "command_id": text("The command that it came from."),
                "actor": { "type": ["string", "null"], "description": "Who sent the command." },
                "correlation_id": text("The conversation."),
                "log": log(),
                "href": { "type": ["string", "null"], "description": "The event in the history." },
            },
        },
    })
}

/// A place in Kafka.
pub(super) fn log() -> Value {
    json!({
        "type": "object",
        "description": "Where it lies in Kafka.",
        "required": ["topic", "partition", "offset"],
        "properties": {
            "topic": { "type": "string" },
            "partition": { "type": "integer", "minimum": 0 },
            "offset": { "type": "integer", "minimum": 0 },
        },
    })
}

pub(super) fn add_difference(document: &mut OpenApi, view: &ViewResource, name: &str) {
    let end = json!({
        "type": ["object", "null"],
        "description": "What was there at this end; null if nothing was.",
        "properties": { "sequence": { "type": "integer" }, "recorded_at": { "type": "string" } },
    });
    let change = json!({
        "type": "object",
        "required": ["op", "path"],
        "properties": {
            "op": { "type": "string", "enum": ["add", "remove", "replace"] },
            "path": { "type": "string", "description": "A JSON pointer, good when the changes before it are made." },
            "before": { "description": "What was there." },
            "after": { "description": "What is there then." },
        },
    });
    let body = json!({
        "type": "object",
        "required": ["from", "to", "changes"],
        "properties": { "from": end, "to": end, "changes": { "type": "array", "items": change } },
    });
    let operation = Operation::new(
        &format!("{name}.diff"),
        name,
        "What is other at one moment than at another.",
    )
    .description("Operations of a JSON Patch (RFC 6902), with what was there before. Without `from`, nothing was; without `to`, it is now.")
    .needs(to_read(view))
    .takes([at("from"), at("to"), format_parameter(Format::ONE)])
    .fails(FAILURES);
    let operation = reading(operation, body.clone(), &body, Format::ONE, &HEADERS);
    document.add("get", &format!("{}/{{id}}/diff", view.info.path), operation);
}

pub(super) fn add_state(document: &mut OpenApi, history: &HistoryResource, tag: &str) {
    let body = json!({
        "type": "object",
        "required": ["aggregate", "aggregate_id", "sequence", "recorded_at", "state"],
        "properties": {
            "aggregate": { "type": "string", "description": "Its type." },
            "aggregate_id": { "type": "string" },
            "sequence": { "type": "integer", "minimum": 1, "description": "How many events it is the fold of." },
            "recorded_at": { "type": "string", "format": "date-time", "description": "When the last one was decided." },
            "state": { "description": "All that its decisions look at." },
            "links": super::links(),
        },
    });
    let operation = Operation::new(
        &format!("{}.state", history.aggregate),
        tag,
        "The state that decisions are taken on.",
    )
    .needs(to_see(&history.aggregate))
    .takes([at("at"), if_none_match(), format_parameter(Format::ONE)])
    .answers(304, "It is as the client has it.", [], &ROW_HEADERS)
    .fails(FAILURES);
    let operation = reading(operation, body.clone(), &body, Format::ONE, &ROW_HEADERS);
    document.add("get", &format!("{}/{{id}}/state", history.path), operation);
}

/// An event with the command behind it, or a refused command.
fn entry(event: &Value) -> Value {
    let command = json!({
        "type": "object",
        "description": "The command behind it.",
        "properties": {
            "id": { "type": "string" },
            "type": { "type": ["string", "null"], "description": "Null for an accepted one without a cause: its events tell." },
            "issued_at": { "type": ["string", "null"] },
            "causation_id": { "type": ["string", "null"], "description": "The message that caused it, if another one did." },
            "log": log(),
        },
    });
    let refusal = json!({
        "type": ["object", "null"],
        "description": "The rule that said no.",
        "properties": { "code": { "type": "string" }, "detail": { "type": "string" } },
    });
    json!({
        "type": "object",
        "description": "An event (see its schema), or a command that was refused.",
        "required": ["entry", "aggregate", "aggregate_id", "sequence", "command", "log"],
        "properties": {
            "entry": { "type": "string", "enum": ["event", "refusal"] },
            "aggregate": { "type": "string" },
            "aggregate_id": { "type": "string" },
            "sequence": { "type": "integer", "description": "Of the event; of the aggregate when it refused." },
            "command": command,
            "refusal": refusal,
            "log": log(),
            "links": super::links(),
            "payload": event["properties"]["payload"],
        },
    })
}

pub(super) fn add_audit(document: &mut OpenApi, history: &HistoryResource, tag: &str, event: &Value) {
    let entry = entry(event);
    let after = parameter(
        "query",
        "after",
        "As it stands in the link `next`.",
        json!({ "type": "string" }),
        "3-12".into(),
    );
    let operation = Operation::new(
        &format!("{}.history", history.aggregate),
        tag,
        "What was asked of one and what became of it: events, with the command behind each, and refusals.",
    )
    .needs(to_see(&history.aggregate))
    .takes([after, super::limit(), format_parameter(Format::TABLE)]);
    let operation = reading(
        operation,
        super::page(&entry),
        &entry,
        Format::TABLE,
        &super::LIST_HEADERS,
    );
    document.add("get", &format!("{}/{{id}}/history", history.path), operation);
}

pub(super) fn add_conversation(document: &mut OpenApi, tag: &str) {
    let command = json!({
        "type": "object",
        "properties": {
            "outcome": { "type": "string", "enum": ["accepted", "refused"] },
            "events": { "type": "array", "items": { "type": "object" }, "description": "What it made." },
            "caused": { "type": "array", "items": { "type": "object" }, "description": "The commands that it caused, likewise." },
        },
    });
    let body = json!({
        "type": "object",
        "required": ["correlation_id", "is_whole", "commands"],
        "properties": {
            "correlation_id": { "type": "string" },
            "is_whole": { "type": "boolean", "description": "Whether it is all of it: at most 1000 commands and 1000 events are shown." },
            "commands": { "type": "array", "items": command },
        },
    });
    let operation = Operation::new(
        "conversation",
        tag,
        "All that belongs to one correlation id, over all aggregates, as a tree of what caused what.",
    )
    .takes([format_parameter(Format::ONE)]);
    let operation = reading(operation, body.clone(), &body, Format::ONE, &HEADERS);
    document.add("get", crate::http::conversation::PATH, operation);
}
