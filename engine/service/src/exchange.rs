//! What is around the route of every request: a trace and an id, a span, a limit, a measurement, and a problem for each error.
//!
//! All of it is one layer: for each request and layer, axum makes a copy of everything that lies within it, and puts it into
//! a box. What six of them took stands in `docs/performance.md`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tracing::{Instrument, Span, debug, info_span, warn};
use uuid::Uuid;

use crate::Problem;
use crate::rate_limit::{Limits, limited};
use crate::trace::{TRACEPARENT, new_traceparent, trace_id, trace_id_of};

/// By which a client, and a log, name the request; who sends none is told one.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Those of RFC 9110 and RFC 5789, which OpenTelemetry has as values of `http.request.method`; any other is `_OTHER` there.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Asks the route, within the limit, and tells of it. What fails within is a problem.
pub(crate) async fn exchanged(
    State(limits): State<Option<Arc<Limits>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let exchange = Exchange::of(&mut request);
    let span = exchange.span();
    let answer = async {
        let response = match limits {
            Some(limits) => limited(&limits, request, next).await,
            None => next.run(request).await,
        };
        let mut response = exchange.problems_only(response).await;
        exchange.measured(&response, begun.elapsed());
        exchange.name(response.headers_mut());
        response
    };
    answer.instrument(span).await
}

/// What is told of a request once its route has had it.
struct Exchange {
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    traceparent: HeaderValue,
    id: HeaderValue,
}

impl Exchange {
    /// A request without a trace is given one, which its route finds in its headers.
    fn of(request: &mut Request) -> Self {
        let headers = request.headers();
        let given = headers
            .get(TRACEPARENT)
            .filter(|_| trace_id(headers).is_some())
            .cloned();
        let traceparent = given.unwrap_or_else(|| {
            let made = new_traceparent();
            request.headers_mut().insert(TRACEPARENT, made.clone());
            made
        });
        let id = request.headers().get(REQUEST_ID).cloned();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            traceparent,
            id: id.unwrap_or_else(new_id),
        }
    }

    fn trace_id(&self) -> Option<&str> {
        self.traceparent.to_str().ok().and_then(trace_id_of)
    }

    fn request_id(&self) -> Option<&str> {
        self.id.to_str().ok()
    }

    fn span(&self) -> Span {
        info_span!(
            "http",
            method = %self.method,
            path = self.uri.path(),
            request_id = self.request_id().unwrap_or_default(),
            trace_id = self.trace_id().unwrap_or_default(),
        )
    }

    /// Errors of the router and of extractors become problems, and each problem says which request it is of.
    async fn problems_only(&self, mut response: Response) -> Response {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let mut problem = match response.extensions_mut().remove::<Problem>() {
            Some(problem) => problem,
            None if is_foreign(&response) => return response,
            None => {
                let problem = with_text(Problem::of_status(status), &mut response).await;
                problem.of_router(self.method.as_str(), self.uri.path())
            }
        };
        problem = problem
            .instance_or(self.uri.path().to_owned())
            .next_or_general(self.method.as_str(), &self.uri.to_string());
        if let Some(id) = self.trace_id() {
            problem = problem.with("trace_id", id);
        }
        if let Some(id) = self.request_id() {
            problem = problem.with("request_id", id);
        }
        // The headers that came with the error, `Allow` for instance, stay.
        let (mut head, _) = response.into_parts();
        let (ours, body) = problem.into_response().into_parts();
        head.headers.remove(CONTENT_LENGTH);
        head.headers.extend(ours.headers);
        Response::from_parts(head, body)
    }

    fn measured(&self, response: &Response, took: Duration) {
        let status = response.status();
        // Who answers with an error that somebody must act on has logged it as one.
        if status.is_server_error() {
            warn!(status = status.as_u16(), ?took, "the answer is an error");
        } else {
            debug!(status = status.as_u16(), ?took, "answered");
        }
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        metrics::histogram!(
            "http_server_request_duration_seconds",
            "http_request_method" => method_label(&self.method),
            "http_route" => route.to_owned(),
            "http_response_status_code" => status.as_str().to_owned(),
        )
        .record(took);
    }

    /// Tells the client by what to ask for it.
    fn name(self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.id);
        headers.insert(TRACEPARENT, self.traceparent);
    }
}

fn new_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("hexadecimal digits")
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
