use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use foldline_core::AggregateId;
use foldline_views::{ListQuery, Row, Snapshot};
use http::request::Parts;

use super::Resource;
use super::accept::Format;
use super::body::{PageLinks, with_member, with_text};
use super::call::Call;
use super::export::{PAGE, Page, Pages, export};
use super::failure::Failure;
use super::{access, past, past_list, row_stream};
use crate::api::{Api, ViewResource};
use crate::consistency::{Asked, ReadError, Shown};
use crate::cursor;
use crate::known::Seen;
use crate::params::{Extent, list_request, only};

/// `GET /orders`
pub(super) async fn list(
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::TABLE)?;
    if let Some(at) = call.moment("at")? {
        return past_list::list(&api, &view, call, at).await;
    }
    if call.format != Format::Json {
        return table(&api, &view, call).await;
    }
    let mut request = list_request(view.info.path, &call.params, &view.fields, Extent::Page)?;
    access::restrict(&view, &call.caller, &mut request.query)?;
    let (name, query) = (view.info.name, request.query);
    let read = move |snapshot: &dyn Snapshot| snapshot.list(name, &query);
    let Shown { value: page, token } = api.consistent.read(&view.scope, &call.asked, read).await?;

    let next = page.next.map(|place| cursor::encode(request.fingerprint, &place));
    let links = PageLinks::new(&call.path, &call.params, "cursor", next);
    let body = links.body_of_rows(&view, &page.rows);
    Ok(links.add_to(call.respond(&token, None, body).await?))
}

async fn table(api: &Arc<Api>, view: &Arc<ViewResource>, call: Call) -> Result<Response, Failure> {
    let mut request = list_request(view.info.path, &call.params, &view.fields, Extent::Everything)?;
    access::restrict(view, &call.caller, &mut request.query)?;
    let pages = Rows {
        api: Arc::clone(api),
        view: Arc::clone(view),
        left: request.query.limit,
        query: request.query,
        has_more: true,
    };
    export(api, call.format, view.columns.clone(), call.asked, pages).await
}

/// The rows of a list, as the view has them.
struct Rows {
    api: Arc<Api>,
    view: Arc<ViewResource>,
    query: ListQuery,
    left: usize,
    has_more: bool,
}

impl Pages for Rows {
    async fn next(&mut self, asked: &Asked) -> Result<Option<Page>, ReadError> {
        if !self.has_more || self.left == 0 {
            return Ok(None);
        }
        self.query.limit = self.left.min(PAGE);
        let (name, query) = (self.view.info.name, self.query.clone());
        let read = move |snapshot: &dyn Snapshot| snapshot.list(name, &query);
        let Shown { value: page, token } = self.api.read_for_stream(&self.view.scope, asked, read).await?;
        self.left -= page.rows.len();
        self.has_more = page.next.is_some();
        self.query.after = page.next;
        // A table is one answer, and one generation, whatever is served by its end.
        self.query.generation = Some(page.generation);
        let rows = page.rows.into_iter().map(|row| row.doc).collect();
        Ok(Some(Page { rows, token }))
    }
}

/// `GET /orders/{id}`
pub(super) async fn one(
    State(Resource { api, of: view }): State<Resource<ViewResource>>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::FOLLOWED)?;
    if call.format == Format::EventStream {
        return row_stream::open(&api, &view, &call, &id).await;
    }
    only(&call.params, &["at", "explain"])?;
    if call.flag("explain")? {
        access::check_explained(&api, &view, &id, &parts).await?;
        let at = call.moment("at")?;
        let (row, fields, token) = past::explained(&api, &view, &call, &id, at).await?;
        let body = with_member(&body_then(&view, &row, &call), "explained", &fields);
        return call.respond(&token, None, body).await;
    }
    let (row, token) = find(&api, &view, &call, &id).await?;
    let body = body_then(&view, &row, &call);
    call.respond(&token, Some(&etag(&view, &row)), body).await
}

/// As it is now, or as it was.
fn body_then(view: &ViewResource, row: &Row, call: &Call) -> String {
    match call.value("at") {
        None => body(view, row),
        Some(at) => with_member(&row.doc, "links", &past::links_then(view, &row.id, at).into()),
    }
}

/// The row, with where one can go on from it.
pub(super) fn body(view: &ViewResource, row: &Row) -> String {
    with_text(&row.doc, "links", &view.links.of(&row.id))
}

/// The row with this id, at the moment that the client asks for.
pub(super) async fn find(
    api: &Arc<Api>,
    view: &Arc<ViewResource>,
    call: &Call,
    id: &str,
) -> Result<(Row, Seen), Failure> {
    if let Some(at) = call.moment("at")? {
        return past::find(api, view, call, id, at).await;
    }
    // What is no id is no row's id.
    let id: Option<AggregateId> = id.parse().ok();
    let name = view.info.name;
    let read = |snapshot: &dyn Snapshot| match &id {
        Some(id) => snapshot.get(name, id),
        None => Ok(None),
    };
    let Shown { value, token } = api.consistent.look_up(&view.scope, &call.asked, read).await?;
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
    format!("\"{}\"", version(view, row))
}

/// What stands in the [`etag`]. In another generation of the view, the row of the same sequence may say something else.
pub(super) fn version(view: &ViewResource, row: &Row) -> String {
    let mut version = row.sequence.to_string();
    if !view.is_fold {
        version += &format!("-{}", row.version);
    }
    if row.generation > 1 {
        version += &format!("-g{}", row.generation);
    }
    // What was is of no generation: it is folded by today's declaration, and an older one made another row of it.
    if row.generation == 0 && view.info.version > 1 {
        version += &format!("-v{}", view.info.version);
    }
    version
}
