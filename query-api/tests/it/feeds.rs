//! `/events`: the feed of all aggregates.

use foldline_views::{SqliteStore, ViewStore, ViewWriter};
use serde_json::json;

use crate::log::{Draw, Filter, Log, number};
use crate::toy::{COATS, Fixture};

/// A log of `count` events, all written.
fn filled(count: usize) -> (Fixture, Box<dyn ViewWriter>, Log) {
    let draws: Vec<Draw> = (0..count)
        .map(|n| (n % 2 == 0, i32::try_from(n % 3).unwrap(), n % 5 == 0, 1))
        .collect();
    let (fixture, log) = (Fixture::new(), Log::new(&draws));
    let mut writer = fixture.writer();
    log.write(&mut *writer, 0..count);
    (fixture, writer, log)
}

#[tokio::test]
async fn what_a_feed_takes_can_be_chosen_and_what_there_is_not_is_refused() {
    let (fixture, _writer, log) = filled(40);
    for (query, wanted) in [
        ("", (0..40).collect::<Vec<usize>>()),
        (
            "?aggregate=wardrobe.coats",
            log.wanted(
                Filter {
                    coats_only: true,
                    ups_only: false,
                },
                40,
            ),
        ),
        (
            "?type=HungUp&limit=50",
            log.wanted(
                Filter {
                    coats_only: false,
                    ups_only: true,
                },
                40,
            ),
        ),
        (
            "?type=HungUp&type=TookDown&aggregate=wardrobe.tags&aggregate=wardrobe.coats",
            (0..40).collect(),
        ),
    ] {
        let answer = fixture.get(&format!("/events{query}")).await;
        let items = answer.body["items"].as_array().unwrap();
        let mut numbers: Vec<_> = items
            .iter()
            .map(|item| item["number"].as_u64().unwrap() as usize)
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, wanted, "{query}");
        assert!(
            items
                .iter()
                .all(|item| item["aggregate"].as_str().unwrap().starts_with("wardrobe."))
        );
    }
    for (query, allowed) in [
        ("aggregate=wardrobe.hats", "wardrobe.coats"),
        ("type=Burnt", "TookDown"),
        ("colour=red", "aggregate"),
    ] {
        let answer = fixture.get(&format!("/events?{query}")).await;
        answer.is_problem(400, "invalid-parameter");
        let names = answer.body["allowed"].as_array().unwrap();
        assert!(names.contains(&json!(allowed)), "{names:?}");
    }
}

#[tokio::test]
async fn the_pages_of_a_feed_lead_on_to_what_comes() {
    let (fixture, mut writer, log) = filled(41);
    let mut uri = "/events?limit=7".to_owned();
    let mut numbers = Vec::new();
    let position = loop {
        let answer = fixture.get(&uri).await;
        let items = answer.body["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        numbers.extend(items.iter().map(|item| item["number"].as_u64().unwrap()));
        match answer.body["next"].as_str() {
            Some(next) => next.clone_into(&mut uri),
            None => break answer.header("event-position").to_owned(),
        }
    };
    numbers.sort_unstable();
    assert_eq!(numbers, (0..41).collect::<Vec<_>>());
    let mut stream = fixture.follow(&format!("/events?after={position}"), None).await;
    let more = more(&log);
    more.write(&mut *writer, log.0.len()..log.0.len() + 1);
    assert_eq!(number(&stream.event().await.unwrap()), log.0.len());
}

/// The same log, and one event behind it.
fn more(log: &Log) -> Log {
    let last = log
        .0
        .iter()
        .rfind(|event| event.aggregate == COATS && event.partition == 0)
        .unwrap();
    let mut next = last.clone();
    next.offset += 3;
    next.sequence += 1;
    next.json = json!({ "event_type": next.event_type, "number": log.0.len() }).to_string();
    let mut log = log.clone();
    log.0.push(next);
    log
}

#[tokio::test]
async fn a_feed_from_now_on_misses_nothing_from_its_first_word_on() {
    let (fixture, mut writer, log) = filled(10);
    let mut stream = fixture.follow("/events?after=now", None).await;
    stream.block().await.unwrap();
    let now = stream.block().await.unwrap();
    assert!(now.data.is_empty() && !now.id.is_empty(), "an id alone: {now:?}");
    drop(stream);
    more(&log).write(&mut *writer, 10..11);
    // As a browser comes back: to the same address, with the last id.
    let mut again = fixture.follow("/events?after=now", Some(&now.id)).await;
    assert_eq!(number(&again.event().await.unwrap()), 10);
}

#[tokio::test]
async fn what_is_left_out_is_not_looked_at_again_when_the_client_comes_back() {
    let fixture = Fixture::with_streams(9, std::time::Duration::from_millis(20));
    let mut writer = fixture.writer();
    let log = Log::new(&[(true, 0, false, 0); 30]);
    log.write(&mut *writer, 0..30);
    let mut stream = fixture.follow("/events?type=HungUp", None).await;
    let moved = loop {
        let told = stream.block().await.unwrap();
        assert!(told.data.is_empty());
        if !told.id.is_empty() {
            break told.id;
        }
    };
    let rest = fixture.get(&format!("/events?after={moved}")).await;
    assert_eq!(rest.body["items"], json!([]));
    assert!(
        stream.block().await.unwrap().is_comment,
        "and then it only says that it is there"
    );
}

#[tokio::test]
async fn a_place_of_another_cluster_is_refused() {
    let (fixture, _writer, _) = filled(3);
    let id = fixture.follow("/events", None).await.event().await.unwrap().id;
    let other = Fixture::new();
    let store = SqliteStore::new(other.folder.path().join("views.db"));
    drop(store.writer(&crate::toy::domains(), "cluster-b").unwrap());
    for accept in ["text/event-stream", "application/json", "text/csv"] {
        let headers = [("accept", accept), ("last-event-id", id.as_str())];
        other
            .get_with("/events", &headers)
            .await
            .is_problem(400, "invalid-header");
        let by_parameter = format!("/events?after={id}");
        let answer = other.get_with(&by_parameter, &headers[..1]).await;
        answer.is_problem(400, "invalid-parameter");
    }
}
