//! What an operator asks a process.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::{Problem, Shutdown, metrics_text};

/// Whether the process lives, whether it can do its work, and its metrics.
#[derive(Clone)]
pub struct Health {
    missing: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    shutdown: Shutdown,
}

impl Health {
    /// `missing` names what is not there yet; with nothing missing the process is ready, until it is to stop.
    pub fn new(shutdown: &Shutdown, missing: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        Self {
            missing: Arc::new(missing),
            shutdown: shutdown.clone(),
        }
    }

    /// What keeps it from being ready.
    pub fn missing(&self) -> Vec<String> {
        if self.shutdown.is_triggered() {
            return vec!["stopping".to_owned()];
        }
        (self.missing)()
    }

    /// `/livez`, `/readyz` and `/metrics`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(|| async { ok() }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

fn ok() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let missing = health.missing();
    if missing.is_empty() {
        return ok();
    }
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-ready",
        "The service is not ready",
    );
    let problem = problem.retry_after(1);
    let verbose = query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("verbose")));
    if verbose {
        problem
            .detail(missing.join("; "))
            .with("missing", missing)
            .into_response()
    } else {
        problem.into_response()
    }
}

async fn metrics() -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], metrics_text()).into_response()
}
