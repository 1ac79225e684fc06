//! Who asked for what, and what became of it, on real Kafka: refusals come from the results alone.

use std::time::Duration;

use foldline_tests::client::{Answer, Client, eventually};
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::{Value, json};

use crate::PROGRAM;

const PATIENCE: Duration = Duration::from_secs(30);
/// A conversation of several aggregates.
const TALK: &str = "dinner-4711";

/// Sends a command of the conversation.
async fn ask(write: &Client, path: &str, body: Value, cause: Option<&str>) -> Answer {
    let mut request = write
        .request(Method::POST, &format!("{path}/commands"))
        .header("X-Actor", "ada")
        .header("Correlation-Id", TALK);
    if let Some(cause) = cause {
        request = request.header("Causation-Id", cause);
    }
    write.send(request.json(&body)).await
}

/// The history of the order, once it has so many entries.
async fn history(read: &Client, order: &str, entries: usize) -> Vec<Value> {
    let all = async || {
        let answer = read.get(&format!("{order}/history")).await;
        let items = answer.body["items"].as_array()?.clone();
        (items.len() >= entries).then_some(items)
    };
    eventually("the history has it all", PATIENCE, all).await
}

/// Offsets in Kafka are the same whoever reads them.
fn places(entries: &[Value]) -> Vec<Value> {
    entries
        .iter()
        .map(|entry| json!([entry["entry"], entry["log"], entry["command"]]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_what_was_refused_and_a_conversation_is_a_tree() {
    let mut system = System::start("audit", PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let price = json!({"amount": 500, "currency": "EUR"});
    let added = json!({"type": "AddMenuItem", "description": "Soup", "price": price});
    ask(&write, "/menu/items/soup", added, None).await.expect(201);
    let signed = ask(
        &write,
        "/customers/ada",
        json!({"type": "SignUp", "email": "a@example.org"}),
        None,
    )
    .await;
    let signed = signed.expect(201);
    let cause = signed.text("/events/0/event_id").to_owned();
    let open = json!({"type": "OpenOrder", "customer": "/customers/ada"});
    let opened = ask(&write, "/orders/o", open, Some(&cause)).await.expect(201);
    let command = opened.text("/command_id").to_owned();
    let soup = json!({"type": "AddItemToOrder", "menu_item": "/menu/items/soup", "quantity": 1});
    ask(&write, "/orders/o", soup, Some(&command)).await.expect(200);
    let refused = ask(&write, "/orders/o", json!({"type": "PlaceOrder"}), Some(&command)).await;
    refused.expect_problem(409, "order-without-address");
    // The same no again is no second one.
    let again = write.request(Method::POST, "/orders/o/commands?dry_run=true");
    write
        .send(again.json(&json!({"type": "PlaceOrder"})))
        .await
        .expect(409);

    let entries = history(&read, "/orders/o", 3).await;
    let kinds: Vec<&str> = entries
        .iter()
        .map(|entry| entry["entry"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["event", "event", "refusal"], "{entries:#?}");
    let no = &entries[2];
    assert_eq!(no["refusal"]["code"], "order-without-address");
    assert_eq!(
        (no["actor"].as_str(), no["sequence"].as_i64()),
        (Some("ada"), Some(2))
    );
    assert_eq!(no["command"]["type"], "PlaceOrder");
    let topic = format!("{}restaurant.orders.results", system.kafka.topic_prefix);
    assert_eq!(no["log"]["topic"], topic.as_str());
    let outcome = write
        .get(no["links"]["command"].as_str().unwrap())
        .await
        .expect(200);
    assert_eq!(outcome.text("/status"), "refused");

    let talk = read
        .get(no["links"]["correlation"].as_str().unwrap())
        .await
        .expect(200);
    let roots = talk.body["commands"].as_array().unwrap();
    let of = |command: &Value| command["aggregate"].as_str().unwrap().to_owned();
    assert_eq!(
        roots.iter().map(of).collect::<Vec<_>>(),
        ["restaurant.menu", "restaurant.customers"]
    );
    let order = &roots[1]["caused"][0];
    assert_eq!(order["events"][0]["event_type"], "OrderOpened");
    let outcomes: Vec<&str> = order["caused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["accepted", "refused"]);
    let feed = read
        .get("/events?actor=ada&aggregate=restaurant.orders")
        .await
        .expect(200);
    assert_eq!(feed.body["items"].as_array().map(Vec::len), Some(2));

    // Killed and built anew, it is the same, and nothing is there twice.
    system.kill(Service::Projector).await;
    std::fs::remove_dir_all(system.views_folder()).expect("views to remove");
    system.restart(Service::Projector).await;
    let anew = history(&read, "/orders/o", 3).await;
    assert_eq!(places(&anew), places(&entries));
    system.kill(Service::Projector).await;
    system.restart(Service::Projector).await;
    ask(&write, "/orders/o", json!({"type": "PlaceOrder"}), None)
        .await
        .expect(409);
    let more = history(&read, "/orders/o", 4).await;
    assert_eq!(places(&more[..3]), places(&entries));
    assert_eq!(more.len(), 4);
}
