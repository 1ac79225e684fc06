//! The history of one aggregate.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::{AggregateId, Sequence};
use foldline_views::{HistoryEvent, Snapshot, StoreError};
use http::request::Parts;

use super::Resource;
use super::accept::Format;
use super::body::PageLinks;
use super::call::Call;
use super::export::{PAGE, Page, Pages, export};
use super::failure::Failure;
use super::live::{Followed, Step, follow};
use super::sse;
use crate::api::{Api, HistoryResource};
use crate::columns::Column;
use crate::consistency::{Asked, ReadError, Shown};
use crate::known::Seen;
use crate::params::{Extent, only};
use crate::position::{PositionError, Whereabouts};

/// The columns of an event. What its payload has depends on its type: it is JSON.
const COLUMNS: [&str; 16] = [
    "event_id",
    "event_type",
    "aggregate_id",
    "sequence",
    "revision",
    "written_revision",
    "occurred_at",
    "recorded_at",
    "command_id",
    "correlation_id",
    "causation_id",
    "actor",
    "index",
    "count",
    "previous_hash",
    "payload",
];

pub(super) fn columns() -> Vec<Column> {
    COLUMNS.iter().map(|name| Column::new(name)).collect()
}

/// `GET /orders/{id}/events`
pub(super) async fn list(
    State(Resource { api, of: resource }): State<Resource<HistoryResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::FOLLOWED_TABLE)?;
    let page = if call.format == Format::EventStream {
        &["after"][..]
    } else {
        &["after", "limit"]
    };
    only(&call.params, page)?;
    let extent = match call.format {
        Format::Json => Extent::Page,
        _ => Extent::Everything,
    };
    let limit = extent.limit(&call.params)?;
    let wanted = if call.format == Format::Json { limit + 1 } else { 0 };
    let (look, history, token) = look(&api, &resource, &call, &id, wanted).await?;
    match call.format {
        Format::EventStream => follow(&api, &resource.scope, history, &token),
        Format::Json => {
            let mut events = look.events;
            let more = events.len() > limit;
            events.truncate(limit);
            let last = events.last().map(|event| event.sequence.to_string());
            let links = PageLinks::new(&call.path, &call.params, "after", last.filter(|_| more));
            let items: Vec<String> = events.into_iter().map(|event| event.json).collect();
            Ok(links.add_to(call.respond(&token, None, links.body(&items)).await?))
        }
        Format::Ndjson | Format::Csv => {
            let pages = Table { history, left: limit };
            export(&api, call.format, columns(), call.asked, pages).await
        }
    }
}

/// What a request finds.
struct Look {
    cluster: String,
    after: Result<Sequence, PositionError>,
    /// Whether anything has ever happened to the aggregate.
    is_known: bool,
    events: Vec<HistoryEvent>,
}

/// Looks at the history, for so many events from where the client wants to go on.
async fn look(
    api: &Arc<Api>,
    resource: &Arc<HistoryResource>,
    call: &Call,
    id: &str,
    limit: usize,
) -> Result<(Look, History, Seen), Failure> {
    let parsed: Option<AggregateId> = id.parse().ok();
    let (aggregate, wanted) = (resource.aggregate.clone(), parsed.clone());
    let after = call.goes_on().map(|(_, text)| text.to_owned());
    let read = move |snapshot: &dyn Snapshot| match &wanted {
        Some(id) => see(snapshot, &aggregate, id, after.as_deref(), limit).map(Some),
        None => Ok(None),
    };
    let Shown { value, token } = api.consistent.read(&resource.scope, &call.asked, read).await?;
    let (Some(id), Some(mut look)) = (parsed, value) else {
        let path = call.path.clone();
        return Err(Failure::NotFound { path, seen: token });
    };
    api.today(&mut look.events);
    let after = look.after.clone().map_err(|error| call.cannot_go_on(error))?;
    // Who has followed it knows that it is there: the store has only not come that far again.
    let is_followed = call.format == Format::EventStream && after > 0;
    if !look.is_known && !is_followed {
        let path = call.path.clone();
        return Err(Failure::NotFound { path, seen: token });
    }
    let history = History {
        api: Arc::clone(api),
        of: Arc::clone(resource),
        here: Whereabouts::history(&look.cluster, &resource.aggregate, &id),
        cluster: look.cluster.clone(),
        id,
        after,
        partition: None,
    };
    Ok((look, history, token))
}

fn see(
    snapshot: &dyn Snapshot,
    aggregate: &str,
    id: &AggregateId,
    after: Option<&str>,
    limit: usize,
) -> Result<Look, StoreError> {
    let cluster = snapshot.cluster_id()?;
    let after = match after {
        None => Ok(0),
        Some(text) => match text.parse() {
            Ok(sequence) if sequence >= 0 => Ok(sequence),
            _ => Whereabouts::history(&cluster, aggregate, id).read_sequence(text),
        },
    };
    let events = match &after {
        Ok(after) => snapshot.events(aggregate, id, *after, limit)?,
        Err(_) => Vec::new(),
    };
    let is_known = !events.is_empty() || !snapshot.events(aggregate, id, 0, 1)?.is_empty();
    Ok(Look {
        cluster,
        after,
        is_known,
        events,
    })
}

/// The events of one aggregate, from a sequence on.
struct History {
    api: Arc<Api>,
    of: Arc<HistoryResource>,
    id: AggregateId,
    cluster: String,
    here: Whereabouts,
    after: Sequence,
    partition: Option<i32>,
}

impl History {
    /// The next ones; `None` if the store is another cluster's now.
    async fn read(
        &mut self,
        asked: &Asked,
        limit: usize,
    ) -> Result<Shown<Option<Vec<HistoryEvent>>>, ReadError> {
        let (aggregate, id, after) = (self.of.aggregate.clone(), self.id.clone(), self.after);
        let cluster = self.cluster.clone();
        let read = move |snapshot: &dyn Snapshot| {
            if snapshot.cluster_id()? != cluster {
                return Ok(None);
            }
            snapshot.events(&aggregate, &id, after, limit).map(Some)
        };
        let mut shown = self.api.read_for_stream(&self.of.scope, asked, read).await?;
        self.api.today(shown.value.as_deref_mut().unwrap_or_default());
        if let Some(last) = shown.value.as_ref().and_then(|events| events.last()) {
            self.after = last.sequence;
            self.partition = Some(last.partition);
        }
        Ok(shown)
    }
}

impl Followed for History {
    async fn next(&mut self) -> Result<Step, ReadError> {
        let Some(events) = self.read(&Asked::default(), PAGE).await?.value else {
            return Ok(Step::End);
        };
        if events.is_empty() {
            return Ok(Step::Nothing);
        }
        let mut text = String::new();
        for event in events {
            let id = self.here.sequence(event.sequence);
            sse::event(&mut text, &id, Some(&event.event_type), &event.json);
        }
        Ok(Step::Send(text))
    }

    fn partition(&self) -> Option<i32> {
        self.partition
    }
}

/// All of them, or so many.
struct Table {
    history: History,
    left: usize,
}

impl Pages for Table {
    async fn next(&mut self, asked: &Asked) -> Result<Option<Page>, ReadError> {
        let limit = self.left.min(PAGE);
        if limit == 0 {
            return Ok(None);
        }
        let Shown { value, token } = self.history.read(asked, limit).await?;
        let events = value.unwrap_or_default();
        self.left = if events.len() < limit {
            0
        } else {
            self.left - limit
        };
        let rows = events.into_iter().map(|event| event.json).collect();
        Ok(Some(Page { rows, token }))
    }
}
