use axum::body::Body;
use foldline_core::Token;
use foldline_views::Position;
use http::Request;
use serde_json::json;
use tokio::task::JoinSet;

use crate::toy::{Answer, CLUSTER, COATS, Fixture, TAGS, applied, ask, commit, put};

fn token(aggregate: &str, offset: i64) -> String {
    Token::at(CLUSTER, aggregate, 2, offset).to_string()
}

/// A view that has seen the command at offset 7.
fn fixture() -> (Fixture, Box<dyn foldline_views::ViewWriter>) {
    let (fixture, mut writer) = Fixture::with("coats", &[("a", "{\"n\":1}")]);
    commit(&mut *writer, vec![], vec![applied("coats", COATS, 7)]);
    (fixture, writer)
}

async fn at_once(fixture: &Fixture, uri: &str, token: &str) -> Answer {
    let headers = [("prefer", "wait=0"), ("consistency-token", token)];
    fixture.get_with(uri, &headers).await
}

#[tokio::test]
async fn what_the_view_has_seen_is_shown_at_once() {
    let (fixture, _writer) = fixture();
    for offset in [0, 6, 7] {
        let answer = at_once(&fixture, "/cloakroom/coats/a", &token(COATS, offset)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("preference-applied"), "wait=0");
    }
}

#[tokio::test]
async fn a_view_that_is_behind_says_how_far() {
    let (fixture, _writer) = fixture();
    for uri in [
        "/cloakroom/coats/a",
        "/cloakroom/coats",
        "/cloakroom/coats/a/pockets",
        "/cloakroom/coats/b",
    ] {
        let answer = at_once(&fixture, uri, &token(COATS, 8)).await;
        answer.is_problem(503, "view-behind");
        assert_eq!(answer.body["view"], "coats");
        assert_eq!(answer.body["wanted"], json!({ "wardrobe.coats/2": 8 }));
        assert_eq!(answer.body["seen"], json!({ "wardrobe.coats/2": 7 }));
        assert_eq!(answer.header("retry-after"), "1");
    }
    // The history is a projection of its own, and has seen nothing yet.
    let answer = at_once(&fixture, "/cloakroom/coats/a/events", &token(COATS, 7)).await;
    answer.is_problem(503, "view-behind");
    assert_eq!(answer.body["seen"], json!({}));
}

#[tokio::test]
async fn a_history_that_is_read_anew_answers_nothing_before_it_has_come_as_far_as_the_views() {
    let (fixture, mut writer) = fixture();
    for uri in [
        "/cloakroom/coats/a/events",
        "/cloakroom/coats/a/history",
        "/cloakroom/coats/a?at=1",
        "/cloakroom/coats?at=2020-01-01T00:00:00Z",
        "/events",
    ] {
        let answer = fixture.get(uri).await;
        answer.is_problem(503, "view-behind");
        assert_eq!(answer.body["view"], "history", "{uri}");
        assert_eq!(answer.header("retry-after"), "1", "{uri}");
    }
    assert_eq!(fixture.get("/cloakroom/coats/a").await.status, 200);
    // Of tags no view shows more.
    fixture.get("/tags/a/events").await.is_problem(404, "not-found");
    commit(&mut *writer, vec![], vec![applied("history", COATS, 7)]);
    let answer = fixture.get("/cloakroom/coats/a/events").await;
    answer.is_problem(404, "not-found");
    assert_eq!(fixture.get("/events").await.status, 200);
}

