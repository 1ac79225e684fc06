//! What is followed: histories and rows.

use foldline_views::{Batch, CheckpointMove, HISTORY, Position, RowChange, ViewWriter};
use serde_json::json;
use tokio::task::JoinSet;

use crate::toy::{COATS, Fixture, TAGS, applied, commit, event, put};

/// Writes events of the coat, and how far the history has come with them.
fn happen(writer: &mut dyn ViewWriter, coat: &str, sequences: std::ops::RangeInclusive<i64>) {
    let position = |next_offset| Position {
        next_offset,
        command_offset: next_offset - 1,
    };
    let mut step = applied(HISTORY, COATS, 0);
    let stands = writer.checkpoints().unwrap().get(&step.key).copied();
    step.from = stands.unwrap_or(Position::START);
    step.to = position(*sequences.end() + 1);
    let batch = Batch {
        history: sequences.map(|sequence| event(COATS, coat, sequence)).collect(),
        moves: vec![step],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
}

/// The view has gone on to this command, and the coat is now so.
fn change(writer: &mut dyn ViewWriter, coat: RowChange, command_offset: i64) {
    let mut step = applied("coats", COATS, command_offset);
    let stands = writer.checkpoints().unwrap().get(&step.key).copied();
    step.from = stands.unwrap_or(Position::START);
    step.to.next_offset = command_offset + 1;
    commit(writer, vec![coat], vec![step]);
}

fn at(sequence: i64, doc: &str) -> RowChange {
    let mut row = put("coats", "7", doc);
    row.row.as_mut().unwrap().sequence = sequence;
    row
}

const EVENTS: &str = "/cloakroom/coats/7/events";
const COAT: &str = "/cloakroom/coats/7";

#[tokio::test]
async fn a_history_is_told_as_it_is_and_as_it_goes_on() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    happen(&mut *writer, "7", 1..=3);
    let mut stream = fixture.follow(EVENTS, None).await;
    assert!(stream.headers.contains_key("consistency-token"));
    let told = stream.events(3).await;
    for (sequence, told) in (1..).zip(&told) {
        assert_eq!(told.kind, "HungUp");
        assert_eq!(
            told.json(),
            json!({ "event_type": "HungUp", "sequence": sequence })
        );
    }
    for sequence in 4..=9 {
        happen(&mut *writer, "7", sequence..=sequence);
        assert_eq!(stream.event().await.unwrap().json()["sequence"], sequence);
    }
}

#[tokio::test]
async fn a_history_goes_on_behind_the_last_event_that_the_client_has() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    happen(&mut *writer, "7", 1..=5);
    let ids: Vec<String> = (fixture.follow(EVENTS, None).await.events(5).await)
        .into_iter()
        .map(|told| told.id)
        .collect();
    for (index, id) in ids.iter().take(4).enumerate() {
        let from = |told: Vec<crate::following::Told>| told[0].json()["sequence"].as_u64().unwrap();
        let next = index as u64 + 2;
        assert_eq!(from(fixture.follow(EVENTS, Some(id)).await.events(1).await), next);
        let by_parameter = format!("{EVENTS}?after={id}");
        assert_eq!(
            from(fixture.follow(&by_parameter, None).await.events(1).await),
            next
        );
        let by_sequence = format!("{EVENTS}?after={}", index + 1);
        assert_eq!(
            from(fixture.follow(&by_sequence, None).await.events(1).await),
            next
        );
        // A browser comes back to the address that it began with.
        assert_eq!(
            from(
                fixture
                    .follow(&format!("{EVENTS}?after=0"), Some(id))
                    .await
                    .events(1)
                    .await
            ),
            next
        );
    }
    // From the end on there is nothing until something happens.
    let mut at_end = fixture.follow(EVENTS, Some(&ids[4])).await;
    happen(&mut *writer, "7", 6..=6);
    assert_eq!(at_end.event().await.unwrap().json()["sequence"], 6);
}

#[tokio::test]
async fn only_what_there_is_can_be_followed() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    happen(&mut *writer, "7", 1..=2);
    let accept = ("accept", "text/event-stream");
    for uri in [
        "/cloakroom/coats/8/events",
        "/cloakroom/coats/8",
        "/cloakroom/coats/%20/events",
    ] {
        fixture
            .get_with(uri, &[accept])
            .await
            .is_problem(404, "not-found");
    }
    let id = fixture.follow(EVENTS, None).await.events(1).await.remove(0).id;
    happen(&mut *writer, "9", 1..=9);
    for (header, value, code) in [
        ("last-event-id", id.as_str(), "invalid-header"),
        ("last-event-id", "nonsense", "invalid-header"),
    ] {
        let answer = fixture
            .get_with("/cloakroom/coats/9/events", &[accept, (header, value)])
            .await;
        answer.is_problem(400, code);
        assert_eq!(answer.body["header"], "Last-Event-ID");
    }
    let other = format!("/cloakroom/coats/9/events?after={id}");
    fixture
        .get_with(&other, &[accept])
        .await
        .is_problem(400, "invalid-parameter");
    fixture
        .get_with("/cloakroom/coats/9/events?limit=3", &[accept])
        .await
        .is_problem(400, "invalid-parameter");
}

