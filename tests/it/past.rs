//! What was, on real Kafka: each state that was shown is shown again when its moment is asked for.

use foldline_tests::client::Client;
use foldline_tests::records;
use foldline_tests::system::{Service, System};
use serde_json::{Value, json};

use crate::PROGRAM;

/// What was shown after a command.
struct Shown {
    token: String,
    sequence: i64,
    row: Value,
}

fn without_links(row: &Value) -> Value {
    let mut row = row.clone();
    row.as_object_mut().unwrap().remove("links");
    row
}

/// Sends commands, one after the other, and keeps what the order was after each.
async fn evening(write: &Client, read: &Client) -> (String, String, Vec<Shown>) {
    let price = json!({"amount": 1250, "currency": "USD"});
    let pizza = write
        .post("/menu/items", &json!({"description": "Pizza", "price": price}))
        .await
        .expect(201);
    let pizza = pizza.text("/aggregate").to_owned();
    let ada = write
        .post("/customers", &json!({"email": "ada@example.org"}))
        .await
        .expect(201);
    let ada = ada.text("/aggregate").to_owned();
    let address = json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"});
    write.post(&format!("{ada}/commands"), &address).await.expect(200);
    let opened = write.post("/orders", &json!({"customer": ada})).await.expect(201);
    let order = opened.text("/aggregate").to_owned();
    let mut shown = vec![look(read, &order, opened.header("consistency-token").unwrap()).await];
    for command in [
        json!({"type": "AddItemToOrder", "menu_item": pizza, "quantity": 2}),
        json!({"type": "AddItemToOrder", "menu_item": pizza, "quantity": 1}),
        json!({"type": "SetDeliveryAddress", "address": format!("{ada}/addresses/home")}),
        json!({"type": "PlaceOrder"}),
    ] {
        let request = write.request(reqwest::Method::POST, &format!("{order}/commands"));
        let answer = write
            .send(request.header("X-Actor", "ada").json(&command))
            .await
            .expect(200);
        shown.push(look(read, &order, answer.header("consistency-token").unwrap()).await);
    }
    (order, pizza, shown)
}

async fn look(read: &Client, order: &str, token: &str) -> Shown {
    let answer = read.get_after(order, token).await.expect(200);
    let etag = answer.header("etag").unwrap().trim_matches('"').to_owned();
    Shown {
        token: token.to_owned(),
        sequence: etag.parse().expect("a fold's version is its sequence"),
        row: without_links(&answer.body),
    }
}

async fn is_shown_again(read: &Client, order: &str, shown: &[Shown]) {
    let newest = &shown.last().unwrap().token;
    let history = read
        .get_after(&format!("{order}/events"), newest)
        .await
        .expect(200);
    for then in shown {
        let event = &history.body["items"][usize::try_from(then.sequence - 1).unwrap()];
        let recorded_at = event["recorded_at"].as_str().unwrap();
        for at in [then.token.clone(), format!("seq:{}", then.sequence)] {
            let answer = read.get(&format!("{order}?at={at}")).await.expect(200);
            assert_eq!(without_links(&answer.body), then.row, "{at}");
        }
        // Several events may be of one millisecond: all of them have happened by then.
        let later = shown.iter().rev().find(|later| {
            let event = &history.body["items"][usize::try_from(later.sequence - 1).unwrap()];
            event["recorded_at"] == *recorded_at
        });
        let answer = read.get(&format!("{order}?at={recorded_at}")).await.expect(200);
        assert_eq!(without_links(&answer.body), later.unwrap().row, "{recorded_at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_shown_again_also_after_the_views_were_built_anew() {
    let mut system = System::start("past", PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let (order, pizza, shown) = evening(&write, &read).await;
    is_shown_again(&read, &order, &shown).await;

    let placed = &shown.last().unwrap().token;
    let menu = read.get_after(&pizza, placed).await.expect(200);
    assert_eq!(menu.body["popularity"], 3);
    let then = read.get(&format!("{pizza}?at=seq:1")).await.expect(200);
    assert_eq!(then.body["popularity"], 0);
    let state = read.get(&format!("{order}/state?at=seq:2")).await.expect(200);
    assert_eq!(
        (state.body["sequence"].as_i64(), state.body["state"].is_object()),
        (Some(2), true)
    );
    let difference = read.get(&format!("{order}/diff?from=seq:4")).await.expect(200);
    let changed: Vec<&str> = difference.body["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    assert_eq!(changed, ["/status", "/placed_at"]);

    is_cited(&system, &read, &order).await;

    system.stop(Service::Projector).await;
    std::fs::remove_dir_all(system.views_folder()).expect("views to remove");
    system.restart(Service::Projector).await;
    system.wait_until_ready(Service::QueryApi).await;
    is_shown_again(&read, &order, &shown).await;
}

/// Each field names an event that lies where it says, in Kafka.
async fn is_cited(system: &System, read: &Client, order: &str) {
    let answer = read.get(&format!("{order}?explain=true")).await.expect(200);
    let explained = answer.body["explained"].as_object().unwrap();
    assert_eq!(explained["/status"]["event_type"], "OrderPlaced");
    assert_eq!(explained["/status"]["actor"], "ada");
    assert_eq!(explained["/items/1/quantity"]["sequence"], 3);
    assert_eq!(explained["/customer"]["event_type"], "OrderOpened");
    let events = records::events(&system.kafka, "restaurant.orders");
    let topic = format!("{}restaurant.orders.events", system.kafka.topic_prefix);
    for (field, cited) in explained {
        let log = &cited["log"];
        assert_eq!(log["topic"], topic.as_str());
        let lies_there = events.iter().any(|event| {
            log["partition"] == event.record.partition
                && log["offset"] == event.record.offset
                && cited["event_id"] == event.meta.event_id.to_string()
        });
        assert!(lies_there, "{field}: {cited}");
    }
}
