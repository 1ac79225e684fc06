//! Lists of a view as they were at a moment.

use std::sync::Arc;

use axum::response::Response;
use foldline_views::{ListQuery, Page as Rows, Snapshot};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::accept::Format;
use super::access;
use super::body::{PageLinks, query, with_member};
use super::call::Call;
use super::export::{PAGE, Page, Pages, export};
use super::failure::Failure;
use super::past::read;
use crate::api::{Api, ViewResource};
use crate::consistency::{Asked, ReadError};
use crate::cursor;
use crate::known::{Known, Seen};
use crate::params::{Extent, list_request};
use crate::past::{At, PastList, no_sequence};

/// `GET /orders?at=...`
pub(super) async fn list(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: Call,
    at: At,
) -> Result<Response, Failure> {
    let extent = match call.format {
        Format::Json => Extent::Page,
        _ => Extent::Everything,
    };
    // A place in the list of one moment is none in that of another.
    let path = format!("{}?at={}", view.info.path, call.value("at").unwrap_or_default());
    let mut request = list_request(&path, &call.params, &view.fields, extent)?;
    access::restrict(view, &call.caller, &mut request.query)?;
    let deadline = Instant::now() + call.asked.wait;
    let (list, seen) = list_at(api, view, &call, at, deadline).await?;
    if call.format != Format::Json {
        let pages = Table {
            left: request.query.limit,
            query: request.query,
            name: view.info.name,
            list,
            seen,
            has_more: true,
        };
        return export(api, call.format, view.columns.clone(), call.asked, pages).await;
    }
    let page = rows(&list, view.info.name, &request.query).await?;
    let next = page.next.map(|place| cursor::encode(request.fingerprint, &place));
    let links = PageLinks::new(&call.path, &call.params, "cursor", next);
    let then = query(&[("at".to_owned(), call.value("at").unwrap_or_default().to_owned())].into());
    let item = |row: &foldline_views::Row| {
        let mut links = Map::new();
        links.insert(
            "self".to_owned(),
            format!("{}/{}{then}", view.info.path, row.id).into(),
        );
        with_member(&row.doc, "links", &Value::from(links))
    };
    let items: Vec<String> = page.rows.iter().map(item).collect();
    Ok(links.add_to(call.respond(&seen, None, links.body(&items)).await?))
}

/// The view at that moment, when it is ready, and what the history had seen.
async fn list_at(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: &Call,
    at: At,
    deadline: Instant,
) -> Result<(Arc<PastList>, Seen), Failure> {
    let sources = view.past.sources.clone();
    let at = Some(at);
    let asked = at.clone();
    let fold = move |snapshot: &dyn Snapshot| {
        let moment = asked
            .as_ref()
            .map(|at| at.resolve(snapshot, &sources, |_| Err(no_sequence())));
        moment.transpose()
    };
    let (moment, seen) = read(api, &view.past_scope, call, &[&at], fold).await?;
    let failed = |error| Failure::past(call, "at", error, seen.clone());
    let cut = moment
        .map_err(failed)?
        .map(|moment| moment.cut)
        .unwrap_or_default();
    let list = api
        .past_lists
        .get(&view.past, cut, deadline)
        .await
        .map_err(failed)?;
    Ok((list, seen))
}

async fn rows(list: &PastList, name: &'static str, query: &ListQuery) -> Result<Rows, ReadError> {
    let query = query.clone();
    let read = move |snapshot: &dyn Snapshot, _: &mut Known| snapshot.list(name, &query);
    Ok(list.readers.read(read).await?)
}

/// The rows of such a list. They are held while they are read, whatever is tidied away meanwhile.
struct Table {
    list: Arc<PastList>,
    name: &'static str,
    query: ListQuery,
    seen: Seen,
    left: usize,
    has_more: bool,
}

impl Pages for Table {
    async fn next(&mut self, _: &Asked) -> Result<Option<Page>, ReadError> {
        if !self.has_more || self.left == 0 {
            return Ok(None);
        }
        self.query.limit = self.left.min(PAGE);
        let page = rows(&self.list, self.name, &self.query).await?;
        self.left -= page.rows.len();
        self.has_more = page.next.is_some();
        self.query.after = page.next;
        let rows = page.rows.into_iter().map(|row| row.doc).collect();
        Ok(Some(Page {
            rows,
            token: self.seen.clone(),
        }))
    }
}
