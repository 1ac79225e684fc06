//! Problem details (RFC 9457): the body of every answer that is an error.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// An error as a client gets it, `application/problem+json`.
///
/// Its type is `/problems/<code>`, and each code has a page `docs/errors/<code>.md`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
// In a box, because it is the error of many a `Result`.
pub struct Problem(Box<Members>);

#[derive(Debug, Clone, Serialize)]
struct Members {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next: Vec<NextStep>,
    #[serde(flatten)]
    members: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// One of several things that are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorItem {
    /// Where, as a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What, for a person.
    pub detail: String,
}

/// What a client can do about a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextStep {
    /// For a person.
    pub description: String,
    /// For a program, if it is a request: its method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// And where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

impl Problem {
    /// A problem of the type `/problems/<code>`; the title says what every problem of this type is.
    pub fn new(status: StatusCode, code: &str, title: impl Into<String>) -> Self {
        Self(Box::new(Members {
            kind: format!("/problems/{code}"),
            title: title.into(),
            status,
            detail: None,
            instance: None,
            errors: Vec::new(),
            next: Vec::new(),
            members: Map::new(),
            retry_after: None,
        }))
    }

    /// What is wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// What names this occurrence. Without it, the request's path does.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.0.instance = Some(instance.into());
        self
    }

    pub(crate) fn instance_or(mut self, instance: String) -> Self {
        self.0.instance.get_or_insert(instance);
        self
    }

    /// One thing that is wrong with the request's body.
    #[must_use]
    pub fn error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(ErrorItem {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// A request that helps.
    #[must_use]
    pub fn next(mut self, description: &str, method: &str, href: impl Into<String>) -> Self {
        self.0.next.push(NextStep {
            description: description.to_owned(),
            method: Some(method.to_owned()),
            href: Some(href.into()),
        });
        self
    }

    /// What helps, if it is no request.
    #[must_use]
    pub fn advice(mut self, description: &str) -> Self {
        self.0.next.push(NextStep {
            description: description.to_owned(),
            method: None,
            href: None,
        });
        self
    }

    /// In words what the router, which says nothing, has found wrong with the request.
    pub(crate) fn of_router(self, method: &str, path: &str) -> Self {
        if self.0.detail.is_some() {
            return self;
        }
        match self.0.status {
            StatusCode::NOT_FOUND => {
                let problem = self.detail(format!("there is no {path}"));
                // Two slashes at the start would lead to another host.
                match path.strip_suffix('/') {
                    Some(shorter) if !shorter.is_empty() && !path.starts_with("//") => {
                        problem.next("ask without the slash at the end", method, shorter)
                    }
                    _ => problem,
                }
            }
            // The router names them in the header, which it adds last.
            StatusCode::METHOD_NOT_ALLOWED => self.detail(format!(
                "{method} cannot be done here; the header Allow names what can"
            )),
            _ => self,
        }
    }

    /// Fills in what helps in general: to ask again if that is worth it, and else to read the problem's page.
    pub(crate) fn next_or_general(self, method: &str, uri: &str) -> Self {
        if !self.0.next.is_empty() {
            return self;
        }
        if let Some(seconds) = self.0.retry_after {
            return self.next(&format!("send it again, in {seconds} s"), method, uri);
        }
        let page = self.0.kind.clone();
        let problem = self.next("read what this problem is and what helps", "GET", page);
        match problem.0.status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                problem.next("see what there is here", "GET", "/")
            }
            _ => problem,
        }
    }

    /// A member of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// When it is worth to try again, in seconds: the header Retry-After.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What stands in for an error that has no problem of its own: the router's and the extractors'.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_server_error() => "internal",
            _ => "bad-request",
        };
        Self::new(status, code, status.canonical_reason().unwrap_or("Error"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Text, numbers and JSON values always have a JSON form.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        // For `app`, which knows the request and fills in what it says.
        response.extensions_mut().insert(self);
        response
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::Problem;

    #[tokio::test]
    async fn a_problem_is_what_rfc_9457_says() {
        let problem = Problem::new(StatusCode::CONFLICT, "order-not-open", "The order is not open")
            .detail("order 7 is cancelled")
            .error("/quantity", "too much")
            .with("sequence", 3)
            .retry_after(5);
        let response = problem.into_response();
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "5");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({
                "type": "/problems/order-not-open",
                "title": "The order is not open",
                "status": 409,
                "detail": "order 7 is cancelled",
                "errors": [{ "pointer": "/quantity", "detail": "too much" }],
                "sequence": 3,
            })
        );
    }
}
