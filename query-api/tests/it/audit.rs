//! What was asked and what became of it: by aggregate, by conversation, by actor, by time.

use foldline_core::Timestamp;
use foldline_views::{Batch, HISTORY, HistoryCommand, HistoryEvent, Position};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::toy::{Answer, COATS, Fixture, TAGS, applied, event, id};

fn command_id(offset: i64) -> Uuid {
    // Unlike that of any event.
    Uuid::from_u128(1000 + u128::from(offset.unsigned_abs()))
}

/// What the command at this offset has done to coat 7, at the second of the offset.
fn happened(sequence: i64, command_offset: i64) -> HistoryEvent {
    HistoryEvent {
        command_id: command_id(command_offset),
        command_offset,
        recorded_at: Timestamp(command_offset * 1000),
        actor: (command_offset % 2 == 0).then(|| "ada".to_owned()),
        ..event(COATS, "7", sequence)
    }
}

fn asked(aggregate: &str, command_offset: i64, cause: Option<Uuid>, is_refused: bool) -> HistoryCommand {
    HistoryCommand {
        aggregate: aggregate.to_owned(),
        id: id("7"),
        partition: 2,
        offset: 100 + command_offset,
        command_id: command_id(command_offset),
        command_type: "HangUp".to_owned(),
        command_offset,
        sequence: 3,
        issued_at: Some(Timestamp(1)),
        decided_at: Timestamp(command_offset * 1000),
        actor: Some("bob".to_owned()),
        correlation_id: "c".to_owned(),
        causation_id: cause.map(|cause| cause.to_string()),
        refusal: is_refused.then(|| json!({ "code": "never", "detail": "no" }).to_string()),
    }
}

