//! What the service says about itself is what it does.

use axum::Router;
use foldline_command_handler::http::{Api, documents, routes};
use foldline_service::openapi::differences;
use foldline_service::{Health, Shutdown};
use serde_json::Value;

use super::client::Client;
use super::engine::{Engine, Then};
use super::parcels::domains;

fn router() -> Router {
    let api = Api {
        commands: Box::new(Engine::new(Then::Silence)),
        domains: domains(),
        query_api: String::new(),
        wait: std::time::Duration::ZERO,
        wait_max: std::time::Duration::ZERO,
        body_bytes_max: 1000,
        body_timeout: std::time::Duration::from_secs(1),
    };
    let health = Health::new(&Shutdown::new(), Vec::new);
    routes(api)
        .unwrap()
        .merge(documents(&domains(), ""))
        .merge(health.routes())
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else_is() {
    let document = Client::when(Then::Silence).get("/openapi.json").await.body;
    assert_eq!(differences(&router(), &document).await, [""; 0]);
}

#[tokio::test]
async fn the_examples_of_commands_are_commands() {
    let client = Client::when(Then::Accept(1));
    let document = client.get("/openapi.json").await.body;
    for path in ["/parcels", "/parcels/{id}/commands"] {
        let body = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        for (name, example) in body["examples"].as_object().unwrap() {
            let answer = client
                .post(&path.replace(['{', '}'], ""), &example["value"].to_string(), &[])
                .await;
            assert_eq!(answer.status, 201, "{name}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    fn follow(root: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(to)) = object.get("$ref") {
                    assert!(root.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                }
                object.values().for_each(|value| follow(root, value));
            }
            Value::Array(items) => items.iter().for_each(|value| follow(root, value)),
            _ => {}
        }
    }
    let client = Client::when(Then::Silence);
    for file in ["/openapi.json", "/asyncapi.json"] {
        let document = client.get(file).await.body;
        follow(&document, &document);
    }
}

#[tokio::test]
async fn the_trace_of_a_request_goes_with_its_command() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = Client::when(Then::Accept(1));
    let answer = client
        .post("/parcels", super::client::GOOD, &[("traceparent", parent)])
        .await;
    assert_eq!(answer.header("traceparent"), parent);
    assert_eq!(client.only().trace.as_deref(), Some(parent));

    let client = Client::when(Then::Accept(1));
    let answer = client
        .post("/parcels", super::client::GOOD, &[("traceparent", "mine")])
        .await;
    let made = answer.header("traceparent");
    assert_eq!(client.only().trace.as_deref(), Some(made));
}
