//! What was: a row, a state, or what has become of a row between two moments.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::AggregateId;
use foldline_views::{Row, Snapshot};
use http::request::Parts;
use serde_json::{Map, Value, json};

use super::Resource;
use super::accept::Format;
use super::access::Sight;
use super::call::Call;
use super::failure::Failure;
use super::log;
use crate::api::{Api, HistoryResource, ViewResource};
use crate::consistency::{Asked, Scope, Shown};
use crate::known::Seen;
use crate::params::only;
use crate::past::{At, PastError, RowThen, StateThen, diff, explain, row_at, state_at};

/// Reads from the history, when it has seen what the client and the moments have.
pub(super) async fn read<T: Send + 'static>(
    api: &Arc<Api>,
    scope: &Scope,
    call: &Call,
    moments: &[&Option<At>],
    fold: impl Fn(&dyn Snapshot) -> Result<T, PastError> + Clone + Send + 'static,
) -> Result<(Result<T, PastError>, Seen), Failure> {
    let tokens = moments.iter().filter_map(|at| at.as_ref()?.token());
    let mut asked: Asked = call.asked.clone();
    asked.tokens.extend(tokens.map(str::to_owned));
    let folded = move |snapshot: &dyn Snapshot| Ok(fold(snapshot));
    let Shown { value, token } = api.consistent.read(scope, &asked, folded).await?;
    Ok((value, token))
}

/// The row with this id, as it was at a moment.
pub(super) async fn find(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: &Call,
    id: &str,
    at: At,
) -> Result<(Row, Seen), Failure> {
    let id = id_of(call, id)?;
    let (of, at) = (Arc::clone(view), Some(at));
    let asked = at.clone();
    let fold = move |snapshot: &dyn Snapshot| row_at(snapshot, &of.past, &id, asked.as_ref(), |_, _| {});
    let (found, seen) = read(api, &view.past_scope, call, &[&at], fold).await?;
    match found {
        Ok(RowThen { row, .. }) => Ok((row, seen)),
        Err(error) => Err(Failure::past(call, "at", error, seen)),
    }
}

/// The row, and for each of its fields the event that last changed it, as JSON, as far as the caller may see that.
pub(super) async fn explained(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: &Call,
    id: &str,
    at: Option<At>,
) -> Result<(Row, Value, Seen), Failure> {
    let id = id_of(call, id)?;
    let (of, with, asked) = (Arc::clone(view), Arc::clone(api), at.clone());
    let sight = Sight::new(api, &call.caller);
    let fold = move |snapshot: &dyn Snapshot| -> Result<(Row, Value), PastError> {
        let (then, citations) = explain(snapshot, &of.past, &id, asked.as_ref())?;
        let mut owners = sight.owners(snapshot);
        let citations = owners.only_seen(citations, |(_, event)| (&event.aggregate, &event.id))?;
        let fields = citations
            .into_iter()
            .map(|(path, event)| (path, log::cited(&with, &event)));
        Ok((then.row, Value::Object(fields.collect())))
    };
    let (found, seen) = read(api, &view.past_scope, call, &[&at], fold).await?;
    match found {
        Ok((row, fields)) => Ok((row, fields, seen)),
        Err(error) => Err(Failure::past(call, "at", error, seen)),
    }
}

/// `GET /orders/{id}/state`
pub(super) async fn state(
    State(Resource { api, of: history }): State<Resource<HistoryResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::ONE)?;
    only(&call.params, &["at"])?;
    let at = call.moment("at")?;
    let id = id_of(&call, &id)?;
    let (of, wanted, asked) = (Arc::clone(&history), id.clone(), at.clone());
    let fold = move |snapshot: &dyn Snapshot| state_at(snapshot, &*of.kind, &wanted, asked.as_ref());
    let (found, seen) = read(&api, &history.scope, &call, &[&at], fold).await?;
    let StateThen {
        state,
        sequence,
        recorded_at,
    } = found.map_err(|error| Failure::past(&call, "at", error, seen.clone()))?;
    let path = format!("{}/{id}", history.path);
    let body = json!({
        "aggregate": history.aggregate,
        "aggregate_id": id,
        "sequence": sequence,
        "recorded_at": recorded_at.to_string(),
        "state": state,
        "links": {
            "self": format!("{path}/state?at=seq:{sequence}"),
            "events": format!("{path}/events"),
        },
    });
    // The same events are another state when their fold, or the form of states, is another.
    let shape = history.kind.state_shape().simple().to_string();
    let etag = format!("\"{sequence}-{}\"", &shape[..8]);
    call.respond(&seen, Some(&etag), body.to_string()).await
}