#[tokio::test]
async fn a_row_is_told_as_it_is_and_at_each_change() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    change(&mut *writer, at(1, r#"{"n":1}"#), 0);
    let mut stream = fixture.follow(COAT, None).await;
    for sequence in 1..=5 {
        let told = stream.event().await.unwrap();
        assert_eq!(told.json()["n"], sequence);
        assert_eq!(told.json()["links"]["self"], COAT);
        assert!(told.id.starts_with(&format!("{sequence}@")), "{}", told.id);
        let doc = format!("{{\"n\":{}}}", sequence + 1);
        change(&mut *writer, at(sequence + 1, &doc), sequence);
    }
}

#[tokio::test]
async fn a_state_that_the_client_has_is_not_told_again() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    change(&mut *writer, at(1, r#"{"n":1}"#), 0);
    let id = fixture.follow(COAT, None).await.event().await.unwrap().id;
    let mut again = fixture.follow(COAT, Some(&id)).await;
    // Another row moves the view, and is not told either.
    change(&mut *writer, put("coats", "8", "{}"), 1);
    change(&mut *writer, at(2, r#"{"n":2}"#), 2);
    assert_eq!(again.event().await.unwrap().json()["n"], 2);
    // Who was away for several changes gets the last.
    let mut late = fixture.follow(&format!("{COAT}?after={id}"), None).await;
    assert_eq!(late.event().await.unwrap().json()["n"], 2);
}

#[tokio::test]
async fn a_row_that_is_removed_ends_its_stream_for_good() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    change(&mut *writer, at(1, "{}"), 0);
    let mut stream = fixture.follow(COAT, None).await;
    let before = stream.event().await.unwrap();
    let mut removed = at(2, "{}");
    removed.row = None;
    change(&mut *writer, removed, 1);
    let gone = stream.event().await.unwrap();
    assert_eq!((gone.kind.as_str(), gone.data.as_str()), ("gone", "{}"));
    assert!(stream.event().await.is_none());

    let accept = ("accept", "text/event-stream");
    let again = fixture
        .get_with(COAT, &[accept, ("last-event-id", &gone.id)])
        .await;
    assert_eq!(again.status, 204, "a browser does not come back after this");
    let late = fixture
        .follow(COAT, Some(&before.id))
        .await
        .event()
        .await
        .unwrap();
    assert_eq!(late.kind, "gone");
    change(&mut *writer, at(3, r#"{"n":3}"#), 2);
    let reborn = fixture.follow(COAT, Some(&gone.id)).await.event().await.unwrap();
    assert_eq!(reborn.json()["n"], 3);
}

#[tokio::test]
async fn views_that_are_built_anew_lead_no_follower_back() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    for sequence in 1..=3 {
        change(
            &mut *writer,
            at(sequence, &format!("{{\"n\":{sequence}}}")),
            sequence - 1,
        );
    }
    happen(&mut *writer, "7", 1..=3);
    let mut row = fixture.follow(COAT, None).await;
    let id = row.event().await.unwrap().id;
    let mut history = fixture.follow(EVENTS, None).await;
    let last = history.events(3).await.remove(2).id;

    drop(writer);
    for file in std::fs::read_dir(fixture.folder.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let mut writer = fixture.writer();
    // Who comes while nothing is there yet waits like those who have stayed.
    let late_row = fixture.follow(COAT, Some(&id)).await;
    let late_history = fixture.follow(EVENTS, Some(&last)).await;
    let mut next = JoinSet::new();
    for mut stream in [row, late_row, history, late_history] {
        next.spawn(async move { stream.event().await.unwrap() });
    }
    let mut witness = fixture.follow("/events", None).await;
    for sequence in 1..=4 {
        change(
            &mut *writer,
            at(sequence, &format!("{{\"n\":{sequence}}}")),
            sequence - 1,
        );
        happen(&mut *writer, "7", sequence..=sequence);
        // Who could be told has had the time for it.
        witness.event().await.unwrap();
        fixture.get(COAT).await;
    }
    for told in next.join_all().await {
        assert_eq!(
            told.json().get("n").unwrap_or(&told.json()["sequence"]),
            4,
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_row_of_several_aggregates_is_told_when_any_of_them_moves() {
    let (fixture, mut writer) = Fixture::with("tags", &[("7", r#"{"n":1}"#)]);
    let mut stream = fixture.follow("/tags/7", None).await;
    assert!(stream.event().await.unwrap().id.starts_with("3-5@"));
    for (aggregate, version) in [(COATS, 6), (TAGS, 7)] {
        let mut row = put("tags", "7", "{}");
        row.row.as_mut().unwrap().version = version;
        let moves: Vec<CheckpointMove> = vec![applied("tags", aggregate, 4)];
        commit(&mut *writer, vec![row], moves);
        assert!(
            stream
                .event()
                .await
                .unwrap()
                .id
                .starts_with(&format!("3-{version}@"))
        );
    }
}
