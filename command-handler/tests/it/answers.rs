//! Outcomes as answers.

use foldline_command_handler::NotTaken;
use foldline_core::{Refusal, RefusalKind, Token};
use foldline_service::Caller;
use serde_json::{Value, json};

use super::client::{Client, GOOD};
use super::engine::{Engine, Then};

const TO_ONE: &str = "/parcels/p-1/commands";
const SEND: &str = r#"{"type": "SendParcel", "weight": 5, "shippingContainer": "/containers/7"}"#;

fn token() -> String {
    Token::at("here", "post.parcels", 1, 5).to_string()
}

#[tokio::test]
async fn an_accepted_command_that_creates_is_201_with_everything_to_go_on() {
    let client = Client::when(Then::Accept(1));
    let answer = client.post(TO_ONE, SEND, &[]).await;
    let id = client.only().meta.command_id;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), "http://read.test/parcels/p-1");
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("consistency-token"), token());
    assert_eq!(answer.header("cache-control"), "no-store");
    let event = json!({
        "event_id": "00000000-0000-0000-0000-000000000007", "event_type": "ParcelSent", "sequence": 1,
    });
    let expected = json!({
        "command_id": id,
        "command_type": "SendParcel",
        "status": "accepted",
        "aggregate": "/parcels/p-1",
        "sequence": 1,
        "events": [event],
        "consistency_token": token(),
        "correlation_id": "talk",
        "decided_at": "1970-01-01T00:00:00.000Z",
        "replayed": false,
        "links": {
            "view": "http://read.test/parcels/p-1",
            "events": "http://read.test/parcels/p-1/events",
            "commands": "/parcels/p-1/commands",
            "outcome": format!("/commands/{id}"),
        },
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn an_accepted_command_that_changes_is_200_and_so_is_one_that_changes_nothing() {
    for then in [Then::Accept(3), Then::Already] {
        let answer = Client::when(then)
            .post(TO_ONE, r#"{"type": "DeliverParcel"}"#, &[])
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("etag"), "\"3\"");
    }
}

#[tokio::test]
async fn each_kind_of_refusal_has_its_status() {
    for (kind, status) in [
        (RefusalKind::State, 409),
        (RefusalKind::Value, 422),
        (RefusalKind::Malformed, 400),
        (RefusalKind::UnknownReference, 422),
        (RefusalKind::UnknownAggregate, 404),
        (RefusalKind::Sequence, 412),
        (RefusalKind::CommandId, 422),
        (RefusalKind::Failed, 500),
    ] {
        let refusal = Refusal::engine("a-rule", kind, "it is so".into());
        let answer = Client::when(Then::Refuse(refusal)).post(TO_ONE, SEND, &[]).await;
        answer.is_refusal(status, "a-rule", &[]);
        assert!(
            answer.body["next"][0]["description"].is_string(),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_refusal_names_the_rule_the_field_and_where_the_aggregate_stands() {
    let refusal = Refusal {
        step: 0,
        code: "container-full".into(),
        kind: RefusalKind::State,
        detail: "container 7 is full".into(),
        field: Some("shipping_container".into()),
    };
    let client = Client::when(Then::Refuse(refusal));
    let answer = client.post(TO_ONE, SEND, &[]).await;
    answer.is_refusal(409, "container-full", &["/shippingContainer"]);
    let body = &answer.body;
    assert_eq!(body["title"], "Container full");
    assert_eq!(body["detail"], "container 7 is full");
    assert_eq!(body["code"], "container-full");
    assert_eq!(body["command_id"], client.only().meta.command_id.to_string());
    assert_eq!(body["aggregate"], "/parcels/p-1");
    assert_eq!(body["sequence"], 3);
    assert_eq!(body["next"][0]["href"], "/parcels/p-1/commands");
    assert_eq!(body["trace_id"].as_str().map(str::len), Some(32));
    assert_eq!(body["consistency_token"], token());
    assert_eq!(body["instance"], TO_ONE);
    assert_eq!(answer.header("etag"), "\"3\"");
    assert_eq!(answer.header("consistency-token"), token());
}

#[tokio::test]
async fn a_command_that_is_not_decided_in_time_is_202_with_where_to_ask() {
    let client = Client::when(Then::Silence);
    let prefer = [("prefer", "respond-async")];
    let answer = client.post("/parcels", GOOD, &prefer).await;
    let meta = client.only().meta;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.header("location"),
        format!("/commands/{}", meta.command_id)
    );
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.body["status"], "pending");
    assert_eq!(
        answer.body["aggregate"],
        format!("/parcels/{}", meta.aggregate_id)
    );
    let answer = client.post("/parcels", GOOD, &[("prefer", "wait=100")]).await;
    assert_eq!(answer.header("preference-applied"), "wait=60");
}

#[tokio::test]
async fn a_command_that_is_not_taken_is_503_with_when_to_come_back() {
    for (reason, code, seconds) in [
        (NotTaken::Full, "overloaded", "1"),
        (
            NotTaken::Unavailable("no broker".into()),
            "kafka-unavailable",
            "5",
        ),
    ] {
        let client = Client::when(Then::NotTaken(reason));
        let answer = client.post(TO_ONE, SEND, &[]).await;
        answer.is_problem(503, code, &[]);
        assert_eq!(answer.header("retry-after"), seconds);
        assert_eq!(
            answer.body["command_id"],
            client.only().meta.command_id.to_string()
        );
    }
    let bug = Then::NotTaken(NotTaken::Bug("inside".into()));
    let answer = Client::when(bug).post(TO_ONE, SEND, &[]).await;
    answer.is_problem(500, "internal", &[]);
    assert!(!answer.body.to_string().contains("inside"));
}

#[tokio::test]
async fn a_dry_run_shows_events_and_state_and_hands_nothing_in() {
    let client = Client::when(Then::Accept(1));
    let answer = client.post("/parcels/p-1/commands?dry_run=true", SEND, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["dry_run"], true);
    assert_eq!(answer.body["events"], json!([{"event_type": "ParcelSent"}]));
    assert_eq!(answer.body["state"], json!({"weight": 7}));
    assert!(client.engine.taken.lock().unwrap().is_empty());

    let misspelt = client.post("/parcels/p-1/commands?dryrun=true", SEND, &[]).await;
    assert_eq!(misspelt.status, 400);
    assert_eq!(misspelt.body["type"], "/problems/invalid-parameter");
}

/// What a caller is told of a dry run on a parcel that is ada's.
async fn rehearsed(subject: &str, scopes: &str) -> Value {
    let caller = Caller::new(subject, scopes.split(' ').map(str::to_owned));
    let client = Client::by(Engine::new(Then::Accept(1)), caller);
    let answer = client.post("/parcels/p-1/commands?dry_run=true", SEND, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_dry_run_shows_payloads_and_state_to_who_may_read_the_history_alone() {
    for (subject, scopes) in [
        ("bob", "post.parcels:write post.parcels:history"),
        ("ada", "post.parcels:write post.parcels:history-own"),
    ] {
        let told = rehearsed(subject, scopes).await;
        assert_eq!(told["events"], json!([{"event_type": "ParcelSent"}]), "{scopes}");
        assert_eq!(told["state"], json!({"weight": 7}), "{scopes}");
    }
    let as_really = json!([{
        "event_id": "00000000-0000-0000-0000-000000000007", "event_type": "ParcelSent", "sequence": 1,
    }]);
    for (subject, scopes) in [
        ("ada", "post.parcels:write"),
        ("ada", "post.parcels:write post.parcels:read"),
        ("bob", "post.parcels:write post.parcels:history-own"),
        ("bob", "post.parcels:write post.letters:history"),
    ] {
        let told = rehearsed(subject, scopes).await;
        assert_eq!(told["events"], as_really, "{scopes}");
        assert_eq!(told.get("state"), None, "{scopes}");
    }
}

#[tokio::test]
async fn what_the_engine_could_not_read_back_is_400_and_says_why() {
    let reason = "a command must not hold that";
    let then = Then::NotTaken(NotTaken::Unreadable(reason.into()));
    let answer = Client::when(then).post(TO_ONE, SEND, &[]).await;
    answer.is_problem(400, "invalid-command", &[]);
    assert_eq!(answer.body["detail"], reason);
}

#[tokio::test]
async fn in_a_list_a_mistake_and_a_refusal_have_the_entrys_pointer() {
    let list = format!("[{SEND}, {{\"type\": \"SendParcel\", \"weight\": \"x\"}}]");
    let answer = Client::when(Then::Accept(1)).post(TO_ONE, &list, &[]).await;
    assert_eq!(answer.status, 400);
    let pointers: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert!(pointers.contains(&&json!("/1/weight")), "{pointers:?}");

    let refusal = Refusal {
        field: Some("shipping_container".into()),
        step: 1,
        ..refusal()
    };
    let answer = Client::when(Then::Refuse(refusal))
        .post(TO_ONE, &format!("[{SEND}, {SEND}]"), &[])
        .await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/1/shippingContainer");
}

fn refusal() -> Refusal {
    Refusal::engine("no", RefusalKind::State, "no".into())
}
