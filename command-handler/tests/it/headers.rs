//! What headers make of a command.

use std::time::Duration;

use foldline_core::Token;

use super::client::Client;
use super::engine::{Taken, Then};

const DELIVER: &str = r#"{"type": "DeliverParcel"}"#;

async fn taken_with(headers: &[(&str, &str)]) -> Taken {
    let client = Client::when(Then::Accept(2));
    let answer = client.post("/parcels/p-1/commands", DELIVER, headers).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    client.only()
}

#[tokio::test]
async fn a_uuid_as_idempotency_key_is_the_command_id() {
    let id = "8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11";
    for key in [id.to_owned(), format!("\"{id}\"")] {
        let taken = taken_with(&[("idempotency-key", &key)]).await;
        assert_eq!(taken.meta.command_id.to_string(), id);
    }
}

#[tokio::test]
async fn another_key_is_a_command_of_its_path() {
    let client = Client::when(Then::Accept(2));
    for path in [
        "/parcels/p-1/commands",
        "/parcels/p-1/commands",
        "/parcels/p-2/commands",
    ] {
        client.post(path, DELIVER, &[("idempotency-key", "once")]).await;
    }
    let ids: Vec<_> = client
        .taken()
        .into_iter()
        .map(|taken| taken.meta.command_id)
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test]
async fn preconditions_are_the_expected_sequence() {
    assert_eq!(taken_with(&[]).await.meta.expected_sequence, None);
    for (name, value, expected) in [
        ("if-match", "\"7\"", 7),
        ("if-match", "\"7-12\"", 7),
        ("if-none-match", "*", 0),
    ] {
        let taken = taken_with(&[(name, value)]).await;
        assert_eq!(taken.meta.expected_sequence, Some(expected), "{name}: {value}");
    }
}

#[tokio::test]
async fn who_and_why_go_into_the_command() {
    let token = Token::at("here", "post.parcels", 0, 1).to_string();
    let taken = taken_with(&[
        ("correlation-id", "talk-1"),
        ("causation-id", "click-2"),
        ("x-actor", "Zoë"),
        ("consistency-token", &token),
    ])
    .await;
    assert_eq!(taken.meta.correlation_id.as_deref(), Some("talk-1"));
    assert_eq!(taken.meta.causation_id.as_deref(), Some("click-2"));
    assert_eq!(taken.meta.actor.as_deref(), Some("Zoë"));
    assert_eq!(taken.meta.consistency_token, Some(token));
    assert!(taken.meta.issued_at.0 > 1_700_000_000_000);
}

#[tokio::test]
async fn several_tokens_are_one_that_has_seen_what_each_of_them_has() {
    let one = Token::at("here", "post.parcels", 0, 7);
    let other = Token::at("here", "post.parcels", 1, 3);
    let mut both = one.clone();
    both.join(&other);
    let name = "consistency-token";
    let (one, other) = (one.to_string(), other.to_string());
    let in_one_header = format!("{one}, {other}");
    let in_two = [(name, one.as_str()), (name, other.as_str())];
    let ways: [&[(&str, &str)]; 2] = [&in_two, &[(name, in_one_header.as_str())]];
    for headers in ways {
        let taken = taken_with(headers).await;
        assert_eq!(taken.meta.consistency_token, Some(both.to_string()));
    }
}

#[tokio::test]
async fn the_client_says_how_long_it_waits() {
    for (prefer, seconds) in [
        ("", 10),
        ("wait=3", 3),
        ("wait=3600", 60),
        ("respond-async", 0),
        ("respond-async, wait=5", 5),
        ("return=minimal", 10),
    ] {
        let taken = taken_with(&[("prefer", prefer)]).await;
        assert_eq!(taken.wait, Duration::from_secs(seconds), "{prefer}");
    }
}
