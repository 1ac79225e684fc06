//! An HTTP client as a user writes one.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// Talks to one service.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, `Null` if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A field of the body that is text.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> &str {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer} in {self:?}"))
    }

    /// Panics unless the status is this.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Panics unless it is a problem with this status and this type.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{answer:#?}"
        );
        assert_eq!(answer.text("/type"), format!("/problems/{code}"), "{answer:#?}");
        answer
    }
}

impl Client {
    /// Of the service at this URL.
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            // It asks this machine without TLS: to read whom the system trusts took most of a test's own time.
            .tls_certs_only([])
            .timeout(Duration::from_secs(70))
            .build();
        Self {
            base: base.to_owned(),
            http: http.expect("a client without TLS needs nothing"),
        }
    }

    /// Where the service listens, as `host:port`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Whether the service says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.base)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// A request, to add headers or a body to. `path` may be a whole URL.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        self.http.request(method, url)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// GET, from no earlier than the token has seen.
    pub async fn get_after(&self, path: &str, token: &str) -> Answer {
        self.send(
            self.request(Method::GET, path)
                .header("Consistency-Token", token)
                .header("Prefer", "wait=30"),
        )
        .await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.posting(path, body)).await
    }

    /// The request of [`post`](Self::post), to add headers to. It waits for the outcome as long as a busy machine may take, in
    /// which a handler may just have begun anew: longer than the usual 10 s.
    pub fn posting(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.request(Method::POST, path).json(body);
        request.header("Prefer", "wait=60")
    }

    /// Sends a request. Panics if there is no answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the service answers")
    }

    /// Sends a request to a service that may be gone.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let headers = headers.collect();
        let body = response.text().await?;
        Ok(Answer {
            status,
            headers,
            body: serde_json::from_str(&body).unwrap_or(Value::Null),
        })
    }
}

/// Asks again until the answer is yes. Panics if it is not within the time.
pub async fn eventually<T, F>(what: &str, within: Duration, ask: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started_at = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started_at.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
