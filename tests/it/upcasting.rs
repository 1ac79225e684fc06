//! Events of an older revision, as they lie in a real log: served, projected and decided on as today's.

use std::time::Duration;

use foldline_core::{AggregateId, AnyEvent, EventHash};
use foldline_domains::restaurant::Money;
use foldline_domains::restaurant::orders::{Order, OrderEvent};
use foldline_tests::client::eventually;
use foldline_tests::older::OtherWriter;
use foldline_tests::records;
use foldline_tests::system::{Service, System};
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

fn usd(amount: i64) -> Money {
    let currency = "USD".to_owned();
    Money { amount, currency }
}

fn opened() -> AnyEvent {
    let customer_id = "ada".parse().unwrap();
    AnyEvent::new::<Order>(OrderEvent::OrderOpened { customer_id })
}

fn added(number: u128, amount: i64, quantity: i32) -> AnyEvent {
    AnyEvent::new::<Order>(OrderEvent::ItemAddedToOrder {
        order_item_id: Uuid::from_u128(number),
        menu_item_id: "soup".parse::<AggregateId>().unwrap(),
        description: "Soup".to_owned(),
        price: usd(amount),
        quantity,
        // No revision 1 has it.
        subtotal: usd(0),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_an_older_revision_is_projected_shown_and_decided_on_as_todays() {
    let mut system = System::start("revisions", PROGRAM).await;
    let orders = records::aggregate("restaurant.orders");
    for service in Service::ALL {
        system.stop(service).await;
    }
    // As the first release wrote it, and then one that knew the chain.
    let first = OtherWriter::of(&system.kafka, &orders, 1).await;
    first.append("old", 1, opened(), 1).await;
    first.append("old", 2, added(1, 450, 3), 1).await;
    let second = OtherWriter::of(&system.kafka, &orders, 2).await;
    let last = second.append("old", 3, added(2, 600, 2), 1).await;
    for service in Service::ALL {
        system.restart(service).await;
    }
    let (write, read) = (system.write(), system.read());

    let ask = async |path: &str, body: serde_json::Value| {
        let answer = write.post(&format!("{path}/commands"), &body).await;
        assert!(answer.status < 300, "{answer:#?}");
        answer
    };
    ask(
        "/customers/ada",
        json!({"type": "SignUp", "email": "ada@example.org"}),
    )
    .await;
    ask(
        "/customers/ada",
        json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"}),
    )
    .await;
    ask(
        "/menu/items/soup",
        json!({"type": "AddMenuItem", "description": "Soup", "price": usd(500)}),
    )
    .await;
    ask(
        "/orders/old",
        json!({"type": "AddItemToOrder", "menu_item": "/menu/items/soup", "quantity": 1}),
    )
    .await;
    ask(
        "/orders/old",
        json!({"type": "SetDeliveryAddress", "address": "/customers/ada/addresses/home"}),
    )
    .await;
    let placed = ask("/orders/old", json!({"type": "PlaceOrder"})).await;
    let token = placed.header("consistency-token").unwrap().to_owned();

    // Decided on: the total is that of all items.
    let shown = read.get_after("/orders/old", &token).await.expect(200);
    let subtotals: Vec<_> = (0..3)
        .map(|item| &shown.body["items"][item]["subtotal"]["amount"])
        .collect();
    assert_eq!(subtotals, [1350, 1200, 500]);
    assert_eq!(shown.body["total"], json!(usd(3050)));

    // Shown as today's, with what they were; and in the topic they lie as they were written.
    let history = read.get_after("/orders/old/events", &token).await.expect(200);
    let of = |index: usize| {
        let event = &history.body["items"][index];
        let subtotal = event["payload"]["subtotal"]["amount"].clone();
        (
            event["revision"].clone(),
            event["written_revision"].clone(),
            subtotal,
        )
    };
    assert_eq!(of(1), (json!(2), json!(1), json!(1350)));
    assert_eq!(of(2), (json!(2), json!(1), json!(1200)));
    assert_eq!(of(3), (json!(2), json!(2), json!(500)));
    let named = history.body["items"][3]["previous_hash"]
        .as_str()
        .unwrap()
        .parse::<EventHash>();
    assert_eq!(
        named,
        Ok(last),
        "the chain goes on from what an older writer has written"
    );

    // As it was, too: when the log had nothing but revision 1.
    let then = read.get_after("/orders/old?at=seq:3", &token).await.expect(200);
    assert_eq!(then.body["total"], json!(usd(2550)));

    // A local store that is lost is folded from the same log, to the same state.
    system.stop(Service::CommandHandler).await;
    std::fs::remove_dir_all(system.state_folder()).unwrap();
    system.restart(Service::CommandHandler).await;
    let refused = write
        .post("/orders/old/commands", &json!({"type": "CancelOrder"}))
        .await;
    refused.expect_problem(409, "order-not-open");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_newer_code_has_written_parks_its_aggregate_and_stops_the_write_side_with_the_reason() {
    let mut system = System::start("newer", PROGRAM).await;
    let orders = records::aggregate("restaurant.orders");
    system.stop(Service::CommandHandler).await;
    let newer = OtherWriter::of(&system.kafka, &orders, 3).await;
    newer.append("newer", 1, opened(), 1).await;
    newer.append("newer", 2, added(1, 450, 3), 3).await;
    newer.append("fine", 1, opened(), 1).await;

    let said =
        "ItemAddedToOrder is at revision 2 here, and this one is of revision 3: it was written by newer code";
    let read = system.read();
    let within = Duration::from_secs(30);
    eventually("the others are projected", within, async || {
        (read.get("/orders/fine").await.status == 200).then_some(())
    })
    .await;
    eventually("it is said why", within, async || {
        system.log_of(Service::Projector).contains(said).then_some(())
    })
    .await;
    // It is shown as it was before.
    let parked = read.get("/orders/newer").await.expect(200);
    assert_eq!(parked.body["items"], json!([]));

    system.launch(Service::CommandHandler);
    eventually("it is said why", within, async || {
        system
            .log_of(Service::CommandHandler)
            .contains(said)
            .then_some(())
    })
    .await;
}
