//! New aggregates.

use super::client::{Client, GOOD};
use super::engine::Then;

#[tokio::test]
async fn each_new_aggregate_has_an_id_of_its_own() {
    let client = Client::when(Then::Accept(1));
    for _ in 0..2 {
        assert_eq!(client.post("/parcels", GOOD, &[]).await.status, 201);
    }
    let taken = client.taken();
    assert_ne!(taken[0].meta.aggregate_id, taken[1].meta.aggregate_id);
    assert_ne!(taken[0].meta.command_id, taken[1].meta.command_id);
    let id: uuid::Uuid = taken[0].meta.aggregate_id.as_str().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[tokio::test]
async fn the_same_key_makes_the_same_command_to_the_same_aggregate() {
    let client = Client::when(Then::Accept(1));
    for key in ["\"abc\"", "abc", "other"] {
        client.post("/parcels", GOOD, &[("idempotency-key", key)]).await;
    }
    let ids: Vec<_> = client
        .taken()
        .into_iter()
        .map(|taken| (taken.meta.command_id, taken.meta.aggregate_id))
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0].0, ids[2].0);
    assert_ne!(ids[0].1, ids[2].1);
}

#[tokio::test]
async fn the_type_may_be_said_but_only_that_of_the_creating_command() {
    let client = Client::when(Then::Accept(1));
    let said = r#"{"type": "SendParcelCommand", "weight": 5, "shippingContainer": "http://x/containers/7"}"#;
    assert_eq!(client.post("/parcels", said, &[]).await.status, 201);
    assert_eq!(client.only().meta.command_type, "SendParcel");
    let other = client.post("/parcels", r#"{"type": "DeliverParcel"}"#, &[]).await;
    other.is_problem(400, "invalid-command", &["/type"]);
}

#[tokio::test]
async fn a_client_may_choose_the_id() {
    let client = Client::when(Then::Accept(1));
    let body = r#"{"type": "SendParcel", "weight": 5, "shipping_container": "/containers/7"}"#;
    let answer = client.post("/parcels/my-own/commands", body, &[]).await;
    assert_eq!(answer.status, 201);
    assert_eq!(client.only().meta.aggregate_id.as_str(), "my-own");
}
