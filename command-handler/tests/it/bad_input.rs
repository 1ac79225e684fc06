//! Requests of a wrong form: none of them reaches the engine.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, GOOD};
use super::engine::Then;

const TO_ONE: &str = "/parcels/p-1/commands";

#[track_caller]
fn reached_nobody(client: &Client) {
    assert!(client.taken().is_empty());
}

#[tokio::test]
async fn what_is_not_json_is_400_with_line_and_column() {
    let client = Client::when(Then::Accept(1));
    let answer = client.post(TO_ONE, "{\"type\":\n oops}", &[]).await;
    answer.is_problem(400, "malformed-json", &[""]);
    assert_eq!(
        (&answer.body["line"], &answer.body["column"]),
        (&2.into(), &2.into())
    );
    client
        .post(TO_ONE, "", &[])
        .await
        .is_problem(400, "malformed-json", &[""]);
    let twice = r#"{"type": "DeliverParcel", "type": "SendParcel"}"#;
    client
        .post(TO_ONE, twice, &[])
        .await
        .is_problem(400, "malformed-json", &[""]);
    reached_nobody(&client);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408_and_the_connection_ends() {
    let client = Client::when(Then::Accept(1));
    let address = client.served().await;
    let told = async {
        let mut slow = TcpStream::connect(address).await.unwrap();
        let head = format!("POST {TO_ONE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
        // All of it, but for the last byte that is announced.
        let request = format!("{head}content-length: {}\r\n\r\n{GOOD}", GOOD.len() + 1);
        slow.write_all(request.as_bytes()).await.unwrap();
        let mut told = String::new();
        slow.read_to_string(&mut told).await.unwrap();
        told
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    assert!(told.contains("/problems/request-timeout"), "{told}");
    reached_nobody(&client);
}

#[tokio::test]
async fn each_mistake_in_a_command_is_400_with_a_pointer() {
    let client = Client::when(Then::Accept(1));
    let rows: [(&str, &[&str]); 10] = [
        (
            r#"{"type": "SendParcel", "weight": 2.0, "shipping_container": "/containers/7"}"#,
            &["/weight"],
        ),
        ("[]", &[""]),
        ("{}", &["/type"]),
        (r#"{"type": 7}"#, &["/type"]),
        (r#"{"type": "Burn"}"#, &["/type"]),
        (r#"{"type": "DeliverParcel", "speed": 1}"#, &["/speed"]),
        (r#"{"type": "SendParcel", "weight": 5}"#, &["/shipping_container"]),
        (
            r#"{"type": "SendParcel", "weight": "5", "shippingContainer": 7}"#,
            &["/shippingContainer", "/weight"],
        ),
        (
            r#"{"type": "SendParcel", "weight": 99999999999, "shipping_container": "/containers/7"}"#,
            &["/weight"],
        ),
        (
            r#"{"type": "SendParcel", "weight": 5, "shippingContainer": "/boxes/7"}"#,
            &["/shippingContainer"],
        ),
    ];
    for (body, pointers) in rows {
        let answer = client.post(TO_ONE, body, &[]).await;
        let mut errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        errors.sort_by_key(|error| error["pointer"].to_string());
        let found: Vec<&str> = errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(found, pointers, "{body}: {}", answer.body);
        assert_eq!(answer.body["type"], "/problems/invalid-command");
        assert_eq!(answer.status, 400);
    }
    reached_nobody(&client);
}

#[tokio::test]
async fn a_body_over_64_kib_is_413_and_one_of_64_kib_is_read() {
    let client = Client::when(Then::Accept(1));
    let padded = |bytes: usize| format!("{GOOD}{}", " ".repeat(bytes - GOOD.len()));
    let answer = client.post("/parcels", &padded(64 * 1024 + 1), &[]).await;
    answer.is_problem(413, "too-large", &[]);
    reached_nobody(&client);
    assert_eq!(client.post("/parcels", &padded(64 * 1024), &[]).await.status, 201);
}

#[tokio::test]
async fn another_media_type_is_415() {
    let client = Client::when(Then::Accept(1));
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request = Request::post("/parcels").header("content-type", kind);
        let answer = client.ask(request.body(Body::from(GOOD)).unwrap()).await;
        answer.is_problem(415, "unsupported-media-type", &[]);
    }
    let request = Request::post("/parcels").body(Body::from(GOOD)).unwrap();
    client
        .ask(request)
        .await
        .is_problem(415, "unsupported-media-type", &[]);
    reached_nobody(&client);
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.post+json",
    ] {
        let request = Request::post("/parcels").header("content-type", kind);
        assert_eq!(
            client.ask(request.body(Body::from(GOOD)).unwrap()).await.status,
            201
        );
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_one_is_400() {
    let client = Client::when(Then::Accept(1));
    for path in ["/parcels/a%20b/commands", "/parcels/%2e%2f/commands"] {
        client
            .post(path, GOOD, &[])
            .await
            .is_problem(400, "invalid-id", &[]);
        client.get(path).await.is_problem(400, "invalid-id", &[]);
    }
    client
        .get("/commands/seven")
        .await
        .is_problem(400, "invalid-id", &[]);
    reached_nobody(&client);
}

#[tokio::test]
async fn headers_that_cannot_be_understood_are_400() {
    let client = Client::when(Then::Accept(1));
    let long = "x".repeat(256);
    for (name, value) in [
        ("idempotency-key", ""),
        ("idempotency-key", long.as_str()),
        ("correlation-id", long.as_str()),
        ("if-match", "7"),
        ("if-match", "*"),
        ("if-match", "W/\"7\""),
        ("if-none-match", "\"7\""),
    ] {
        let answer = client.post("/parcels", GOOD, &[(name, value)]).await;
        answer.is_problem(400, "invalid-header", &[]);
        assert_eq!(answer.body["header"].as_str().unwrap().to_lowercase(), name);
    }
    let both = [("if-match", "\"7\""), ("if-none-match", "*")];
    client
        .post("/parcels", GOOD, &both)
        .await
        .is_problem(400, "invalid-header", &[]);
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    client
        .post("/parcels", GOOD, &twice)
        .await
        .is_problem(400, "invalid-header", &[]);
    reached_nobody(&client);
}

#[tokio::test]
async fn a_consistency_token_of_another_cluster_is_400() {
    let client = Client::when(Then::Accept(1));
    let elsewhere = foldline_core::Token::at("elsewhere", "post.parcels", 0, 1).to_string();
    for token in ["seven", elsewhere.as_str()] {
        let answer = client
            .post("/parcels", GOOD, &[("consistency-token", token)])
            .await;
        answer.is_problem(400, "invalid-consistency-token", &[]);
    }
    let good = foldline_core::Token::at("here", "post.parcels", 0, 1).to_string();
    let both = [
        ("consistency-token", good.as_str()),
        ("consistency-token", elsewhere.as_str()),
    ];
    let answer = client.post("/parcels", GOOD, &both).await;
    answer.is_problem(400, "invalid-consistency-token", &[]);
    reached_nobody(&client);
}

#[tokio::test]
async fn what_is_not_served_is_404_or_405() {
    let client = Client::when(Then::Accept(1));
    client.get("/parcels/p-1").await.is_problem(404, "not-found", &[]);
    client
        .get("/parcels")
        .await
        .is_problem(405, "method-not-allowed", &[]);
}
