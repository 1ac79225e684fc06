//! Where what is told lies in Kafka, and how an event is named as the reason for something.

use foldline_views::HistoryEvent;
use serde_json::{Value, json};

use crate::api::Api;

/// The place of an event.
pub(super) fn place(api: &Api, event: &HistoryEvent) -> Value {
    json!({
        "topic": api.topic(&event.aggregate, "events"),
        "partition": event.partition,
        "offset": event.offset,
    })
}

/// An event, as what a field was changed by.
pub(super) fn cited(api: &Api, event: &HistoryEvent) -> Value {
    let path = api.path_of(&event.aggregate);
    let href = path.map(|path| format!("{path}/{}/events?after={}&limit=1", event.id, event.sequence - 1));
    json!({
        "event_type": event.event_type,
        "event_id": event.event_id,
        "aggregate": event.aggregate,
        "aggregate_id": event.id,
        "sequence": event.sequence,
        "recorded_at": event.recorded_at.to_string(),
        "command_id": event.command_id,
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "log": place(api, event),
        "href": href,
    })
}
