//! The topics as an AsyncAPI 3.1 document: what is on each, under which key, with which schema.

use serde_json::{Map, Value, json};

use crate::{AggregateInfo, AggregateType, Domains, RecordCodec, result_codec, snapshot_codec};

/// The file that it is kept in, below `schemas/`.
pub const ASYNC_API_FILE: &str = "asyncapi.json";

/// How schemas are written in it.
const AVRO: &str = "application/vnd.apache.avro;version=1.9.0";
const BINDING: &str = "0.5.0";

/// The document for topics whose names begin with `prefix`.
pub fn async_api(domains: &Domains, prefix: &str) -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for aggregate in domains.aggregates() {
        for topic in topics(aggregate.as_ref()) {
            let name = format!("{}.{}", aggregate.info().qualified_name(), topic.kind);
            // What names a thing here is part of a path, so it has no dots.
            let key = name.replace('.', "_");
            let message = json!({ "$ref": format!("#/components/messages/{key}") });
            channels.insert(key.clone(), topic.channel(&format!("{prefix}{name}"), &message));
            operations.insert(key.clone(), topic.operation(&key));
            messages.insert(key, topic.message());
        }
    }
    json!({
        "asyncapi": "3.1.0",
        "info": {
            "title": "Foldline topics",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/vnd.confluent.avro",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}

/// The document as it stands in its file, for topics without prefix.
pub fn async_api_text(domains: &Domains) -> String {
    format!("{:#}\n", async_api(domains, ""))
}

const DESCRIPTION: &str = "Commands in, events and results out. Values are Avro in the Confluent wire format (a zero \
    byte, the schema's id in 4 bytes, the record); the schema is registered under `<topic>-value`. Keys are the ids of \
    aggregates, as UTF-8. Read with `isolation.level=read_committed`, and order an aggregate's events by `sequence`.";

/// One of an aggregate type's topics.
struct Topic {
    kind: &'static str,
    title: String,
    description: &'static str,
    /// Whether the application reads it.
    is_read: bool,
    /// `None` for bytes as they came.
    schema: Option<Value>,
    /// Those that every record has. A reader may fail without one, so what only some have is not among them.
    headers: &'static [Header],
    /// Those that a record may have.
    optional_headers: &'static [Header],
    cleanup: Cleanup,
}

/// Which records go, and when.
#[derive(PartialEq)]
enum Cleanup {
    /// After a time that the operator chooses.
    Delete,
    /// None ever.
    Never,
    /// Those that have a newer one with the same key.
    Compact,
}

/// A name, and what its value says.
type Header = (&'static str, &'static str);

const TRACE: Header = (
    "traceparent",
    "The trace that the command came with (W3C), if it had one.",
);
const EVENT_HEADERS: [Header; 8] = [
    ("ce_specversion", "CloudEvents, binary mode: 1.0."),
    ("ce_id", "The event's identity."),
    ("ce_source", "The aggregate type, as a path."),
    ("ce_type", "The event's type."),
    ("ce_subject", "The aggregate's id."),
    ("ce_time", "When it was recorded, RFC 3339."),
    ("ce_correlationid", "The conversation."),
    ("content-type", "application/vnd.confluent.avro"),
];
/// Results that were written before there were the first two have neither.
const RESULT_HEADERS: [Header; 3] = [
    ("foldline_outcome", "Accepted or refused, as the record says."),
    (
        "foldline_causation",
        "What caused the command, as the record says, if something did.",
    ),
    TRACE,
];
const DEAD_LETTER_HEADERS: [Header; 5] = [
    ("__foldline.errors.topic", "Where it was found."),
    ("__foldline.errors.partition", "In which partition."),
    ("__foldline.errors.offset", "At which offset."),
    ("__foldline.errors.stage", "What could not be done: decode."),
    ("__foldline.errors.reason", "Why."),
];
const DEAD_LETTER_OPTIONAL_HEADERS: [Header; 2] = [
    (
        "__foldline.errors.command_id",
        "The command's id, if so much could be read.",
    ),
    (
        "__foldline.errors.left_out",
        "Of a record that has no room here: which of its value, headers and key are missing.",
    ),
];

fn topics(aggregate: &dyn AggregateType) -> [Topic; 5] {
    let info = aggregate.info();
    let schema = |codec: &RecordCodec| Some(codec.schema().clone());
    let title = |what: &str, info: &AggregateInfo| format!("{what} of {}", info.qualified_name());
    [
        Topic {
            kind: "commands",
            title: title("A command", info),
            description: "What is asked of aggregates, by the HTTP API and by producers. `command_id` is its identity: \
                sent twice, it is decided once and answered the same.",
            is_read: true,
            schema: schema(aggregate.command_codec()),
            headers: &[],
            optional_headers: &[TRACE],
            cleanup: Cleanup::Delete,
        },
        Topic {
            kind: "events",
            title: title("An event", info),
            description: "What has happened to aggregates, for ever: the truth. Exactly one payload is set, the one \
                that `event_type` names.",
            is_read: false,
            schema: schema(aggregate.event_codec()),
            headers: &EVENT_HEADERS,
            optional_headers: &[TRACE],
            cleanup: Cleanup::Never,
        },
        Topic {
            kind: "results",
            title: title("The outcome of a command", info),
            description: "What became of each command: the events that it made, or why it was refused.",
            is_read: false,
            schema: schema(&result_codec(info)),
            headers: &[],
            optional_headers: &RESULT_HEADERS,
            cleanup: Cleanup::Never,
        },
        Topic {
            kind: "snapshots",
            title: title("A snapshot", info),
            description: "States of aggregates, from which a command handler without local disk begins; and up to where \
                they are complete. Compacted: of each key, the newest record counts.",
            is_read: false,
            schema: schema(&snapshot_codec(info)),
            headers: &[],
            optional_headers: &[],
            cleanup: Cleanup::Compact,
        },
        Topic {
            kind: "commands.dlt",
            title: title("A record that is no command", info),
            description: "Records of the command topic that cannot be read as commands: key, value and headers as they \
                came, and why.",
            is_read: false,
            schema: None,
            headers: &DEAD_LETTER_HEADERS,
            optional_headers: &DEAD_LETTER_OPTIONAL_HEADERS,
            cleanup: Cleanup::Delete,
        },
    ]
}

impl Topic {
    fn channel(&self, topic: &str, message: &Value) -> Value {
        let policy = match self.cleanup {
            Cleanup::Delete | Cleanup::Never => "delete",
            Cleanup::Compact => "compact",
        };
        let mut config = json!({ "cleanup.policy": [policy] });
        if self.cleanup == Cleanup::Never {
            config["retention.ms"] = (-1).into();
            config["retention.bytes"] = (-1).into();
        }
        json!({
            "address": topic,
            "title": topic,
            "description": self.description,
            "messages": { "record": message },
            "bindings": { "kafka": { "topic": topic, "topicConfiguration": config, "bindingVersion": BINDING } },
        })
    }

    fn operation(&self, channel: &str) -> Value {
        let (action, verb) = if self.is_read {
            ("receive", "Reads")
        } else {
            ("send", "Writes")
        };
        json!({
            "action": action,
            "title": format!("{verb} {}", channel.replace('_', ".")),
            "summary": self.title,
            "channel": { "$ref": format!("#/channels/{channel}") },
            "messages": [{ "$ref": format!("#/channels/{channel}/messages/record") }],
        })
    }

    fn headers_schema(&self) -> Value {
        let all = self.headers.iter().chain(self.optional_headers);
        let all = all.map(|(name, description)| {
            (
                (*name).to_owned(),
                json!({ "type": "string", "description": description }),
            )
        });
        let mut schema = json!({ "type": "object", "properties": all.collect::<Map<_, _>>() });
        if !self.headers.is_empty() {
            let names = self.headers.iter().map(|(name, _)| *name);
            schema["required"] = names.collect::<Vec<_>>().into();
        }
        schema
    }

    fn message(&self) -> Value {
        let headers = self.headers_schema();
        let key = json!({ "type": "string", "description": "The aggregate's id." });
        let mut kafka = json!({ "key": key, "bindingVersion": BINDING });
        let mut message = json!({
            "name": self.kind,
            "title": self.title,
            "summary": self.description,
            "headers": headers,
        });
        if let Some(schema) = &self.schema {
            kafka["schemaIdLocation"] = "payload".into();
            kafka["schemaIdPayloadEncoding"] = "confluent".into();
            kafka["schemaLookupStrategy"] = "TopicNameStrategy".into();
            message["contentType"] = "application/vnd.confluent.avro".into();
            message["payload"] = json!({ "schemaFormat": AVRO, "schema": schema });
        } else {
            message["contentType"] = "application/octet-stream".into();
        }
        message["bindings"] = json!({ "kafka": kafka });
        message
    }
}

#[cfg(test)]
mod tests {
    use super::{async_api, topics};
    use crate::{Claim, Domain, Domains};

    #[test]
    fn every_topic_is_a_channel_with_the_schema_of_its_code() {
        let domains = Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap();
        let document = async_api(&domains, "t1-");
        let channels = document["channels"].as_object().unwrap();
        let names: Vec<&str> = channels
            .values()
            .map(|channel| channel["address"].as_str().unwrap())
            .collect();
        let claims = "t1-test.claims";
        let expected = ["commands", "events", "results", "snapshots", "commands.dlt"]
            .map(|kind| format!("{claims}.{kind}"));
        assert_eq!(names, expected);
        let claims = &domains.aggregates()[0];
        for topic in topics(claims.as_ref()) {
            let key = format!("test_claims_{}", topic.kind.replace('.', "_"));
            let message = &document["components"]["messages"][&key];
            assert_eq!(message["payload"].get("schema"), topic.schema.as_ref(), "{key}");
        }
        let events = &document["components"]["messages"]["test_claims_events"];
        assert_eq!(events["payload"]["schema"], *claims.event_codec().schema());
    }

    #[test]
    fn a_header_that_only_some_records_have_is_told_and_not_required() {
        let domains = Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap();
        let document = async_api(&domains, "");
        for (topic, required, optional) in [
            ("events", "ce_id", "traceparent"),
            (
                "commands_dlt",
                "__foldline.errors.reason",
                "__foldline.errors.command_id",
            ),
            (
                "commands_dlt",
                "__foldline.errors.topic",
                "__foldline.errors.left_out",
            ),
        ] {
            let headers = &document["components"]["messages"][format!("test_claims_{topic}")]["headers"];
            let names = headers["required"].as_array().unwrap();
            assert!(names.contains(&required.into()), "{topic}: {headers}");
            assert!(!names.contains(&optional.into()), "{topic}: {headers}");
            for name in [required, optional] {
                assert!(headers["properties"][name].is_object(), "{topic}: {headers}");
            }
        }
    }
}
