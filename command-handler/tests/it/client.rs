//! Requests to the write API, in this process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::{Extension, Router};
use foldline_command_handler::http::{Api, documents, routes};
use foldline_service::{Caller, Health, HttpSettings, Shutdown, app, bind, serve};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::engine::{Engine, Taken, Then};
use super::parcels::domains;

pub const GOOD: &str = r#"{"weight": 5, "shipping_container": "/containers/7"}"#;

/// Of requests in this process, bodies are there at once.
const BODY_TIMEOUT: Duration = Duration::from_millis(100);

pub struct Client {
    app: Router,
    pub engine: Engine,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Client {
    pub fn of(engine: Engine) -> Self {
        Self::by(engine, Caller::anyone())
    }

    /// Whose requests are this caller's, as a guard would have found it.
    pub fn by(engine: Engine, caller: Caller) -> Self {
        let http = HttpSettings::default();
        let api = Api {
            commands: Box::new(engine.clone()),
            domains: domains(),
            query_api: "http://read.test".into(),
            wait: Duration::from_secs(10),
            wait_max: Duration::from_secs(60),
            body_bytes_max: http.body_bytes_max,
            body_timeout: BODY_TIMEOUT,
        };
        let health = Health::new(&Shutdown::new(), Vec::new);
        Self {
            app: app(
                routes(api)
                    .unwrap()
                    .layer(Extension(caller))
                    .merge(documents(&domains(), "")),
                health,
                &http,
            ),
            engine,
        }
    }

    pub fn when(then: Then) -> Self {
        Self::of(Engine::new(then))
    }

    /// Serves it on a port, for as long as the test runs.
    pub async fn served(&self) -> SocketAddr {
        let listener = bind("127.0.0.1:0".parse().unwrap(), &HttpSettings::default())
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let app = self.app.clone();
        tokio::spawn(async move { serve(listener, app, &Shutdown::new(), &HttpSettings::default()).await });
        address
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.engine.taken.lock().unwrap().clone()
    }

    /// The only command that was handed in.
    #[track_caller]
    pub fn only(&self) -> Taken {
        let taken = self.taken();
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken[0].clone()
    }
}

impl Answer {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Checks that it is a problem that has a page, and where it puts the blame.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str, pointers: &[&str]) {
        self.is_refusal(status, code, pointers);
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/errors/{code}.md"));
        let page = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(
            page.starts_with(&format!("# {code} ({status})")),
            "docs/errors/{code}.md"
        );
        let title = format!("\"title\": {}", self.body["title"]);
        assert!(page.contains(&title), "docs/errors/{code}.md is to show {title}");
    }

    /// As [`is_problem`](Self::is_problem), for rules of the domain that there is in these tests alone.
    #[track_caller]
    pub fn is_refusal(&self, status: u16, code: &str, pointers: &[&str]) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["type"], format!("/problems/{code}"), "{}", self.body);
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let found: Vec<&str> = errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(found, pointers, "{}", self.body);
    }
}
