//! The body of a command: JSON of a bounded size, which comes in a bounded time.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse;
use foldline_service::Problem;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Api, json, problem};

/// Reads the body; every way in which it is no JSON document is a problem of its own.
pub(super) async fn read(request: Request, api: &Api) -> Result<Value, Problem> {
    if !is_json(request.headers()) {
        return Err(problem::not_json_type());
    }
    let bytes = tokio::time::timeout(api.body_timeout, Bytes::from_request(request, &())).await;
    let bytes = bytes.map_err(|_| problem::too_slow(api.body_timeout))?;
    let bytes = bytes.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return problem::too_large(api.body_bytes_max);
        }
        problem::unread_body(&rejection.into_response())
    })?;
    json::read(&bytes).map_err(|error| problem::malformed_json(&error))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}
