//! The only part that knows a status code.

mod accept;
mod access;
mod body;
mod call;
mod conversation;
mod entries;
mod events;
mod export;
mod failure;
mod feed;
mod history;
mod index;
mod live;
mod log;
mod openapi;
mod past;
mod past_list;
mod row_stream;
mod rows;
mod sse;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use foldline_service::{UnservablePath, check_path};

use self::access::Guarded;
use crate::api::{Api, HistoryResource, ViewResource};

/// What a handler works on: a resource of the API.
struct Resource<R> {
    api: Arc<Api>,
    of: Arc<R>,
}

impl<R> Clone for Resource<R> {
    fn clone(&self) -> Self {
        Self {
            api: Arc::clone(&self.api),
            of: Arc::clone(&self.of),
        }
    }
}

/// The routes of all views and histories, and the index. Errors of the router itself, such as an unknown path, are
/// left to [`foldline_service::app`]. A domain at a path that cannot be served is refused.
pub fn router(api: &Arc<Api>) -> Result<Router, UnservablePath> {
    let mut router = Router::new().route("/", get(index::index).with_state(Arc::clone(api)));
    router = router.route(feed::PATH, get(feed::list).with_state(Arc::clone(api)));
    router = router.route(
        conversation::PATH,
        get(conversation::one).with_state(Arc::clone(api)),
    );
    for view in &api.views {
        check_path(view.info.name, view.info.path)?;
        check_lists(view)?;
        router = router.merge(view_routes(api, view));
    }
    for history in &api.histories {
        check_path(&history.aggregate, history.path)?;
        router = router.merge(history_routes(api, history));
    }
    Ok(router)
}

/// What the read API says about itself: its OpenAPI document, and a page for each problem.
pub fn documents(api: &Arc<Api>) -> Router {
    let files = vec![("/openapi.json", openapi::document(api))];
    foldline_service::documents(files, api.domains().codes())
}

/// What the engine serves beside the lists within a row.
const BESIDE_LISTS: [&str; 4] = ["events", "history", "state", "diff"];

fn check_lists(view: &ViewResource) -> Result<(), UnservablePath> {
    let mut lists = view.info.lists.iter();
    match lists.find(|(list, _)| BESIDE_LISTS.contains(list)) {
        Some((list, _)) => Err(UnservablePath {
            what: format!("a list of {}", view.info.name),
            path: format!("{}/{{id}}/{list}", view.info.path),
            why: "the engine serves something there",
        }),
        None => Ok(()),
    }
}

fn view_routes(api: &Arc<Api>, view: &Arc<ViewResource>) -> Router {
    let path = view.info.path;
    let state = Resource {
        api: Arc::clone(api),
        of: Arc::clone(view),
    };
    let list = Router::new().route(path, get(rows::list));
    let mut of_one = Router::new()
        .route(&format!("{path}/{{id}}"), get(rows::one))
        .route(&format!("{path}/{{id}}/diff"), get(past::difference));
    for (list, fields) in view.info.lists {
        let all = move |resource, id, parts| entries::list(list, fields, resource, id, parts);
        let one = move |resource, ids, parts| entries::one(list, resource, ids, parts);
        of_one = of_one
            .route(&format!("{path}/{{id}}/{list}"), get(all))
            .route(&format!("{path}/{{id}}/{list}/{{entry}}"), get(one));
    }
    let of_one = of_one.with_state(state.clone());
    let guarded = access::guarded(api, Guarded::Rows(Arc::clone(view)), of_one);
    guarded.merge(list.with_state(state))
}

fn history_routes(api: &Arc<Api>, history: &Arc<HistoryResource>) -> Router {
    let path = format!("{}/{{id}}", history.path);
    let routes = Router::new()
        .route(&format!("{path}/events"), get(events::list))
        .route(&format!("{path}/history"), get(history::list))
        .route(&format!("{path}/state"), get(past::state))
        .with_state(Resource {
            api: Arc::clone(api),
            of: Arc::clone(history),
        });
    access::guarded(api, Guarded::Aggregates(Arc::clone(history)), routes)
}
