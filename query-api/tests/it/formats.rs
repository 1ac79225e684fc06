//! The form of an answer is the client's choice among those that there are.

use crate::toy::{COATS, Fixture, event};
use foldline_views::Batch;

#[tokio::test]
async fn what_there_is_no_answer_in_is_refused() {
    let (fixture, mut writer) = Fixture::with("coats", &[("7", "{\"pockets\":[]}")]);
    let history = vec![event(COATS, "7", 1)];
    let batch = Batch {
        history,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    for (uri, accept) in [
        ("/cloakroom/coats", "text/event-stream"),
        ("/cloakroom/coats", "text/html"),
        ("/cloakroom/coats/7", "text/csv"),
        ("/cloakroom/coats/7/pockets", "text/event-stream, text/html;q=0.5"),
        ("/cloakroom/coats/7/events", "application/xml"),
        ("/events", "application/json;q=0"),
    ] {
        let answer = fixture.get_with(uri, &[("accept", accept)]).await;
        answer.is_problem(406, "not-acceptable");
        assert!(!answer.body["offered"].as_array().unwrap().is_empty());
    }
    let answer = fixture.get("/cloakroom/coats?format=xml").await;
    answer.is_problem(400, "invalid-parameter");
    assert_eq!(
        answer.body["allowed"],
        serde_json::json!(["json", "ndjson", "csv"])
    );
}

#[tokio::test]
async fn the_parameter_counts_more_than_the_header() {
    let (fixture, _writer) = Fixture::with("coats", &[("7", "{\"pockets\":[]}")]);
    for (query, accept, kind) in [
        ("", "*/*", "application/json"),
        ("", "text/csv", "text/csv; charset=utf-8; header=present"),
        ("", "application/x-ndjson", "application/x-ndjson"),
        (
            "?format=csv",
            "text/html",
            "text/csv; charset=utf-8; header=present",
        ),
        ("?format=json", "text/csv", "application/json"),
        ("?format=ndjson", "*/*", "application/x-ndjson"),
    ] {
        let uri = format!("/cloakroom/coats{query}");
        let answer = fixture.get_with(&uri, &[("accept", accept)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, kind)
        );
        assert_eq!(answer.header("vary"), "accept");
    }
}
