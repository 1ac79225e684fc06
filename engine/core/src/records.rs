//! The fields that every record of a kind has, with their documentation: as `envelope` has them in Rust.

use serde_json::{Value, json};

use crate::{AggregateInfo, RecordCodec};

/// A metadata field of a record.
pub(crate) fn field(name: &str, avro: Value, doc: &str) -> Value {
    let mut field = json!({ "name": name, "type": avro, "doc": doc });
    if avro_is_nullable(&field["type"]) {
        field["default"] = Value::Null;
    }
    field
}

fn defaulted(name: &str, avro: &str, default: Value, doc: &str) -> Value {
    json!({ "name": name, "type": avro, "default": default, "doc": doc })
}

fn avro_is_nullable(avro: &Value) -> bool {
    avro.is_array()
}

pub(crate) fn time() -> Value {
    json!({ "type": "long", "logicalType": "timestamp-millis" })
}

pub(crate) fn optional(avro: &str) -> Value {
    json!(["null", avro])
}

/// As [`CommandMeta`](crate::CommandMeta) has them.
pub(crate) fn command_fields() -> Vec<Value> {
    vec![
        field(
            "command_id",
            json!("string"),
            "The command's identity, a UUID. Sent twice, it is decided once and answered the same.",
        ),
        field(
            "command_type",
            json!("string"),
            "The name of the one payload that is set.",
        ),
        field(
            "aggregate_id",
            json!("string"),
            "The aggregate that is to decide. The same as the record's key.",
        ),
        field("issued_at", time(), "When it was issued, by its sender's clock."),
        field(
            "correlation_id",
            optional("string"),
            "The conversation that it belongs to. Without one, the command's own id.",
        ),
        field(
            "causation_id",
            optional("string"),
            "The message that caused it, if another one did.",
        ),
        field("actor", optional("string"), "Who sends it."),
        field(
            "expected_sequence",
            optional("long"),
            "The sequence that the aggregate must be at, or the command is refused.",
        ),
        field(
            "consistency_token",
            optional("string"),
            "What its sender has seen: it is not decided on older states.",
        ),
        defaulted(
            "dry_run",
            "boolean",
            json!(false),
            "Whether only to say what would become of it: no event is recorded.",
        ),
    ]
}

/// As [`EventMeta`](crate::EventMeta) has them.
pub(crate) fn event_fields() -> Vec<Value> {
    vec![
        field("event_id", json!("string"), "The event's identity, a UUID."),
        field(
            "event_type",
            json!("string"),
            "The name of the one payload that is set.",
        ),
        field(
            "aggregate_id",
            json!("string"),
            "The aggregate that it happened to. The same as the record's key.",
        ),
        field(
            "sequence",
            json!("long"),
            "The event's place in its aggregate, from 1, without gap. Order by this, never by time.",
        ),
        field(
            "revision",
            json!("int"),
            "The revision of the payload's schema, from 1.",
        ),
        field(
            "occurred_at",
            time(),
            "When the command was issued, by its sender's clock.",
        ),
        field(
            "recorded_at",
            time(),
            "When the event was decided, by the command handler's clock.",
        ),
        field("command_id", json!("string"), "The command that it came from."),
        field(
            "correlation_id",
            json!("string"),
            "The conversation that it belongs to.",
        ),
        field(
            "causation_id",
            json!("string"),
            "The message that caused it: the id of its command.",
        ),
        field("actor", optional("string"), "Who sent the command."),
        field(
            "index",
            json!("int"),
            "Its place among the events of its command, from 0.",
        ),
        field("count", json!("int"), "How many events its command made."),
        field(
            "command_offset",
            json!("long"),
            "Where its command lies: this offset, in the partition of the same number of the command topic.",
        ),
        field(
            "previous_hash",
            optional("string"),
            "SHA-256, in lower-case hex, of the value (all bytes) of the event before it in its aggregate. Null for the \
                first one, and in events that were written before there was this field.",
        ),
    ]
}

/// Reads and writes the result records of an aggregate type.
pub fn result_codec(info: &AggregateInfo) -> RecordCodec {
    let namespace = format!("{}.{}", info.domain, info.name.replace('-', "_"));
    let event = json!({ "type": "record", "name": "RecordedEvent", "doc": "An event, as a result names it.", "fields": [
        field("event_id", json!("string"), "The event's identity."),
        field("event_type", json!("string"), "Its type."),
        field("sequence", json!("long"), "Its place in the aggregate."),
    ]});
    let refusal = json!({ "type": "record", "name": "Refusal", "doc": "Why a command was refused.", "fields": [
        field("code", json!("string"), "Names the rule, for ever."),
        field("kind", json!("string"), "state, value, malformed, unknown-reference, unknown-aggregate, sequence, command-id or failed."),
        field("detail", json!("string"), "For a person."),
        field("field", optional("string"), "The field of the command that is to blame."),
        defaulted("step", "int", json!(0), "Which of several commands that were to be decided as one, from 0."),
    ]});
    let fields = vec![
        field("command_id", json!("string"), "The command."),
        field("command_type", json!("string"), "Its type."),
        field(
            "aggregate_id",
            json!("string"),
            "The aggregate that decided. The same as the record's key.",
        ),
        field("outcome", json!("string"), "accepted or refused."),
        field(
            "sequence",
            json!("long"),
            "The aggregate's sequence after the decision.",
        ),
        field(
            "events",
            json!({ "type": "array", "items": event }),
            "The events that it made, in order.",
        ),
        field(
            "refusal",
            json!(["null", refusal]),
            "Set if and only if it was refused.",
        ),
        field(
            "decided_at",
            time(),
            "When it was decided, by the command handler's clock.",
        ),
        field(
            "correlation_id",
            json!("string"),
            "The conversation that the command belongs to.",
        ),
        field(
            "command_offset",
            json!("long"),
            "Where the command lies: this offset, in the partition of the same number of the command topic.",
        ),
        field(
            "fingerprint",
            json!("string"),
            "A hash of what was asked: another command under the same id is told apart.",
        ),
        field(
            "replayed",
            json!("boolean"),
            "Whether it repeats the answer that was given before.",
        ),
        field(
            "consistency_token",
            json!("string"),
            "Send it with a read or a command that must not be answered from before this outcome.",
        ),
        defaulted(
            "dry_run",
            "boolean",
            json!(false),
            "Whether it only says what would have become of the command.",
        ),
        field(
            "last_event_hash",
            optional("string"),
            "SHA-256, in lower-case hex, of the value (all bytes) of the last event that it made. Null if it made none.",
        ),
        field("actor", optional("string"), "Who sent the command."),
        field(
            "causation_id",
            optional("string"),
            "The message that caused the command, if another one did.",
        ),
        field(
            "issued_at",
            json!(["null", time()]),
            "When the command was issued, by its sender's clock. Null in results that were written before there was \
                this field.",
        ),
    ];
    RecordCodec::new(
        &namespace,
        "CommandResult",
        "What became of a command.",
        ("CommandResult", fields),
        &[],
    )
    .expect("a record without payload has no variant that could be wrong")
}
