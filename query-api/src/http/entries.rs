use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::Field;
use foldline_views::{Row, StoreError};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::Resource;
use super::accept::Format;
use super::body::PageLinks;
use super::call::Call;
use super::export::{Page, Whole, export};
use super::failure::Failure;
use super::rows::{etag, find};
use crate::api::{Api, ViewResource};
use crate::consistency::ReadError;
use crate::params::{Extent, list_request, only};
use crate::{columns, cursor, entries};

/// `GET /orders/{id}/items`
pub(super) async fn list(
    list: &'static str,
    fields: &'static [Field],
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::TABLE)?;
    let extent = match call.format {
        Format::Json => Extent::Page,
        _ => Extent::Everything,
    };
    let request = list_request(&call.path, &call.params, fields, extent)?;
    let (row, token) = find(&api, &view, &call, &id).await?;
    let (doc, is_erased) = opened(&api, &row).await?;
    let page = entries::page(entries_of(&doc, list)?, &request.query);
    if call.format != Format::Json {
        let rows = page.entries.iter().map(Value::to_string).collect();
        let columns = columns::of_entries(&view.info.schema, list);
        let pages = Whole(Some(Page { rows, token }));
        return export(&api, call.format, columns, call.asked, pages).await;
    }

    let next = page.next.map(|place| cursor::encode(request.fingerprint, &place));
    let links = PageLinks::new(&call.path, &call.params, "cursor", next);
    let items: Vec<String> = page.entries.iter().map(Value::to_string).collect();
    let tag = etag(&view, &row);
    let response = call.respond_opened(&token, Some(&tag), links.body(&items), is_erased);
    Ok(links.add_to(response))
}

/// `GET /orders/{id}/items/{item}`: the entry that has this path as a link in one of its fields, as views write
/// it for what others refer to.
pub(super) async fn one(
    list: &'static str,
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    Path((id, entry)): Path<(String, String)>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::ONE)?;
    only(&call.params, &["at"])?;
    let (row, token) = find(&api, &view, &call, &id).await?;
    let (doc, is_erased) = opened(&api, &row).await?;
    let path = format!("{}/{id}/{list}/{entry}", view.info.path);
    let found = entries_of(&doc, list)?
        .into_iter()
        .find(|entry| links_to(entry, &path));
    match found {
        Some(entry) => {
            let tag = etag(&view, &row);
            Ok(call.respond_opened(&token, Some(&tag), entry.to_string(), is_erased))
        }
        None => Err(Failure::NotFound {
            path: call.path,
            seen: token,
        }),
    }
}

/// Whether a field of the entry holds this path, however it is escaped there.
fn links_to(entry: &Value, path: &str) -> bool {
    let mut fields = entry.as_object().into_iter().flat_map(|fields| fields.values());
    let is_path = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .is_ok_and(|text| text == path)
    };
    fields.any(|value| value.as_str().is_some_and(is_path))
}

/// The row as it is shown, and whether something in it is erased: what its entries are found and sorted by may be personal.
async fn opened(api: &Api, row: &Row) -> Result<(String, bool), ReadError> {
    let mut doc = row.doc.clone();
    let is_erased = api.opened.open(&mut doc).await?;
    Ok((doc, is_erased))
}

/// The entries, none if the row has no such list.
fn entries_of(doc: &str, list: &str) -> Result<Vec<Value>, ReadError> {
    let mut doc: Value = serde_json::from_str(doc).map_err(|error| StoreError::Database(error.into()))?;
    match doc.get_mut(list).map(Value::take) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Ok(Vec::new()),
    }
}
