//! What the service says about itself is what it does.

use foldline_service::openapi::differences;
use serde_json::{Value, json};

use crate::toy::Fixture;

async fn document(fixture: &Fixture) -> Value {
    let answer = fixture.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    answer.body
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else_is() {
    let fixture = Fixture::new();
    let document = document(&fixture).await;
    assert_eq!(differences(&fixture.routes, &document).await, [""; 0]);
}

#[tokio::test]
async fn a_parameter_that_is_documented_is_understood() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    let document = document(&fixture).await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parameters = operations["get"]["parameters"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            // Tokens and cursors are answers' own.
            if ["consistency_token", "cursor"].contains(&name) || name == "format" {
                continue;
            }
            let value = sample(parameter);
            let uri = format!(
                "{}?{name}={value}",
                path.replace("{id}", "a").replace("{code}", "internal")
            );
            let answer = fixture.get(&uri).await;
            assert_ne!(answer.status, 400, "{uri}: {}", answer.body);
        }
    }
}

fn sample(parameter: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (&parameter["example"], &parameter["schema"]) {
        (Value::Array(several), _) => several.first().map(plain).unwrap_or_default(),
        (Value::Null, schema) => {
            let schema = if schema["items"].is_null() {
                schema
            } else {
                &schema["items"]
            };
            match schema["type"].as_str() {
                _ if schema["enum"].is_array() => plain(&schema["enum"][0]),
                Some("integer") => "1".to_owned(),
                Some("boolean") => "true".to_owned(),
                _ => "x".to_owned(),
            }
        }
        (example, _) => plain(example),
    }
}

#[tokio::test]
async fn a_problem_says_what_helps_and_leads_to_its_page() {
    let (fixture, _writer) = Fixture::with("coats", &[("a", "{}")]);
    let answer = fixture.get("/cloakroom/coats?colour[is]=red").await;
    let next = &answer.body["next"][0];
    assert_eq!(next["href"], answer.body["type"]);
    assert_eq!(next["method"], "GET");
    assert_eq!(
        fixture.get("/cloakroom/coats/b").await.body["next"][1]["href"],
        json!("/")
    );
}