#[tokio::test]
async fn a_read_waits_until_the_view_has_come_that_far() {
    let (fixture, mut writer) = fixture();
    let wanted = token(COATS, 9);
    let waiting = many_reads(&fixture, &wanted);
    // Reads take turns: when this one has had its answer, the others have had their first look.
    at_once(&fixture, "/cloakroom/coats/a", &wanted)
        .await
        .is_problem(503, "view-behind");
    let writing = tokio::task::spawn_blocking(move || {
        let mut from = applied("coats", COATS, 7).to;
        for offset in 8..=9 {
            let mut step = applied("coats", COATS, offset);
            step.from = from;
            step.to = Position {
                next_offset: from.next_offset + 1,
                command_offset: offset,
            };
            from = step.to;
            commit(
                &mut *writer,
                vec![put("coats", "a", &format!("{{\"n\":{offset}}}"))],
                vec![step],
            );
        }
        writer
    });
    for answer in waiting.join_all().await {
        assert_eq!((answer.status.as_u16(), &answer.body["n"]), (200, &json!(9)));
        assert!(answer.token().covers(&Token::at(CLUSTER, COATS, 2, 9)));
    }
    writing.await.unwrap();
}

/// The same read many times at once, all of which wait together.
fn many_reads(fixture: &Fixture, token: &str) -> JoinSet<Answer> {
    let mut reads = JoinSet::new();
    for _ in 0..40 {
        let request = Request::get("/cloakroom/coats/a").header("consistency-token", token);
        reads.spawn(ask(fixture.app.clone(), request.body(Body::empty()).unwrap()));
    }
    reads
}

#[tokio::test]
async fn what_the_view_does_not_read_does_not_hold_it_up() {
    let (fixture, _writer) = fixture();
    let mut wanted = Token::at(CLUSTER, COATS, 2, 7);
    wanted.see(TAGS, 2, 1_000);
    let answer = at_once(&fixture, "/cloakroom/coats/a", &wanted.to_string()).await;
    assert_eq!(answer.status, 200);
    // Of another partition of what it reads, it has seen nothing.
    let other = Token::at(CLUSTER, COATS, 3, 0).to_string();
    at_once(&fixture, "/cloakroom/coats/a", &other)
        .await
        .is_problem(503, "view-behind");
}

#[tokio::test]
async fn several_tokens_count_together_wherever_they_come_from() {
    let (fixture, _writer) = fixture();
    let (old, new) = (token(COATS, 3), token(COATS, 8));
    for uri in [
        format!("/cloakroom/coats/a?consistency_token={new}"),
        format!("/cloakroom/coats/a?consistency_token={old}&consistency_token={new}"),
        format!("/cloakroom/coats/a?consistency_token={old},{new}"),
    ] {
        at_once(&fixture, &uri, &old).await.is_problem(503, "view-behind");
    }
    let both = format!("{old}, {new}");
    at_once(&fixture, "/cloakroom/coats/a", &both)
        .await
        .is_problem(503, "view-behind");
    // A token is no part of the links: whoever follows them has one of their own.
    let list = format!("/cloakroom/coats?consistency_token={old}&limit=5");
    assert_eq!(fixture.get(&list).await.body["self"], "/cloakroom/coats?limit=5");
}

#[tokio::test]
async fn a_token_that_says_nothing_here_is_refused() {
    let (fixture, _writer) = fixture();
    let elsewhere = Token::at("cluster-b", COATS, 2, 1).to_string();
    for (text, why) in [
        ("nonsense", "not a consistency token"),
        (elsewhere.as_str(), "another cluster"),
    ] {
        let answer = fixture
            .get_with("/cloakroom/coats/a", &[("consistency-token", text)])
            .await;
        answer.is_problem(400, "invalid-consistency-token");
        assert!(answer.body["detail"].as_str().unwrap().contains(why));
    }
}

#[tokio::test]
async fn a_wait_is_as_long_as_the_operator_allows() {
    let (fixture, _writer) = fixture();
    let headers = [("prefer", "respond-async, wait=3600")];
    let answer = fixture.get_with("/cloakroom/coats/a", &headers).await;
    assert_eq!(answer.header("preference-applied"), "wait=60");
    let without = fixture.get("/cloakroom/coats/a").await;
    assert!(!without.headers.contains_key("preference-applied"));
}
