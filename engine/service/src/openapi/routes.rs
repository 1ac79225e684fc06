//! For tests of services: whether a document and a router have the same operations.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use http::Request;
use http::header::ALLOW;
use serde_json::Value;
use tower::ServiceExt;

/// What the one has and the other has not, in words. A path is asked with a method that none has, and the answer says
/// which it has.
pub async fn differences(router: &Router, document: &Value) -> Vec<String> {
    let served = paths(router);
    let written: BTreeSet<String> = keys(&document["paths"]).collect();
    let mut found: Vec<String> = served
        .difference(&written)
        .map(|path| format!("{path} is served and not documented"))
        .chain(
            written
                .difference(&served)
                .map(|path| format!("{path} is documented and not served")),
        )
        .collect();
    for path in served.intersection(&written) {
        let methods = methods(router, path).await;
        let documented: BTreeSet<String> = keys(&document["paths"][path]).collect();
        if methods != documented {
            found.push(format!("{path} serves {methods:?} and documents {documented:?}"));
        }
    }
    found
}

fn keys(object: &Value) -> impl Iterator<Item = String> {
    object
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys().cloned())
}

/// A router has no list of its paths for others: this is how it prints itself.
fn paths(router: &Router) -> BTreeSet<String> {
    let printed = format!("{router:?}");
    let nodes = printed.split_once("Node { paths: {").map_or("", |(_, rest)| rest);
    let nodes = nodes.split_once("} }").map_or(nodes, |(nodes, _)| nodes);
    let quoted = nodes.split('"').skip(1).step_by(2).map(str::to_owned);
    quoted.filter(|path| !path.contains("__private")).collect()
}

/// The methods of a path, without HEAD, which comes with GET.
async fn methods(router: &Router, path: &str) -> BTreeSet<String> {
    let filled = path.replace(['{', '}'], "");
    let request = Request::trace(filled).body(Body::empty());
    let request = request.expect("a path of ours is a path");
    let Ok(response) = router.clone().oneshot(request).await;
    let allow = response
        .headers()
        .get(ALLOW)
        .and_then(|allow| allow.to_str().ok());
    let methods = allow.unwrap_or_default().split(',').map(str::to_ascii_lowercase);
    methods
        .filter(|method| !method.is_empty() && method != "head")
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::{get, post};
    use serde_json::json;

    use super::differences;

    #[tokio::test]
    async fn a_path_or_a_method_that_only_one_of_them_has_is_found() {
        let router = Router::new()
            .route("/a/{id}", get(async || "").post(async || ""))
            .merge(Router::new().route("/b", post(async || "")));
        let same = json!({ "paths": { "/a/{id}": { "get": 1, "post": 1 }, "/b": { "post": 1 } } });
        assert_eq!(differences(&router, &same).await, [""; 0]);
        let other = json!({ "paths": { "/a/{id}": { "get": 1 }, "/c": { "get": 1 } } });
        let found = differences(&router, &other).await;
        assert_eq!(
            found[..2],
            [
                "/b is served and not documented",
                "/c is documented and not served"
            ]
        );
        assert!(found[2].starts_with("/a/{id} serves"), "{found:?}");
    }
}
