use foldline_views::Batch;
use serde_json::json;

use crate::toy::{COATS, Fixture, TAGS, applied, commit, event, put};

#[tokio::test]
async fn a_row_comes_with_where_to_go_from_it() {
    let (fixture, _writer) = Fixture::with("coats", &[("7", "{\"id\":\"7\",\"colour\":\"red\"}")]);
    let answer = fixture.get("/cloakroom/coats/7").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(
        answer.body,
        json!({
            "id": "7",
            "colour": "red",
            "links": {
                "self": "/cloakroom/coats/7",
                "events": "/cloakroom/coats/7/events",
                "commands": "http://commands.example/cloakroom/coats/7/commands",
                "pockets": "/cloakroom/coats/7/pockets",
            },
        })
    );
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let (fixture, mut writer) = Fixture::with("coats", &[("7", "{}")]);
    let etag = fixture.get("/cloakroom/coats/7").await.header("etag").to_owned();
    assert_eq!(
        etag, "\"3\"",
        "the sequence of the one aggregate that it is a fold of"
    );
    for known in [etag.as_str(), "\"1\", W/\"3\"", "*"] {
        let answer = fixture
            .get_with("/cloakroom/coats/7", &[("if-none-match", known)])
            .await;
        assert_eq!(answer.status, 304, "{known}");
        assert_eq!(answer.header("etag"), etag);
        assert!(answer.headers.contains_key("consistency-token"));
        assert!(answer.body.is_null());
    }
    let mut newer = put("coats", "7", "{}");
    newer.row.as_mut().unwrap().sequence = 4;
    commit(&mut *writer, vec![newer], vec![]);
    let answer = fixture
        .get_with("/cloakroom/coats/7", &[("if-none-match", &etag)])
        .await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"4\""));
}

#[tokio::test]
async fn a_row_of_several_aggregates_has_its_version_in_the_etag() {
    let (fixture, _writer) = Fixture::with("tags", &[("7", "{}")]);
    assert_eq!(fixture.get("/tags/7").await.header("etag"), "\"3-5\"");
}

#[tokio::test]
async fn every_read_says_how_far_it_has_seen() {
    let (fixture, mut writer) = Fixture::with("tags", &[("7", "{}")]);
    let moves = vec![
        applied("tags", TAGS, 8),
        applied("tags", COATS, 9),
        applied("coats", COATS, 4),
        applied("history", TAGS, 6),
        applied("history", COATS, 5),
    ];
    commit(&mut *writer, vec![], moves);
    let of_tags: &[(&str, i32, i64)] = &[(COATS, 2, 9), (TAGS, 2, 8)];
    for (uri, expected) in [
        ("/tags/7", of_tags),
        ("/tags", of_tags),
        ("/tags/none", of_tags),
        ("/cloakroom/coats", &[(COATS, 2, 4)]),
        ("/tags/7/events", &[(TAGS, 2, 6)]),
    ] {
        let token = fixture.get(uri).await.token();
        assert_eq!(token.positions().collect::<Vec<_>>(), expected, "{uri}");
    }
}

#[tokio::test]
async fn the_history_of_an_aggregate_is_read_in_pages() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    let history = (1..=5).map(|sequence| event(COATS, "7", sequence)).collect();
    let batch = Batch {
        history,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();

    let mut uri = "/cloakroom/coats/7/events?limit=2".to_owned();
    let mut sequences = Vec::new();
    loop {
        let answer = fixture.get(&uri).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["self"], uri);
        let items = answer.body["items"].as_array().unwrap().iter();
        sequences.extend(items.map(|event| event["sequence"].as_i64().unwrap()));
        match answer.body["next"].as_str() {
            Some(next) => next.clone_into(&mut uri),
            None => break,
        }
    }
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    let after_all = fixture.get("/cloakroom/coats/7/events?after=5").await;
    assert_eq!(
        (after_all.status.as_u16(), &after_all.body["items"]),
        (200, &json!([]))
    );
    fixture
        .get("/cloakroom/coats/8/events")
        .await
        .is_problem(404, "not-found");
    fixture.get("/tags/7/events").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn the_index_says_what_there_is() {
    let fixture = Fixture::new();
    let answer = fixture.get("/").await;
    assert_eq!(answer.status, 200);
    let coats = &answer.body["resources"][0];
    assert_eq!(coats["links"]["self"], "/cloakroom/coats");
    assert_eq!(
        coats["fields"],
        json!({ "colour": "text", "price.amount": "number", "wet": "boolean", "id": "text" })
    );
    assert_eq!(
        coats["lists"][0]["links"]["self"],
        "/cloakroom/coats/{id}/pockets"
    );
    assert_eq!(
        answer.body["histories"][1]["links"]["events"],
        "/tags/{id}/events"
    );
}

#[tokio::test]
async fn it_is_ready_as_soon_as_the_projector_has_made_the_views() {
    let fixture = Fixture::new();
    let answer = fixture.get("/readyz?verbose").await;
    answer.is_problem(503, "not-ready");
    assert!(answer.body["detail"].as_str().unwrap().contains("projector"));
    let read = fixture.get("/tags").await;
    read.is_problem(503, "unavailable");
    assert_eq!(read.header("retry-after"), "1");

    let _writer = fixture.writer();
    assert_eq!(fixture.get("/readyz").await.status, 200);
    assert_eq!(fixture.get("/tags").await.status, 200);
}

#[tokio::test]
async fn the_installed_domains_have_a_place_each() {
    let fixture = Fixture::of(&foldline_domains::installed());
    let index = fixture.get("/").await;
    for view in index.body["resources"].as_array().unwrap() {
        let path = view["links"]["self"].as_str().unwrap();
        let list = fixture.get(path).await;
        assert_eq!(
            (list.status.as_u16(), &list.body["items"]),
            (200, &json!([])),
            "{path}"
        );
        for field in view["fields"].as_object().unwrap().keys() {
            let sorted = fixture.get(&format!("{path}?sort=-{field}")).await;
            assert_eq!(sorted.status, 200, "{path} by {field}: {}", sorted.body);
        }
    }
}
