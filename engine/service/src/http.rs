//! What every HTTP surface has around its own routes.

use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::exchange::exchanged;
use crate::rate_limit::Limits;
use crate::{Health, RateLimit, parse_duration};

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
    let limits = settings.rate_limit.and_then(Limits::new);
    // The first is the outermost. One stack, not three layers: the router boxes what each `layer` gives it, for every request.
    let around = ServiceBuilder::new()
        .layer(from_fn_with_state(limits, exchanged))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(settings.body_bytes_max));
    routes.layer(around).merge(health.routes())
}

fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
    error!(panic = text.unwrap_or("no message"), "a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
