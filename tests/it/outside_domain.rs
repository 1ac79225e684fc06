//! A domain that the workspace does not know, driven through the services as any other one.

use foldline_tests::producer::{Upstream, meta};
use foldline_tests::shared;
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_from_outside_has_commands_rules_views_and_history_over_http() {
    let system = shared::system(PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let handed_in = write
        .post("/coats", &json!({"colour": "mauve"}))
        .await
        .expect(201);
    let coat = handed_in.text("/aggregate").to_owned();
    let forms = write.get(&format!("{coat}/commands")).await.expect(200);
    let possible: Vec<_> = forms.body["commands"]
        .as_array()
        .expect("commands")
        .iter()
        .map(|form| (form["type"].as_str().expect("a type"), form["possible"] == true))
        .collect();
    assert_eq!(possible, [("HandIn", false), ("HandOut", true)]);

    let row = read
        .get_after(&coat, handed_in.text("/consistency_token"))
        .await
        .expect(200);
    assert_eq!(row.text("/colour"), "mauve");
    let id = row.text("/id").to_owned();
    for (filter, count) in [("mauve", 1), ("taupe", 0)] {
        let list = read.get(&format!("/coats?colour={filter}")).await.expect(200);
        let found = list.body["items"].as_array().expect("items");
        assert_eq!(found.len(), count, "{filter}");
        assert!(found.iter().all(|item| item["id"] == id));
    }
    read.get("/coats?size=4")
        .await
        .expect_problem(400, "invalid-parameter");

    let commands = format!("{coat}/commands");
    let again = json!({"type": "HandIn", "colour": "black"});
    write
        .post(&commands, &again)
        .await
        .expect_problem(409, "ticket-in-use");
    let gone = write
        .post(&commands, &json!({"type": "HandOut"}))
        .await
        .expect(200);
    write
        .post(&commands, &json!({"type": "HandOut"}))
        .await
        .expect_problem(409, "coat-gone");

    let token = gone.text("/consistency_token");
    read.get_after(&coat, token)
        .await
        .expect_problem(404, "not-found");
    let list = read.get_after("/coats?colour=mauve", token).await.expect(200);
    assert_eq!(list.body["items"], json!([]));
    let history = read.get_after(&format!("{coat}/events"), token).await.expect(200);
    let happened: Vec<_> = history.body["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|event| (event["sequence"].as_i64(), event["event_type"].as_str()))
        .collect();
    assert_eq!(
        happened,
        [(Some(1), Some("CoatHandedIn")), (Some(2), Some("CoatHandedOut"))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_from_outside_takes_commands_over_kafka() {
    let system = shared::system(PROGRAM).await;
    let upstream = Upstream::to(&system.kafka, "cloakroom.coats").await;
    let ask = async |id: &str, body| {
        let result = upstream
            .ask(meta(id, Uuid::now_v7()), &upstream.command(&body))
            .await;
        let code = result
            .refusal
            .as_ref()
            .map(|refusal| json!(refusal)["code"].clone());
        (result.sequence, code, result.consistency_token)
    };
    let (sequence, code, token) = ask("ticket-7", json!({"type": "HandIn", "colour": "teal"})).await;
    assert_eq!((sequence, code), (1, None));
    let row = system
        .read()
        .get_after("/coats/ticket-7", &token)
        .await
        .expect(200);
    assert_eq!(row.text("/colour"), "teal");
    let (sequence, code, _) = ask("ticket-7", json!({"type": "HandIn", "colour": "teal"})).await;
    assert_eq!((sequence, code), (1, Some(json!("ticket-in-use"))));
    let (sequence, code, token) = ask("ticket-7", json!({"type": "HandOut"})).await;
    assert_eq!((sequence, code), (2, None));
    system
        .read()
        .get_after("/coats/ticket-7", &token)
        .await
        .expect_problem(404, "not-found");
    let (sequence, code, _) = ask("ticket-8", json!({"type": "HandOut"})).await;
    assert_eq!((sequence, code), (0, Some(json!("unknown-aggregate"))));
}
