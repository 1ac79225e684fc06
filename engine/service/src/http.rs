//! What every HTTP surface has around its own routes.

use std::any::Any;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::{Level, error, info_span};

use crate::rate_limit::{Limits, limited};
use crate::trace::{TRACEPARENT, trace_id, trace_id_of, traced};
use crate::{Health, Problem, RateLimit, parse_duration};

/// Those of RFC 9110 and RFC 5789, which OpenTelemetry has as values of `http.request.method`; any other is `_OTHER` there.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Limits of an HTTP surface.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// How many connections are served at once; more wait to be accepted.
    #[arg(
        long,
        env = "FOLDLINE_CONNECTIONS_MAX",
        default_value_t = 1024,
        value_name = "N"
    )]
    pub connections_max: u32,
    /// How long the head of a request may take; an idle connection is closed after it as well.
    #[arg(long, env = "FOLDLINE_HEAD_TIMEOUT", default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub head_timeout: Duration,
    /// How many bytes the body of a request may have.
    #[arg(long, env = "FOLDLINE_BODY_BYTES_MAX", default_value_t = 64 * 1024, value_name = "BYTES")]
    pub body_bytes_max: usize,
    /// How long the body of a request may take.
    #[arg(long, env = "FOLDLINE_BODY_TIMEOUT", default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub body_timeout: Duration,
    /// How long a client may leave what was sent to it untaken before its connection is ended (on Linux).
    #[arg(long, env = "FOLDLINE_WRITE_TIMEOUT", default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub write_timeout: Duration,
    /// How long a stop waits for requests that are being answered.
    #[arg(long, env = "FOLDLINE_DRAIN_TIMEOUT", default_value = "15s", value_parser = parse_duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// How many requests one address may send, 100/s for instance: so many at once, and then as many as come back.
    /// Without it, there is no limit. Health and metrics have none.
    #[arg(long, env = "FOLDLINE_RATE_LIMIT", value_name = "N/TIME")]
    pub rate_limit: Option<RateLimit>,
    /// The certificate that connections are encrypted with, and those that lead from it to a known authority: a PEM file.
    /// It is read again when it has changed. Without it, connections are plain.
    #[arg(long, env = "FOLDLINE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate: a PEM file.
    #[arg(long, env = "FOLDLINE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Take tokens over plain connections from other machines: a proxy before this service has the TLS.
    #[arg(long, env = "FOLDLINE_BEHIND_TLS_PROXY")]
    pub behind_tls_proxy: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            head_timeout: Duration::from_secs(30),
            body_bytes_max: 64 * 1024,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(15),
            rate_limit: None,
            tls_cert: None,
            tls_key: None,
            behind_tls_proxy: false,
        }
    }
}

/// A service's routes and its health, with request ids, traces, metrics and the body limit; a panic is a 500, and
/// every error is a problem.
pub fn app(routes: Router, health: Health, settings: &HttpSettings) -> Router {
    // Matched before the layers, so that they know the route.
    let routes = routes.fallback(|| async { StatusCode::NOT_FOUND });
    // Who answers with an error that somebody must act on has logged it as one.
    let failures = DefaultOnFailure::new().level(Level::WARN);
    let trace = TraceLayer::new_for_http().on_failure(failures);
    let trace = trace.make_span_with(|request: &Request| {
        let id = request.extensions().get::<RequestId>();
        let id = id
            .and_then(|id| id.header_value().to_str().ok())
            .unwrap_or_default();
        let trace_id = trace_id(request.headers()).unwrap_or_default();
        info_span!("http", method = %request.method(), path = request.uri().path(), request_id = id, trace_id)
    });
    let limits = settings.rate_limit.and_then(Limits::new);
    // In each, the first is the outermost. Two stacks, not ten layers: the router boxes what each `layer` gives it, for every
    // request.
    let inner = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(settings.body_bytes_max));
    let outer = ServiceBuilder::new()
        .layer(from_fn(traced))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(trace)
        .layer(from_fn(measured))
        .layer(from_fn(problems_only));
    let routes = routes.layer(inner);
    let routes = match limits {
        Some(limits) => routes.layer(from_fn_with_state(limits, limited)),
        None => routes,
    };
    routes.layer(outer).merge(health.routes())
}

fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
    error!(panic = text.unwrap_or("no message"), "a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Errors of the router and of extractors become problems, and each problem says which request it is of.
async fn problems_only(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let trace = request.headers().get(TRACEPARENT).cloned();
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let mut problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_foreign(&response) => return response,
        None => {
            let problem = with_text(Problem::of_status(status), &mut response).await;
            problem.of_router(method.as_str(), uri.path())
        }
    };
    problem = problem
        .instance_or(uri.path().to_owned())
        .next_or_general(method.as_str(), &uri.to_string());
    // Behind `traced`, there is one.
    let trace = trace.as_ref().and_then(|value| value.to_str().ok());
    if let Some(trace_id) = trace.and_then(trace_id_of) {
        problem = problem.with("trace_id", trace_id);
    }
    if let Some(id) = id.as_ref().and_then(|id| id.header_value().to_str().ok()) {
        problem = problem.with("request_id", id);
    }
    // The headers that came with the error, `Allow` for instance, stay.
    let (mut head, _) = response.into_parts();
    let (ours, body) = problem.into_response().into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.extend(ours.headers);
    Response::from_parts(head, body)
}

/// An error whose body somebody has chosen.
fn is_foreign(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| *kind != HeaderValue::from_static("text/plain; charset=utf-8"))
}

async fn with_text(problem: Problem, response: &mut Response) -> Problem {
    let body = std::mem::take(response.body_mut());
    let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    match std::str::from_utf8(&text) {
        Ok(text) if !text.is_empty() => problem.detail(text),
        _ => problem,
    }
}

/// Each value of a label is a time series that is kept until the process ends, so clients must not make up methods of
/// their own there.
fn method_label(method: &Method) -> &'static str {
    let mut known = METHODS.into_iter();
    known.find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

async fn measured(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route,
        "http_response_status_code" => status,
    )
    .record(start.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{METHODS, method_label};

    #[test]
    fn a_method_that_a_client_makes_up_has_no_label_of_its_own() {
        for known in METHODS {
            assert_eq!(method_label(&known.parse::<Method>().unwrap()), known);
        }
        for made_up in ["BREW", "get", "X-1"] {
            assert_eq!(method_label(&made_up.parse::<Method>().unwrap()), "_OTHER");
        }
    }
}
