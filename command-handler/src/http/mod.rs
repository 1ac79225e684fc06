//! The write API. Only this folder knows a status code.

mod access;
mod answer;
mod body;
mod commands;
mod create;
mod forms;
mod headers;
mod index;
mod json;
mod openapi;
mod problem;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use foldline_core::{AggregateId, AggregateInfo, AggregateType, Domains, async_api};
use foldline_service::{UnservablePath, check_path};

use crate::Commands;

/// What every route needs.
pub struct Api {
    /// The engine.
    pub commands: Box<dyn Commands>,
    /// What is installed.
    pub domains: Domains,
    /// Where clients find the query API, without a slash at the end.
    pub query_api: String,
    /// How long an answer waits for the outcome if the client does not say.
    pub wait: Duration,
    /// The longest that a client can make an answer wait.
    pub wait_max: Duration,
    /// How many bytes a body may have; the server enforces it.
    pub body_bytes_max: usize,
    /// How long a body may take.
    pub body_timeout: Duration,
}

/// The routes of one aggregate type.
#[derive(Clone)]
struct Surface {
    api: Arc<Api>,
    aggregate: Arc<dyn AggregateType>,
}

/// The routes of everything that is installed.
pub fn routes(api: Api) -> Result<Router, UnservablePath> {
    let api = Arc::new(api);
    let mut router = Router::new()
        .route("/", get(index::get_index))
        .route("/commands/{command_id}", get(status::get_command))
        .with_state(Arc::clone(&api));
    for aggregate in api.domains.aggregates() {
        let info = aggregate.info();
        if info.is_internal() {
            continue;
        }
        check_path(&info.qualified_name(), info.path)?;
        let surface = Surface {
            api: Arc::clone(&api),
            aggregate: Arc::clone(aggregate),
        };
        let path = info.path;
        let of_type = Router::new()
            .route(path, post(create::post_new))
            .route(&format!("{path}/commands"), get(forms::get_forms))
            .route(
                &format!("{path}/{{id}}/commands"),
                get(forms::get_possible).post(commands::post_command),
            );
        router = router.merge(of_type.with_state(surface));
    }
    Ok(router)
}

/// What the write API says about itself, there before it is ready: its OpenAPI document, the AsyncAPI document of the
/// topics, whose names begin with `topic_prefix`, and a page for each problem.
pub fn documents(domains: &Domains, topic_prefix: &str) -> Router {
    let files = vec![
        ("/openapi.json", openapi::document(domains)),
        ("/asyncapi.json", async_api(domains, topic_prefix)),
    ];
    foldline_service::documents(files, domains.codes())
}

/// Serves `routes` as soon as `is_ready`; before, every request is told to come back.
pub fn when(is_ready: impl Fn() -> bool + Clone + Send + Sync + 'static, routes: Router) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| {
        let is_ready = is_ready();
        async move {
            if is_ready {
                next.run(request).await
            } else {
                problem::not_ready().into_response()
            }
        }
    }))
}

/// The path of an aggregate, the same in both APIs.
fn link_of(info: &AggregateInfo, id: &AggregateId) -> String {
    format!("{}/{id}", info.path)
}

/// The command that makes a new aggregate. [`Domains`] has checked that there is one.
fn create_command(info: &AggregateInfo) -> &str {
    let creating = info.commands.iter().find(|command| command.creates);
    creating.map_or("", |command| command.name.as_str())
}
