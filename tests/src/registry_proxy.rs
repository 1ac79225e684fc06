//! A proxy before the registry: what is between a service and its registry can be ill, slow, or wrong.

use std::future::IntoFuture;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As if it were not there.
    Well,
    /// Each answer takes so long.
    Slow(Duration),
    /// It says that something went wrong.
    Ill,
    /// It does not let us in.
    Closed,
    /// It knows nothing of a registry, and says so in HTML.
    Astray,
    /// It says that all is well, and no more.
    Empty,
    /// Whoever asks for the id of a schema is told another one.
    Lying,
}

struct Shared {
    /// The registry, without the path of its API.
    behind: String,
    http: reqwest::Client,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

/// It ends when it is dropped.
pub struct RegistryProxy {
    url: String,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

impl RegistryProxy {
    /// Before the registry at this URL.
    pub async fn start(registry: &str) -> Self {
        let path = registry.splitn(4, '/').nth(3).unwrap_or_default();
        let behind = registry.trim_end_matches(path).trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            behind,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client without TLS needs nothing"),
            mood: Mutex::new(Mood::Well),
            asked: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(axum::serve(listener, app).into_future()).abort_handle();
        Self {
            url: format!("http://127.0.0.1:{port}/{path}"),
            shared,
            serving,
        }
    }

    /// Where services find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is from now on.
    pub fn be(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often it was asked for anything.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for RegistryProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mood = *shared.mood.lock().unwrap_or_else(PoisonError::into_inner);
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let is_for_an_id = method == Method::POST && uri.path().contains("/subjects/");
    match mood {
        Mood::Ill => (StatusCode::INTERNAL_SERVER_ERROR, "out of memory").into_response(),
        Mood::Closed => (StatusCode::UNAUTHORIZED, Html("<h1>Who are you?</h1>")).into_response(),
        Mood::Astray => (StatusCode::NOT_FOUND, Html("<h1>Not here</h1>")).into_response(),
        Mood::Empty => Html("<h1>It works!</h1>").into_response(),
        Mood::Slow(delay) => {
            tokio::time::sleep(delay).await;
            shared.ask(method, &uri, &headers, body).await.into_response()
        }
        Mood::Lying if is_for_an_id => {
            let (status, kind, body) = shared.ask(method, &uri, &headers, body).await;
            let mut said: Value = serde_json::from_slice(&body).expect("a registry speaks JSON");
            said["id"] = said["id"].as_u64().map(|id| id + 1).into();
            (status, kind, said.to_string()).into_response()
        }
        Mood::Well | Mood::Lying => shared.ask(method, &uri, &headers, body).await.into_response(),
    }
}

type Said = (StatusCode, HeaderMap, Bytes);

impl Shared {
    async fn ask(&self, method: Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Said {
        let mut request = self
            .http
            .request(method, format!("{}{uri}", self.behind))
            .body(body);
        if let Some(kind) = headers.get(CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, kind);
        }
        let answer = request.send().await.expect("the registry answers");
        let (status, mut kind) = (answer.status(), HeaderMap::new());
        kind.extend(
            answer
                .headers()
                .get(CONTENT_TYPE)
                .map(|value| (CONTENT_TYPE, value.clone())),
        );
        (status, kind, answer.bytes().await.expect("to the end"))
    }
}
