use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::{AggregateId, Token};
use foldline_views::Row;
use http::request::Parts;
use serde_json::Map;

use super::Resource;
use super::body::{PageLinks, row_links, with_links};
use super::call::Call;
use super::failure::Failure;
use crate::api::{Api, ViewResource};
use crate::consistency::Shown;
use crate::cursor;
use crate::params::list_request;

/// `GET /orders`
pub(super) async fn list(
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts)?;
    let request = list_request(view.info.path, &call.params, &view.fields)?;
    let (name, query) = (view.info.name, request.query);
    let read = move |snapshot: &dyn foldline_views::Snapshot| snapshot.list(name, &query);
    let Shown { value: page, token } = api.consistent.read(&view.scope, &call.asked, read).await?;

    let next = page.next.map(|place| cursor::encode(request.fingerprint, &place));
    let links = PageLinks::new(&call.path, &call.params, "cursor", next);
    let items: Vec<String> = page.rows.iter().map(|row| item(&view, row)).collect();
    Ok(links.add_to(call.respond(&token, None, links.body(&items))))
}

/// A row in a list leads to itself.
fn item(view: &ViewResource, row: &Row) -> String {
    let mut links = Map::new();
    links.insert("self".to_owned(), format!("{}/{}", view.info.path, row.id).into());
    with_links(&row.doc, links)
}

/// `GET /orders/{id}`
pub(super) async fn one(
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts)?;
    call.takes_no_parameters()?;
    let (row, token) = find(&api, &view, &call, &id).await?;
    let body = with_links(&row.doc, row_links(&view, &row.id));
    Ok(call.respond(&token, Some(&etag(&view, &row)), body))
}

/// The row with this id.
pub(super) async fn find(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: &Call,
    id: &str,
) -> Result<(Row, Token), Failure> {
    // What is no id is no row's id.
    let id: Option<AggregateId> = id.parse().ok();
    let name = view.info.name;
    let read = move |snapshot: &dyn foldline_views::Snapshot| match &id {
        Some(id) => snapshot.get(name, id),
        None => Ok(None),
    };
    let Shown { value, token } = api.consistent.read(&view.scope, &call.asked, read).await?;
    match value {
        Some(row) => Ok((row, token)),
        None => Err(Failure::NotFound {
            path: call.path.clone(),
            seen: token,
        }),
    }
}

/// Changes whenever the row does. The sequence alone where it says all: that is the ETag of the aggregate in the
/// write API too.
pub(super) fn etag(view: &ViewResource, row: &Row) -> String {
    if view.is_fold {
        return format!("\"{}\"", row.sequence);
    }
    format!("\"{}-{}\"", row.sequence, row.version)
}
