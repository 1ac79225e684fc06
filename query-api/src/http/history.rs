//! What was asked of one aggregate and what became of it: its events with the command behind each, and what was refused.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::{AggregateId, Sequence};
use foldline_views::{HistoryCommand, HistoryEvent, Snapshot, StoreError};
use http::request::Parts;
use serde_json::{Value, json};

use super::Resource;
use super::accept::Format;
use super::body::PageLinks;
use super::call::Call;
use super::export::{PAGE, Page, Pages, export};
use super::failure::Failure;
use super::log;
use crate::api::{Api, HistoryResource};
use crate::columns::Column;
use crate::consistency::{Asked, ReadError, Shown};
use crate::params::{Extent, bad, only};

/// Columns of an entry as a line of a table; what is deeper is JSON.
const COLUMNS: [&str; 20] = [
    "entry",
    "aggregate",
    "aggregate_id",
    "sequence",
    "event_type",
    "event_id",
    "recorded_at",
    "actor",
    "correlation_id",
    "command.id",
    "command.type",
    "command.issued_at",
    "command.causation_id",
    "command.log.offset",
    "refusal.code",
    "refusal.detail",
    "log.topic",
    "log.partition",
    "log.offset",
    "payload",
];

/// A place in a history: behind this event, and behind this command. As text: `7-12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    sequence: Sequence,
    command_offset: i64,
}

const BEGIN: Place = Place {
    sequence: 0,
    command_offset: -1,
};

impl Place {
    fn read(text: &str) -> Option<Self> {
        let (sequence, next) = text.split_once('-')?;
        let number = |text: &str| text.parse::<i64>().ok().filter(|found| *found >= 0);
        Some(Self {
            sequence: number(sequence)?,
            command_offset: number(next)?.checked_sub(1)?,
        })
    }

    fn text(self) -> String {
        format!("{}-{}", self.sequence, self.command_offset.saturating_add(1))
    }
}

/// One who reads on.
#[derive(Clone)]
struct Reading {
    api: Arc<Api>,
    of: Arc<HistoryResource>,
    id: AggregateId,
    place: Place,
}

/// Some entries.
struct Entries {
    entries: Vec<String>,
    next: Place,
    more: bool,
    is_known: bool,
}

/// `GET /orders/{id}/history`
pub(super) async fn list(
    State(Resource { api, of }): State<Resource<HistoryResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::TABLE)?;
    only(&call.params, &["after", "limit"])?;
    let extent = match call.format {
        Format::Json => Extent::Page,
        _ => Extent::Everything,
    };
    let limit = extent.limit(&call.params)?;
    let place = match call.value("after") {
        None => BEGIN,
        Some(text) => Place::read(text).ok_or_else(|| {
            let detail = "not a place in a history; follow the link next as it came".to_owned();
            bad("after", detail, Vec::new())
        })?,
    };
    let Ok(id) = id.parse() else {
        let path = call.path.clone();
        return Err(Failure::NoId { path });
    };
    let reading = Reading { api, of, id, place };
    let first = reading.clone();
    let wanted = if call.format == Format::Json { limit } else { 1 };
    let read = move |snapshot: &dyn Snapshot| first.read(snapshot, wanted);
    let shown = reading
        .api
        .consistent
        .read(&reading.of.scope, &call.asked, read)
        .await?;
    let Shown { value: page, token } = shown;
    if !page.is_known {
        let path = call.path.clone();
        return Err(Failure::NotFound { path, seen: token });
    }
    if call.format != Format::Json {
        let api = Arc::clone(&reading.api);
        let table = Table { reading, left: limit };
        let columns = COLUMNS.iter().map(|name| Column::new(name)).collect();
        return export(&api, call.format, columns, call.asked, table).await;
    }
    let next = page.more.then(|| page.next.text());
    let links = PageLinks::new(&call.path, &call.params, "after", next);
    Ok(links.add_to(call.respond(&token, None, links.body(&page.entries)).await?))
}

