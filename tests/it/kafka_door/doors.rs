//! The two ways in, and what comes out of both.

use std::collections::HashMap;

use foldline_core::Outcome;
use foldline_tests::client::Client;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::system::System;
use serde_json::Value;
use uuid::Uuid;

/// The restaurant's aggregate types, each with its path.
const TYPES: [(&str, &str); 3] = [
    ("menu", "/menu/items"),
    ("customers", "/customers"),
    ("orders", "/orders"),
];

/// Both ways to each aggregate type of the restaurant.
pub struct Doors {
    write: Client,
    upstreams: HashMap<&'static str, Upstream>,
}

/// An outcome, as far as it is the same on both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The command's type.
    pub command: String,
    /// The types of the events, or the code of the refusal.
    pub outcome: Vec<String>,
    /// The field to blame.
    pub field: Option<String>,
    /// The sequence afterwards.
    pub sequence: i64,
}

impl Seen {
    /// `AddMenuItem -> MenuItemAdded @1`.
    pub fn words(&self) -> String {
        format!(
            "{} -> {} @{}",
            self.command,
            self.outcome.join(", "),
            self.sequence
        )
    }
}

impl Doors {
    pub async fn open(system: &System) -> Self {
        let mut upstreams = HashMap::new();
        for (name, _) in TYPES {
            let upstream = Upstream::to(&system.kafka, &format!("restaurant.{name}")).await;
            upstreams.insert(name, upstream);
        }
        Self {
            write: system.write(),
            upstreams,
        }
    }

    /// Sends a command through a door, `http` or any other word for Kafka.
    pub async fn send(&self, door: &str, name: &str, id: &str, body: &Value) -> Seen {
        if door == "http" {
            self.over_http(name, id, body).await
        } else {
            self.over_kafka(name, id, body).await
        }
    }

    async fn over_http(&self, name: &str, id: &str, body: &Value) -> Seen {
        let (_, path) = TYPES.iter().find(|(known, _)| *known == name).expect("a type");
        let answer = self.write.post(&format!("{path}/{id}/commands"), body).await;
        let outcome = match answer.status {
            200 | 201 => {
                let events = answer.body["events"].as_array().expect("events").iter();
                events
                    .map(|event| event["event_type"].as_str().expect("a type").to_owned())
                    .collect()
            }
            _ => vec![answer.text("/code").to_owned()],
        };
        let pointer = answer.body.pointer("/errors/0/pointer").and_then(Value::as_str);
        Seen {
            command: answer.text("/command_type").to_owned(),
            outcome,
            field: pointer.map(|pointer| pointer.trim_start_matches('/').to_owned()),
            sequence: answer.body["sequence"].as_i64().expect("a sequence"),
        }
    }

    async fn over_kafka(&self, name: &str, id: &str, body: &Value) -> Seen {
        let upstream = &self.upstreams[name];
        let command_id = Uuid::now_v7();
        let result = upstream.ask(meta(id, command_id), &upstream.command(body)).await;
        assert_eq!(result.command_id, command_id);
        assert_eq!(result.aggregate_id.as_str(), id);
        let (outcome, field) = match result.decided() {
            Outcome::Accepted(events) => (events.into_iter().map(|event| event.event_type).collect(), None),
            Outcome::Refused(refusal) => (vec![refusal.code], refusal.field),
        };
        Seen {
            command: result.command_type,
            outcome,
            field,
            sequence: result.sequence,
        }
    }
}
