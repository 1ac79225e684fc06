//! Several commands as one, and dry runs.

use foldline_tests::chance::Chance;
use foldline_tests::client::Client;
use foldline_tests::system::System;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAM;

async fn keyed(client: &Client, path: &str, key: Uuid, body: &Value) -> foldline_tests::client::Answer {
    let request = client
        .request(Method::POST, path)
        .header("Idempotency-Key", key.to_string())
        .json(body);
    client.send(request).await
}

/// Nothing, of what was never made: also that is known as soon as the token's command is decided.
async fn history(system: &System, path: &str, token: &str) -> Vec<Value> {
    let answer = system.read().get_after(&format!("{path}/events"), token).await;
    assert!(matches!(answer.status, 200 | 404), "{answer:?}");
    answer.body["items"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_accepted_as_a_whole_or_not_at_all_and_a_dry_run_is_the_same_decision() {
    let system = System::start("as-one", PROGRAM).await;
    a_list_is_one_decision(&system).await;
    a_dry_run_agrees_with_the_real_one(&system).await;
}

async fn a_list_is_one_decision(system: &System) {
    let write = system.write();
    let all = json!([
        {"type": "AddMenuItem", "description": "Pão", "price": {"amount": 100, "currency": "BRL"}},
        {"type": "ModifyMenuItem", "description": "Pão", "price": {"amount": 120, "currency": "BRL"}},
        {"type": "RemoveMenuItem"},
    ]);
    let answer = write.post("/menu/items/pao/commands", &all).await.expect(201);
    assert_eq!(answer.body["sequence"], 3);
    let token = answer.header("consistency-token").unwrap();
    let events = history(system, "/menu/items/pao", token).await;
    let types: Vec<&Value> = events.iter().map(|event| &event["event_type"]).collect();
    assert_eq!(types, ["MenuItemAdded", "MenuItemModified", "MenuItemRemoved"]);
    assert!(
        events
            .iter()
            .all(|event| event["command_id"] == answer.body["command_id"] && event["count"] == 3)
    );

    let half = json!([
        {"type": "SignUp", "email": "half@example.org"},
        {"type": "AddAddress", "nickname": "home", "location": "here"},
        {"type": "AddAddress", "nickname": "home", "location": "there"},
    ]);
    let refused = write
        .post("/customers/half/commands", &half)
        .await
        .expect_problem(409, "nickname-taken");
    assert_eq!(refused.body["errors"][0]["pointer"], "/2/nickname");
    write
        .post(
            "/customers/half/commands",
            &json!({"type": "ChangeEmail", "email": "a@b.c"}),
        )
        .await
        .expect(404);
    // What the refused one would have taken is free.
    let other = json!({"type": "SignUp", "email": "half@example.org"});
    write.post("/customers/other/commands", &other).await.expect(201);
}

/// At random: what a dry run says is what the command then does.
async fn a_dry_run_agrees_with_the_real_one(system: &System) {
    let write = system.write();
    let mut random = Chance::of_this_run("dry runs");
    for _ in 0..100 {
        let who = random.below(4);
        let path = format!("/customers/dry-{who}");
        // Some that are this customer's alone, and one that never is: who has given a value up is known a moment
        // later, and a dry run says what is known.
        let emails = [
            format!("a{who}@example.org"),
            format!("b{who}@example.org"),
            "half@example.org".to_owned(),
        ];
        let email = random.one_of(&emails);
        let body = match random.below(5) {
            0 => json!({"type": "SignUp", "email": email}),
            1 => json!({"type": "ChangeEmail", "email": email}),
            2 => json!({"type": "AddAddress", "nickname": format!("n{}", random.below(3)), "location": "x"}),
            3 => json!({"type": "RemoveAddress", "nickname": format!("n{}", random.below(3))}),
            _ => json!([
                {"type": "AddAddress", "nickname": format!("n{}", random.below(3)), "location": "y"},
                {"type": "RemoveAddress", "nickname": format!("n{}", random.below(3))},
            ]),
        };
        let key = Uuid::now_v7();
        let dry = keyed(&write, &format!("{path}/commands?dry_run=true"), key, &body).await;
        let real = keyed(&write, &format!("{path}/commands"), key, &body).await;
        assert_eq!(
            real.body["replayed"], false,
            "a dry run is no answer to repeat: {real:?}"
        );
        assert_eq!(
            dry.body["sequence"], real.body["sequence"],
            "{body}\n{dry:?}\n{real:?}"
        );
        assert_eq!(dry.body["code"], real.body["code"], "{body}\n{dry:?}\n{real:?}");
        let token = real.header("consistency-token").unwrap();
        let recorded = history(system, &path, token).await;
        let made: Vec<&Value> = recorded
            .iter()
            .filter(|event| event["command_id"] == key.to_string())
            .collect();
        let foretold = dry.body["events"].as_array().cloned().unwrap_or_default();
        assert_eq!(made.len(), foretold.len(), "{body}\n{dry:?}\n{real:?}");
        for (made, foretold) in made.iter().zip(&foretold) {
            for field in ["event_id", "event_type", "sequence", "payload"] {
                assert_eq!(made[field], foretold[field], "{body}");
            }
        }
    }
}
