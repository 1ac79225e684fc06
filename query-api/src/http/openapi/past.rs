//! What the document says of the past.

use foldline_service::openapi::{OpenApi, Operation, parameter};
use serde_json::{Value, json};

use super::{HEADERS, ROW_HEADERS, format_parameter, if_none_match, reading};
use crate::api::HistoryResource;
use crate::http::accept::Format;

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

pub(super) fn explain() -> Value {
    let description = "Name the event that last changed each field, in `explained`.";
    parameter(
        "query",
        "explain",
        description,
        json!({ "type": "boolean" }),
        true.into(),
    )
}

/// Citations by JSON pointer.
pub(super) fn explained() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "With `explain=true`: for each field, by its JSON pointer (RFC 6901), the event that last changed it.",
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

pub(super) fn add_difference(document: &mut OpenApi, name: &str, path: &str) {
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
    .takes([at("from"), at("to"), format_parameter(Format::ONE)])
    .fails(FAILURES);
    let operation = reading(operation, body.clone(), &body, Format::ONE, &HEADERS);
    document.add("get", &format!("{path}/{{id}}/diff"), operation);
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
    .takes([at("at"), if_none_match(), format_parameter(Format::ONE)])
    .answers(304, "It is as the client has it.", [], &ROW_HEADERS)
    .fails(FAILURES);
    let operation = reading(operation, body.clone(), &body, Format::ONE, &ROW_HEADERS);
    document.add("get", &format!("{}/{{id}}/state", history.path), operation);
}
