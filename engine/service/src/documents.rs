//! What a service says about itself: its OpenAPI document, a page that shows it, and a page for each problem.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::Problem;
use crate::pages::{Page, document, generated, index, to_html};

/// Nothing is fetched from anywhere but the service itself.
const POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

struct Documents {
    /// In the order of the paths: `/openapi.json` and others like it.
    files: Vec<(&'static str, String)>,
    /// The codes of the rules of all installed domains.
    declared: Vec<String>,
}

/// The routes of these documents, `/openapi.json` among them, of `/docs`, and of `/problems`. `declared` are the
/// codes of the installed domains, which may come without a page.
pub fn documents(files: Vec<(&'static str, Value)>, declared: Vec<String>) -> Router {
    let files = files
        .into_iter()
        .map(|(path, json)| (path, format!("{json:#}\n")));
    let documents = Arc::new(Documents {
        files: files.collect(),
        declared,
    });
    let mut router = Router::new()
        .route("/docs", get(docs))
        .route("/problems", get(problems))
        .route("/problems/{code}", get(problem));
    for (place, (path, _)) in documents.files.iter().enumerate() {
        let file = async move |State(documents): State<Arc<Documents>>| {
            let json = documents.files[place].1.clone();
            cached(([(CONTENT_TYPE, "application/json")], json))
        };
        router = router.route(path, get(file));
    }
    router.with_state(documents)
}

async fn docs() -> Response {
    let policy = [(CONTENT_SECURITY_POLICY, POLICY)];
    cached((policy, Html(include_str!("docs.html"))))
}

async fn problems(State(documents): State<Arc<Documents>>, headers: HeaderMap) -> Response {
    page("Problems", index(&documents.declared), &headers)
}

async fn problem(
    State(documents): State<Arc<Documents>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(found) = Page::of(&code) {
        return Ok(page(found.code, found.text.to_owned(), &headers));
    }
    match documents.declared.iter().find(|declared| **declared == code) {
        Some(declared) => Ok(page(declared, generated(declared), &headers)),
        None => Err(
            Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
                .detail("no problem of this service has this code")
                .next("see the codes that there are", "GET", "/problems"),
        ),
    }
}

/// HTML for whoever asks for it, Markdown for all others.
fn page(title: &str, markdown: String, headers: &HeaderMap) -> Response {
    let accepts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let wants_html = accepts.into_iter().any(|value| value.contains("text/html"));
    let response = if wants_html {
        let policy = [(CONTENT_SECURITY_POLICY, POLICY)];
        (policy, Html(document(title, &to_html(&markdown)))).into_response()
    } else {
        ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], markdown).into_response()
    };
    cached(([(VARY, "accept")], response))
}

/// A new version of the program may say something else.
fn cached(response: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-cache")], response).into_response()
}
