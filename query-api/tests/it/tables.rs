//! Lists, histories and feeds as tables.

use foldline_views::{Batch, HISTORY, RowChange};
use serde_json::{Value, json};

use crate::toy::{COATS, Fixture, applied, commit, event, put};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn text(fixture: &Fixture, uri: &str) -> String {
    let stream = fixture.open(uri, &[]).await;
    assert_eq!(stream.status, 200, "{uri}");
    stream.rest().await.unwrap()
}

/// So many coats, the price of each of which is its number.
fn many(count: usize) -> (Fixture, Box<dyn foldline_views::ViewWriter>) {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    let rows = (0..count).map(|n| {
        let wet = n % 2 == 0;
        let doc = json!({ "id": format!("{n:06}"), "price": { "amount": n, "currency": "USD" }, "wet": wet });
        put("coats", &format!("{n:06}"), &doc.to_string())
    });
    commit(&mut *writer, rows.collect(), vec![applied("coats", COATS, 4)]);
    (fixture, writer)
}

#[tokio::test]
async fn a_list_as_lines_has_all_of_its_rows() {
    let (fixture, _writer) = many(1_234);
    let amounts = |text: &str| -> Vec<u64> {
        lines(text)
            .iter()
            .map(|row| row["price"]["amount"].as_u64().unwrap())
            .collect()
    };
    let all = text(&fixture, "/cloakroom/coats?format=ndjson").await;
    assert_eq!(amounts(&all), (0..1_234).collect::<Vec<_>>());
    let wet = text(
        &fixture,
        "/cloakroom/coats?format=ndjson&wet=true&sort=-price.amount",
    )
    .await;
    assert_eq!(
        amounts(&wet),
        (0..1_234).rev().filter(|n| n % 2 == 0).collect::<Vec<_>>()
    );
    for limit in [1, 200, 201, 999, 5_000] {
        let some = text(&fixture, &format!("/cloakroom/coats?format=ndjson&limit={limit}")).await;
        assert_eq!(amounts(&some).len(), limit.min(1_234));
    }
    let none = text(&fixture, "/cloakroom/coats?format=ndjson&price.amount%5Blt%5D=0").await;
    assert_eq!(none, "");
}

#[tokio::test]
async fn a_table_says_what_it_has_seen_at_least() {
    let (fixture, _writer) = many(3);
    let stream = fixture.open("/cloakroom/coats?format=csv", &[]).await;
    let token: foldline_core::Token = stream.headers["consistency-token"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(token.positions().collect::<Vec<_>>(), [(COATS, 2, 4)]);
    let newer = foldline_core::Token::at(crate::toy::CLUSTER, COATS, 2, 5).to_string();
    let headers = [("consistency-token", newer.as_str()), ("prefer", "wait=0")];
    let behind = fixture.get_with("/cloakroom/coats?format=csv", &headers).await;
    behind.is_problem(503, "view-behind");
}

#[tokio::test]
async fn the_columns_of_a_table_do_not_depend_on_its_rows() {
    const HEAD: &str = "id,colour,price.amount,price.currency,wet,pockets\r\n";
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    assert_eq!(text(&fixture, "/cloakroom/coats?format=csv").await, HEAD);
    let rows = vec![
        put("coats", "1", r#"{"id":"1","wet":true,"other":1}"#),
        put(
            "coats",
            "2",
            r#"{"id":"2","colour":"a \"grün\", b\nc","price":{"amount":-5,"currency":"USD"},"wet":false,
                "pockets":[{"side":"left","coins":2},{"side":"right, or so","coins":0}]}"#,
        ),
    ];
    commit(&mut *writer, rows, vec![]);
    let second = "2,\"a \"\"grün\"\", b\nc\",-5,USD,false,\"[{\"\"side\"\":\"\"left\"\",\"\"coins\"\":2},\
                  {\"\"side\"\":\"\"right, or so\"\",\"\"coins\"\":0}]\"\r\n";
    assert_eq!(
        text(&fixture, "/cloakroom/coats?format=csv").await,
        format!("{HEAD}1,,,,true,\r\n{second}")
    );
    assert_eq!(
        text(&fixture, "/cloakroom/coats/2/pockets?format=csv&sort=coins").await,
        "side,coins\r\n\"right, or so\",0\r\nleft,2\r\n"
    );
    let one = text(&fixture, "/cloakroom/coats/2/pockets?format=ndjson&limit=1").await;
    assert_eq!(one, "{\"side\":\"left\",\"coins\":2}\n");
}

#[tokio::test]
async fn a_history_and_a_feed_are_tables_too() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    let mut step = applied(HISTORY, COATS, 1_000);
    step.to.next_offset = 1_001;
    let batch = Batch {
        history: (1..=1_000).map(|sequence| event(COATS, "7", sequence)).collect(),
        moves: vec![step],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    let history = text(&fixture, "/cloakroom/coats/7/events?format=ndjson&after=300").await;
    let sequences: Vec<u64> = lines(&history)
        .iter()
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, (301..=1_000).collect::<Vec<_>>());
    let some = text(&fixture, "/cloakroom/coats/7/events?format=csv&limit=250").await;
    assert_eq!(some.lines().count(), 251);
    assert!(
        some.starts_with("event_id,event_type,aggregate_id,sequence,"),
        "{some:.80}"
    );

    let feed = fixture.open("/events?format=csv&type=HungUp", &[]).await;
    let position = feed.headers["event-position"].to_str().unwrap().to_owned();
    // What comes while it is read is not of it, and is what comes behind its position.
    let mut step = applied(HISTORY, COATS, 1_001);
    step.from = batch.moves[0].to;
    step.to.next_offset = 1_002;
    let later = Batch {
        history: vec![event(COATS, "7", 1_001)],
        moves: vec![step],
        ..Batch::default()
    };
    writer.commit(&later).unwrap();
    let feed = feed.rest().await.unwrap();
    assert_eq!(feed.lines().count(), 1_001);
    assert!(feed.starts_with("aggregate,event_id,event_type,"), "{feed:.80}");
    let rest = text(&fixture, &format!("/events?format=ndjson&after={position}")).await;
    assert_eq!(lines(&rest)[0]["sequence"], 1_001);
    assert_eq!(lines(&rest).len(), 1);
}

#[tokio::test]
async fn a_table_is_read_no_further_than_its_client_has_come() {
    for format in ["ndjson", "csv"] {
        let (fixture, mut writer) = many(1_000);
        let mut stream = fixture
            .open(&format!("/cloakroom/coats?format={format}"), &[])
            .await;
        stream.part().await.unwrap().unwrap();
        // Had the rows been collected before the first was sent, this one would still be among them.
        let gone = RowChange {
            row: None,
            ..put("coats", "000999", "")
        };
        commit(&mut *writer, vec![gone], vec![]);
        let rest = stream.rest().await.unwrap();
        assert!(rest.contains("000998"), "{format}");
        assert!(!rest.contains("000999"), "{format}");
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_finished_breaks_off() {
    let (fixture, writer) = many(1_000);
    let mut stream = fixture.open("/cloakroom/coats?format=ndjson", &[]).await;
    stream.part().await.unwrap().unwrap();
    drop(writer);
    std::fs::remove_file(fixture.folder.path().join("views.db")).unwrap();
    assert!(stream.rest().await.is_err(), "nobody takes a part for the whole");
}