/// Commands 1, 3 and 6 were refused; 4 was caused by the event of 2, and 5 by 4.
fn evening() -> Fixture {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    let mut at = applied(HISTORY, COATS, 6);
    at.to = Position {
        next_offset: 100,
        command_offset: 6,
    };
    let batch = Batch {
        history: vec![
            happened(1, 0),
            happened(2, 2),
            happened(3, 2),
            happened(4, 4),
            happened(5, 5),
        ],
        commands: vec![
            asked(COATS, 1, None, true),
            asked(COATS, 3, Some(Uuid::from_u128(2)), true),
            asked(COATS, 4, Some(Uuid::from_u128(2)), false),
            asked(COATS, 5, Some(command_id(4)), false),
            asked(COATS, 6, None, true),
            asked(TAGS, 900, None, true),
        ],
        moves: vec![at],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    fixture
}

fn shown(answer: &Answer) -> Vec<(String, i64)> {
    let items = answer.body["items"].as_array().unwrap().iter();
    items
        .map(|entry| {
            let offset = entry["command"]["log"]["offset"].as_i64().unwrap();
            (entry["entry"].as_str().unwrap().to_owned(), offset)
        })
        .collect()
}

#[tokio::test]
async fn a_history_has_events_and_refusals_in_the_order_of_their_commands_on_every_page() {
    let fixture = evening();
    let expected = [
        ("event", 0),
        ("refusal", 1),
        ("event", 2),
        ("event", 2),
        ("refusal", 3),
        ("event", 4),
        ("event", 5),
        ("refusal", 6),
    ];
    for limit in 1..=9 {
        let mut next = Some(format!("/cloakroom/coats/7/history?limit={limit}"));
        let mut found = Vec::new();
        while let Some(uri) = next {
            let answer = fixture.get(&uri).await;
            assert_eq!(answer.status, 200, "{uri}: {}", answer.body);
            found.extend(shown(&answer));
            next = answer.body["next"].as_str().map(str::to_owned);
            assert!(found.len() <= expected.len(), "{limit}: {found:?}");
        }
        let found: Vec<(&str, i64)> = found
            .iter()
            .map(|(entry, offset)| (entry.as_str(), *offset))
            .collect();
        assert_eq!(found, expected, "{limit}");
    }
    let all = fixture.get("/cloakroom/coats/7/history").await;
    let refused = &all.body["items"][1];
    assert_eq!(refused["refusal"]["code"], "never");
    assert_eq!(refused["actor"], "bob");
    assert_eq!(
        refused["log"],
        json!({ "topic": "here-wardrobe.coats.results", "partition": 2, "offset": 101 })
    );
    let caused = &all.body["items"][5];
    assert_eq!(caused["command"]["causation_id"], json!(Uuid::from_u128(2)));
    assert_eq!(caused["log"]["topic"], "here-wardrobe.coats.events");
    assert_eq!(all.body["items"][0]["command"]["causation_id"], Value::Null);
    let mut table = fixture.open("/cloakroom/coats/7/history?format=csv", &[]).await;
    let mut text = table.part().await.unwrap().unwrap();
    while let Some(part) = table.part().await {
        text += &part.unwrap();
    }
    assert_eq!(text.lines().count(), 1 + expected.len());
    fixture
        .get("/cloakroom/coats/8/history")
        .await
        .is_problem(404, "not-found");
    let only_refused = fixture.get("/tags/7/history").await;
    assert_eq!(shown(&only_refused), [("refusal".to_owned(), 900)]);
    for bad in [
        "after=x",
        "after=0--9223372036854775808",
        "after=-1-0",
        "limit=0",
        "at=1",
    ] {
        let answer = fixture.get(&format!("/cloakroom/coats/7/history?{bad}")).await;
        answer.is_problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn refusals_are_found_behind_any_number_of_commands_that_did_nothing() {
    let fixture = Fixture::new();
    let cause = Some(Uuid::from_u128(2));
    let batch = Batch {
        commands: (0..30)
            .map(|at| asked(COATS, at, cause, at == 12 || at == 29))
            .collect(),
        moves: vec![applied(HISTORY, COATS, 29)],
        ..Batch::default()
    };
    fixture.writer().commit(&batch).unwrap();
    for limit in 1..=3 {
        let first = fixture
            .get(&format!("/cloakroom/coats/7/history?limit={limit}"))
            .await;
        let mut found = shown(&first);
        if let Some(next) = first.body["next"].as_str() {
            found.extend(shown(&fixture.get(next).await));
        }
        let offsets: Vec<i64> = found.iter().map(|(_, offset)| *offset).collect();
        assert_eq!(offsets, [12, 29], "{limit}");
    }
}

#[tokio::test]
async fn what_is_caused_deeper_than_is_nested_stands_by_itself_in_the_order_of_its_time() {
    let fixture = Fixture::new();
    let batch = Batch {
        commands: (0..70)
            .map(|at| asked(COATS, at, (at > 0).then(|| command_id(at - 1)), false))
            .collect(),
        moves: vec![applied(HISTORY, COATS, 69)],
        ..Batch::default()
    };
    fixture.writer().commit(&batch).unwrap();
    let answer = fixture.get("/correlations/c").await;
    let commands = answer.body["commands"].as_array().unwrap();
    let offsets: Vec<i64> = commands
        .iter()
        .map(|command| command["command"]["log"]["offset"].as_i64().unwrap())
        .collect();
    assert_eq!(offsets, [0, 33, 66]);
}

#[tokio::test]
async fn a_conversation_is_a_tree_of_what_caused_what() {
    let fixture = evening();
    let answer = fixture.get("/correlations/c").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["is_whole"], true);
    let commands = answer.body["commands"].as_array().unwrap();
    let offsets = |commands: &Value| -> Vec<i64> {
        let commands = commands.as_array().unwrap().iter();
        commands
            .map(|command| command["command"]["log"]["offset"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(offsets(&answer.body["commands"]), [0, 1, 2, 6, 900]);
    assert_eq!(commands[1]["outcome"], "refused");
    assert_eq!(commands[2]["events"].as_array().unwrap().len(), 2);
    // By an event of it.
    assert_eq!(offsets(&commands[2]["caused"]), [3, 4]);
    let fourth = &commands[2]["caused"][1];
    assert_eq!(fourth["outcome"], "accepted");
    assert_eq!(offsets(&fourth["caused"]), [5]);
    fixture
        .get("/correlations/none")
        .await
        .is_problem(404, "not-found");
}

#[tokio::test]
async fn the_feed_is_cut_by_actor_and_by_time() {
    let fixture = evening();
    let offsets = async |query: &str| -> Vec<i64> {
        let answer = fixture.get(&format!("/events?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let items = answer.body["items"].as_array().unwrap().iter();
        items.map(|event| event["sequence"].as_i64().unwrap()).collect()
    };
    assert_eq!(offsets("actor=ada").await, [1, 2, 3, 4]);
    assert_eq!(offsets("actor=zoe").await, [] as [i64; 0]);
    assert_eq!(offsets("from=1970-01-01T00:00:02Z").await, [2, 3, 4, 5]);
    assert_eq!(offsets("from=1970-01-01T00:00:02.001Z").await, [4, 5]);
    assert_eq!(offsets("to=1970-01-01T00:00:02Z").await, [1, 2, 3]);
    assert_eq!(
        offsets("to=1970-01-01T00:00:04Z&from=1970-01-01T00:00:01Z&actor=ada").await,
        [2, 3, 4]
    );
    let page = fixture.get("/events?to=1970-01-01T00:00:02Z&limit=2").await;
    let next = page.body["next"].as_str().unwrap();
    assert_eq!(fixture.get(next).await.body["items"][0]["sequence"], 3);
    fixture
        .get("/events?from=yesterday")
        .await
        .is_problem(400, "invalid-parameter");
}
