use std::time::Duration;

use foldline_query_api::{StreamOptions, router};
use foldline_service::Shutdown;

use crate::toy::{Fixture, api, domains_at_docs};

#[tokio::test]
async fn a_domain_at_a_path_of_the_engine_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let streams = StreamOptions {
        most: 1,
        keep_alive: Duration::from_secs(60),
    };
    let api = api(folder.path(), &domains_at_docs(), streams, &Shutdown::new());
    let refused = router(&api).unwrap_err().to_string();
    assert_eq!(
        refused,
        "wardrobe.papers cannot be served at \"/docs\": the engine serves something there"
    );
}

#[tokio::test]
async fn a_parameter_that_means_nothing_is_named_with_those_that_would_do() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    for (uri, parameter, allowed) in [
        ("/cloakroom/coats?color=red", "color", "colour"),
        ("/cloakroom/coats?wet[is]=true", "wet[is]", "wet[gte]"),
        ("/cloakroom/coats?sort=size", "sort", "price.amount"),
        ("/cloakroom/coats?limit=501", "limit", "1..500"),
        ("/cloakroom/coats/a?fields=id", "fields", "consistency_token"),
        ("/cloakroom/coats/a/pockets?colour=red", "colour", "side"),
        ("/cloakroom/coats/a/events?cursor=x", "cursor", "after"),
    ] {
        let answer = fixture.get(uri).await;
        answer.is_problem(400, "invalid-parameter");
        assert_eq!(answer.body["parameter"], parameter);
        let found = answer.body["allowed"].as_array().unwrap();
        assert!(found.iter().any(|name| name == allowed), "{uri}: {found:?}");
    }
    for uri in [
        "/cloakroom/coats?price.amount=much",
        "/cloakroom/coats?wet=maybe",
        "/cloakroom/coats?limit=0",
        "/cloakroom/coats?cursor=abc",
        "/cloakroom/coats/a/events?after=-1",
    ] {
        fixture.get(uri).await.is_problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn a_cursor_of_another_query_is_refused() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}"), ("b", "{}")]);
    let first = fixture.get("/cloakroom/coats?limit=1").await;
    let next = first.body["next"].as_str().unwrap();
    for other in ["&sort=colour", "&wet=true"] {
        let answer = fixture.get(&format!("{next}{other}")).await;
        answer.is_problem(400, "invalid-parameter");
        assert_eq!(answer.body["parameter"], "cursor");
    }
    let (_, query) = next.split_once('?').unwrap();
    let elsewhere = fixture.get(&format!("/tags?{query}")).await;
    elsewhere.is_problem(400, "invalid-parameter");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_with_a_type() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    for uri in [
        "/cloakroom/coats/b",
        "/cloakroom/coats/%20",
        "/cloakroom/coats/a/sleeves",
        "/cloakroom",
        "/hats/a",
    ] {
        let answer = fixture.get(uri).await;
        answer.is_problem(404, "not-found");
        assert_eq!(answer.body["instance"], uri);
    }
}

#[tokio::test]
async fn what_is_no_id_is_looked_for_nowhere_and_has_no_token() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    for uri in [
        "/cloakroom/coats/%20?at=1",
        "/cloakroom/coats/%20/state",
        "/cloakroom/coats/%20/diff",
        "/cloakroom/coats/%20/history",
    ] {
        let answer = fixture.get(uri).await;
        answer.is_problem(404, "not-found");
        assert!(!answer.headers.contains_key("consistency-token"), "{uri}");
    }
}

#[tokio::test]
async fn nothing_can_be_written_here() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = fixture.ask(method, "/cloakroom/coats/a", &[]).await;
        answer.is_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET,HEAD");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    let answer = fixture.ask("HEAD", "/cloakroom/coats/a", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"3\""));
    assert!(answer.body.is_null());
    assert_eq!(fixture.ask("HEAD", "/cloakroom/coats/b", &[]).await.status, 404);
}