impl Reading {
    /// The next entries, by the offsets of their commands: that is the order in which they were decided.
    fn read(&self, snapshot: &dyn Snapshot, limit: usize) -> Result<Entries, StoreError> {
        let (aggregate, mut next) = (&self.of.aggregate, self.place);
        let wanted = limit.saturating_add(1);
        let events = snapshot.events(aggregate, &self.id, next.sequence, wanted)?;
        let refused = snapshot.refusals(aggregate, &self.id, next.command_offset, wanted)?;
        let is_known = !events.is_empty()
            || !refused.is_empty()
            || self.place != BEGIN
            || !snapshot.commands(aggregate, &self.id, -1, 1)?.is_empty();
        let mut refused = refused.iter().peekable();
        let mut events = events.into_iter().peekable();
        let mut entries = Vec::new();
        while entries.len() < limit {
            let is_refused = match (refused.peek(), events.peek()) {
                (None, None) => break,
                (Some(command), Some(event)) => command.command_offset < event.command_offset,
                (command, _) => command.is_some(),
            };
            if is_refused {
                let Some(command) = refused.next() else { break };
                entries.push(refusal(&self.api, command).to_string());
                next.command_offset = next.command_offset.max(command.command_offset);
            } else {
                let Some(event) = events.next() else { break };
                let asked = snapshot.commands(aggregate, &self.id, event.command_offset - 1, 1)?;
                let asked = asked
                    .first()
                    .filter(|command| command.command_id == event.command_id);
                entries.push(happened(&self.api, &event, asked).to_string());
                next.sequence = event.sequence;
            }
        }
        let more = refused.peek().is_some() || events.peek().is_some();
        Ok(Entries {
            entries,
            next,
            more,
            is_known,
        })
    }
}

/// All of them, or so many.
struct Table {
    reading: Reading,
    left: usize,
}

impl Pages for Table {
    async fn next(&mut self, asked: &Asked) -> Result<Option<Page>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        let (reading, limit) = (self.reading.clone(), self.left.min(PAGE));
        let read = move |snapshot: &dyn Snapshot| reading.read(snapshot, limit);
        let api = Arc::clone(&self.reading.api);
        let Shown { value: page, token } = api.read_for_stream(&self.reading.of.scope, asked, read).await?;
        self.reading.place = page.next;
        self.left = if page.more {
            self.left - page.entries.len()
        } else {
            0
        };
        Ok(Some(Page {
            rows: page.entries,
            token,
        }))
    }
}

/// An event, as an entry: as it is told elsewhere too, with its place and the command behind it.
pub(super) fn happened(api: &Api, event: &HistoryEvent, asked: Option<&HistoryCommand>) -> Value {
    let told: Value = serde_json::from_str(&event.json).unwrap_or_default();
    let mut entry = json!({ "entry": "event", "aggregate": event.aggregate });
    if let (Value::Object(entry), Value::Object(told)) = (&mut entry, told) {
        entry.extend(told);
    }
    entry["log"] = log::place(api, event);
    entry["command"] = json!({
        "id": event.command_id,
        "type": asked.map(|command| &command.command_type),
        "issued_at": event.occurred_at.to_string(),
        "causation_id": asked.and_then(|command| command.causation_id.as_ref()),
        "log": {
            "topic": api.topic(&event.aggregate, "commands"),
            "partition": event.partition,
            "offset": event.command_offset,
        },
    });
    entry["links"] = links(api, &event.command_id.to_string(), &event.correlation_id);
    entry
}

/// A refused command, as an entry.
pub(super) fn refusal(api: &Api, command: &HistoryCommand) -> Value {
    let refusal = command
        .refusal
        .as_deref()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "entry": "refusal",
        "aggregate": command.aggregate,
        "aggregate_id": command.id,
        "sequence": command.sequence,
        "recorded_at": command.decided_at.to_string(),
        "actor": command.actor,
        "correlation_id": command.correlation_id,
        "refusal": refusal,
        "log": {
            "topic": api.topic(&command.aggregate, "results"),
            "partition": command.partition,
            "offset": command.offset,
        },
        "command": {
            "id": command.command_id,
            "type": command.command_type,
            "issued_at": command.issued_at.map(|time| time.to_string()),
            "causation_id": command.causation_id,
            "log": {
                "topic": api.topic(&command.aggregate, "commands"),
                "partition": command.partition,
                "offset": command.command_offset,
            },
        },
        "links": links(api, &command.command_id.to_string(), &command.correlation_id),
    })
}

fn links(api: &Api, command_id: &str, correlation_id: &str) -> Value {
    json!({
        "command": format!("{}/commands/{command_id}", api.command_api),
        "correlation": super::conversation::link(correlation_id),
    })
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, Place};

    #[test]
    fn a_place_is_read_back_from_its_text() {
        let other = Place {
            sequence: 7,
            command_offset: 12,
        };
        for place in [BEGIN, other] {
            assert_eq!(Place::read(&place.text()), Some(place));
        }
        for bad in ["", "7", "7-", "-", "a-b", "1-2-3"] {
            assert_eq!(Place::read(bad), None, "{bad}");
        }
    }
}
