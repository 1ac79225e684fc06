//! The main job: every command of the restaurant over HTTP, seen in views and history.

use foldline_tests::client::{Answer, Client};
use foldline_tests::system::System;
use serde_json::{Value, json};

use crate::PROGRAM;

async fn create(write: &Client, path: &str, body: Value) -> (String, Answer) {
    let answer = write.post(path, &body).await.expect(201);
    let location = answer.header("location").expect("a Location").to_owned();
    let id = location.rsplit('/').next().expect("a last segment").to_owned();
    assert_eq!(answer.header("etag"), Some("\"1\""));
    (id, answer)
}

async fn command(write: &Client, path: &str, body: Value) -> Answer {
    write.post(&format!("{path}/commands"), &body).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_from_the_menu_to_its_place_in_views_and_history() {
    let system = System::start("restaurant", PROGRAM).await;
    let (write, read) = (system.write(), system.read());

    let price = json!({"amount": 1250, "currency": "USD"});
    let (pizza, _) = create(
        &write,
        "/menu/items",
        json!({"description": "Pizza", "price": price}),
    )
    .await;
    let soup_price = json!({"amount": 600, "currency": "USD"});
    let (soup, _) = create(
        &write,
        "/menu/items",
        json!({"description": "Soup", "price": soup_price}),
    )
    .await;
    let (ada, _) = create(&write, "/customers", json!({"email": "Ada@example.org"})).await;
    let customer = format!("/customers/{ada}");
    command(
        &write,
        &customer,
        json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"}),
    )
    .await;
    let (order_id, _) = create(&write, "/orders", json!({"customer": customer})).await;
    let order = format!("/orders/{order_id}");

    // The talk's request, as printed.
    let added = command(
        &write,
        &order,
        json!({"type": "AddItemToOrderCommand", "menuItem": format!("/menu/items/{pizza}"), "quantity": 2}),
    )
    .await;
    assert_eq!(added.text("/events/0/event_type"), "ItemAddedToOrder");
    let token = added.header("consistency-token").expect("a token").to_owned();
    let shown = read.get_after(&order, &token).await.expect(200);
    let pizza_line = shown.text("/items/0/order_item").to_owned();
    let added = command(
        &write,
        &order,
        json!({"type": "AddItemToOrder", "menu_item": format!("/menu/items/{soup}"), "quantity": 1}),
    )
    .await;
    let token = added.header("consistency-token").expect("a token").to_owned();
    let shown = read.get_after(&order, &token).await.expect(200);
    let soup_line = shown.text("/items/1/order_item").to_owned();
    command(
        &write,
        &order,
        json!({"type": "ChangeItemQuantity", "order_item": pizza_line, "quantity": 3}),
    )
    .await;
    command(
        &write,
        &order,
        json!({"type": "RemoveItemFromOrder", "order_item": soup_line}),
    )
    .await;
    command(
        &write,
        &order,
        json!({"type": "SetDeliveryAddress", "address": format!("{customer}/addresses/home")}),
    )
    .await;
    // A later price is not this order's.
    let dearer = json!({"type": "ModifyMenuItem", "description": "Pizza", "price": {"amount": 9900, "currency": "USD"}});
    command(&write, &format!("/menu/items/{pizza}"), dearer).await;
    let placed = command(&write, &order, json!({"type": "PlaceOrder"})).await;

    let token = placed.header("consistency-token").expect("a token").to_owned();
    let shown = read.get_after(&order, &token).await.expect(200);
    assert_eq!(shown.text("/status"), "PLACED");
    assert_eq!(shown.body["total"], json!({"amount": 3750, "currency": "USD"}));
    assert_eq!(shown.body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown.header("etag"), placed.header("etag"));
    let history = read.get(&format!("{order}/events")).await.expect(200);
    let types: Vec<&str> = history.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "OrderOpened",
            "ItemAddedToOrder",
            "ItemAddedToOrder",
            "ItemQuantityChanged",
            "ItemRemovedFromOrder",
            "DeliveryAddressSet",
            "OrderPlaced"
        ]
    );
    let outcome = write.get(placed.text("/links/outcome")).await.expect(200);
    assert_eq!(outcome.text("/status"), "accepted");
}
