use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::Field;
use foldline_views::StoreError;
use http::request::Parts;
use serde_json::Value;

use super::Resource;
use super::body::PageLinks;
use super::call::Call;
use super::failure::Failure;
use super::rows::{etag, find};
use crate::api::ViewResource;
use crate::consistency::ReadError;
use crate::params::list_request;
use crate::{cursor, entries};

/// `GET /orders/{id}/items`
pub(super) async fn list(
    list: &'static str,
    fields: &'static [Field],
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts)?;
    let request = list_request(&call.path, &call.params, fields)?;
    let (row, token) = find(&api, &view, &call, &id).await?;
    let page = entries::page(entries_of(&row.doc, list)?, &request.query);

    let next = page.next.map(|place| cursor::encode(request.fingerprint, &place));
    let links = PageLinks::new(&call.path, &call.params, "cursor", next);
    let items: Vec<String> = page.entries.iter().map(Value::to_string).collect();
    let response = call.respond(&token, Some(&etag(&view, &row)), links.body(&items));
    Ok(links.add_to(response))
}

/// The entries, none if the row has no such list.
fn entries_of(doc: &str, list: &str) -> Result<Vec<Value>, ReadError> {
    let mut doc: Value = serde_json::from_str(doc).map_err(|error| StoreError::Database(error.into()))?;
    match doc.get_mut(list).map(Value::take) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Ok(Vec::new()),
    }
}