/// A row at one end of a difference.
type End = Result<RowThen, PastError>;

/// `GET /orders/{id}/diff`
pub(super) async fn difference(
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::ONE)?;
    only(&call.params, &["from", "to"])?;
    let (from, to) = (call.moment("from")?, call.moment("to")?);
    let id = id_of(&call, &id)?;
    let (of, wanted, ends) = (Arc::clone(&view), id.clone(), [from.clone(), to.clone()]);
    let fold = move |snapshot: &dyn Snapshot| -> Result<[End; 2], PastError> {
        let row = |at: Option<&At>| row_at(snapshot, &of.past, &wanted, at, |_, _| {});
        // Without a moment to begin at, it begins with nothing.
        let first = ends[0]
            .as_ref()
            .map_or(Err(PastError::Nothing), |from| row(Some(from)));
        Ok([first, row(ends[1].as_ref())])
    };
    let (found, seen) = read(&api, &view.past_scope, &call, &[&from, &to], fold).await?;
    let [first, second] = found.map_err(|error| Failure::past(&call, "from", error, seen.clone()))?;
    let first = there_or_not(first).map_err(|error| Failure::past(&call, "from", error, seen.clone()))?;
    let second = there_or_not(second).map_err(|error| Failure::past(&call, "to", error, seen.clone()))?;
    if first.is_none() && second.is_none() {
        return Err(Failure::past(&call, "from", PastError::Nothing, seen));
    }
    let changes = diff(&document(first.as_ref()), &document(second.as_ref()));
    let changes: Vec<Value> = changes.iter().map(|change| change.to_json()).collect();
    let row = format!("{}/{id}", view.info.path);
    let body = json!({
        "from": end(first.as_ref()),
        "to": end(second.as_ref()),
        "changes": changes,
        "links": { "row": row, "events": view.commands.as_ref().map(|_| format!("{row}/events")) },
    });
    call.respond(&seen, None, body.to_string()).await
}

/// A row that was not there is no error: what has come about since is a difference too.
fn there_or_not(row: End) -> Result<Option<RowThen>, PastError> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(PastError::NotYet { .. } | PastError::Nothing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `null` if there is none.
fn document(row: Option<&RowThen>) -> Value {
    row.and_then(|then| serde_json::from_str(&then.row.doc).ok())
        .unwrap_or_default()
}

fn end(row: Option<&RowThen>) -> Value {
    match row {
        None => Value::Null,
        Some(then) => json!({ "sequence": then.row.sequence, "recorded_at": then.recorded_at.to_string() }),
    }
}

/// What is no id is no row's id.
fn id_of(call: &Call, id: &str) -> Result<AggregateId, Failure> {
    id.parse().map_err(|_| Failure::NoId {
        path: call.path.clone(),
    })
}

/// Where one can go on from a row as it was: to it as it is, and to its lists as they were.
pub(super) fn links_then(view: &ViewResource, id: &AggregateId, at: &str) -> Map<String, Value> {
    let path = format!("{}/{id}", view.info.path);
    let at = super::body::query(&[("at".to_owned(), at.to_owned())].into());
    let mut links = Map::new();
    links.insert("self".to_owned(), format!("{path}{at}").into());
    links.insert("now".to_owned(), path.clone().into());
    if view.commands.is_some() {
        links.insert("events".to_owned(), format!("{path}/events").into());
    }
    for (list, _) in view.info.lists {
        links.insert((*list).to_owned(), format!("{path}/{list}{at}").into());
    }
    links
}
