use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::AggregateId;
use foldline_views::{HistoryEvent, Snapshot, StoreError};
use http::request::Parts;

use super::Resource;
use super::body::PageLinks;
use super::call::Call;
use super::failure::Failure;
use crate::api::HistoryResource;
use crate::consistency::Shown;
use crate::params::{BadParameter, Params, after_of, limit_default, limit_of, unknown};

/// `GET /orders/{id}/events`
pub(super) async fn list(
    State(Resource { api, of: history }): State<Resource<HistoryResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts)?;
    let (after, limit) = page_of(&call.params)?;
    let id: Option<AggregateId> = id.parse().ok();
    let aggregate = history.aggregate.clone();
    let read = move |snapshot: &dyn Snapshot| match &id {
        Some(id) => page(snapshot, &aggregate, id, after, limit),
        None => Ok(None),
    };
    let Shown { value, token } = api.consistent.read(&history.scope, &call.asked, read).await?;
    let Some(mut events) = value else {
        let path = call.path;
        return Err(Failure::NotFound { path, seen: token });
    };

    let more = events.len() > limit;
    events.truncate(limit);
    let last = events.last().map(|event| event.sequence.to_string());
    let links = PageLinks::new(&call.path, &call.params, "after", last.filter(|_| more));
    let items: Vec<String> = events.into_iter().map(|event| event.json).collect();
    Ok(links.add_to(call.respond(&token, None, links.body(&items))))
}

/// The sequence that the page begins after, and how many events it has at most.
fn page_of(params: &Params) -> Result<(i64, usize), BadParameter> {
    let (mut after, mut limit) = (0, limit_default());
    for (name, value) in params {
        match name.as_str() {
            "after" => after = after_of(value)?,
            "limit" => limit = limit_of(value)?,
            _ => {
                let allowed = ["after", "limit", "consistency_token"].map(str::to_owned);
                return Err(unknown(name, allowed.into()));
            }
        }
    }
    Ok((after, limit))
}

/// The page's events and one more, if there is one. `None` if nothing has ever happened to the aggregate.
fn page(
    snapshot: &dyn Snapshot,
    aggregate: &str,
    id: &AggregateId,
    after: i64,
    limit: usize,
) -> Result<Option<Vec<HistoryEvent>>, StoreError> {
    let events = snapshot.events(aggregate, id, after, limit + 1)?;
    let is_known = !events.is_empty() || !snapshot.events(aggregate, id, 0, 1)?.is_empty();
    Ok(is_known.then_some(events))
}
