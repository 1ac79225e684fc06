//! Requests that cannot be heeded: each is told why, in a form that programs can read.

use foldline_tests::client::{Answer, Client};
use foldline_tests::shared;
use reqwest::Method;
use serde_json::{Value, json};

use crate::PROGRAM;

const COMMANDS: &str = "/menu/items/bad-input/commands";

async fn write() -> Client {
    shared::system(PROGRAM).await.write()
}

async fn post_text(write: &Client, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = write.request(Method::POST, path);
    write.send(request.header("content-type", kind).body(body)).await
}

fn pointers(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array().expect("errors").iter();
    errors
        .map(|error| error["pointer"].as_str().expect("a pointer"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_a_wrong_form_is_400_with_a_pointer_to_each_error() {
    let write = write().await;
    for body in [
        "",
        "{",
        "type=AddMenuItem",
        "{\"type\": \"RemoveMenuItem\"} and more",
    ] {
        let answer = post_text(&write, COMMANDS, "application/json", body).await;
        let answer = answer.expect_problem(400, "malformed-json");
        assert_eq!(pointers(&answer), [""], "{body}");
    }
    let price = json!({"amount": 1250, "currency": "USD"});
    let wrong: [(Value, &[&str]); 8] = [
        (json!([]), &[""]),
        (json!({"description": "Pizza"}), &["/type"]),
        (json!({"type": "EatMenuItem"}), &["/type"]),
        (json!({"type": "RemoveMenuItem", "reason": "stale"}), &["/reason"]),
        (
            json!({"type": "AddMenuItem", "description": "Pizza"}),
            &["/price"],
        ),
        (
            json!({"type": "AddMenuItem", "description": 7, "price": price}),
            &["/description"],
        ),
        (
            json!({"type": "AddMenuItem", "description": "Pizza", "price": {"amount": "1250", "currency": "USD"}}),
            &["/price/amount"],
        ),
        (
            json!({"type": "AddMenuItem", "description": "Pizza", "price": {"amount": 1, "currency": "USD", "vat": 19}}),
            &["/price/vat"],
        ),
    ];
    for (body, expected) in wrong {
        let answer = write
            .post(COMMANDS, &body)
            .await
            .expect_problem(400, "invalid-command");
        assert_eq!(pointers(&answer), expected, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_of_another_media_type_is_not_read() {
    let write = write().await;
    let body = |bytes: usize| format!("{{\"type\": \"RemoveMenuItem\"}}{}", " ".repeat(bytes - 26));
    let answer = post_text(&write, COMMANDS, "application/json", body(64 * 1024 + 1)).await;
    answer.expect_problem(413, "too-large");
    let answer = post_text(&write, COMMANDS, "application/json", body(64 * 1024)).await;
    answer.expect_problem(404, "unknown-aggregate");
    for kind in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
    ] {
        let answer = post_text(&write, COMMANDS, kind, body(26)).await;
        answer.expect_problem(415, "unsupported-media-type");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404() {
    let write = write().await;
    for (path, body) in [
        (COMMANDS, json!({"type": "RemoveMenuItem"})),
        (
            "/customers/bad-input/commands",
            json!({"type": "RemoveAddress", "nickname": "home"}),
        ),
        ("/orders/bad-input/commands", json!({"type": "PlaceOrder"})),
    ] {
        write
            .post(path, &body)
            .await
            .expect_problem(404, "unknown-aggregate");
    }
    let read = shared::system(PROGRAM).await.read();
    for path in [
        "/menu/items/bad-input",
        "/customers/bad-input",
        "/orders/bad-input/items",
        "/orders/bad-input/events",
    ] {
        read.get(path).await.expect_problem(404, "not-found");
    }
    let unknown = format!("/commands/{}", uuid::Uuid::now_v7());
    write.get(&unknown).await.expect_problem(404, "unknown-command");
    write.get("/desserts").await.expect_problem(404, "not-found");
}

/// A menu item, two customers with an address each, and an open order of the first one.
struct Table {
    write: Client,
    item: String,
    ada: String,
    bob: String,
    order: String,
}

impl Table {
    async fn laid(name: &str) -> Self {
        let write = write().await;
        let price = json!({"amount": 1250, "currency": "USD"});
        let item = json!({"description": "Pizza", "price": price});
        let item = created(&write, "/menu/items", item).await;
        let mut customers = Vec::new();
        for who in ["Ada", "Bob"] {
            let email = format!("{who}@{name}.example");
            let customer = created(&write, "/customers", json!({"email": email})).await;
            let address = json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"});
            write
                .post(&format!("{customer}/commands"), &address)
                .await
                .expect(200);
            customers.push(customer);
        }
        let (bob, ada) = (customers.remove(1), customers.remove(0));
        let order = created(&write, "/orders", json!({"customer": ada})).await;
        Self {
            write,
            item,
            ada,
            bob,
            order,
        }
    }

    async fn post(&self, to: &str, body: Value) -> Answer {
        self.write.post(&format!("{to}/commands"), &body).await
    }
}

async fn created(write: &Client, path: &str, body: Value) -> String {
    let answer = write.post(path, &body).await.expect(201);
    answer.text("/aggregate").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_can_never_be_right_is_422_and_so_is_a_link_to_something_unknown() {
    let table = Table::laid("never").await;
    let price = |amount: i64, currency: &str| json!({"amount": amount, "currency": currency});
    let add = |quantity: i32| json!({"type": "AddItemToOrder", "menuItem": table.item, "quantity": quantity});
    let modify = |description: &str, price: Value| json!({"type": "ModifyMenuItem", "description": description, "price": price});
    let address = |nickname: &str, location: &str| json!({"type": "AddAddress", "nickname": nickname, "location": location});
    let rows = [
        (&table.order, add(0), "quantity-not-positive", "/quantity"),
        (&table.order, add(-1), "quantity-not-positive", "/quantity"),
        (
            &table.item,
            modify(" ", price(1, "USD")),
            "description-empty",
            "/description",
        ),
        (
            &table.item,
            modify("Pizza", price(0, "USD")),
            "price-not-positive",
            "/price",
        ),
        (
            &table.item,
            modify("Pizza", price(1, "dollars")),
            "currency-invalid",
            "/price",
        ),
        (
            &table.ada,
            json!({"type": "ChangeEmail", "email": "nowhere"}),
            "email-invalid",
            "/email",
        ),
        (
            &table.ada,
            address("", "1 Main St"),
            "nickname-empty",
            "/nickname",
        ),
        (&table.ada, address("work", ""), "location-empty", "/location"),
        (
            &table.order,
            json!({"type": "AddItemToOrder", "menuItem": "/menu/items/unknown", "quantity": 1}),
            "unknown-menu-item",
            "/menuItem",
        ),
        (
            &table.order,
            json!({"type": "SetDeliveryAddress", "address": format!("{}/addresses/moon", table.ada)}),
            "unknown-address",
            "/address",
        ),
    ];
    for (to, body, code, pointer) in rows {
        let answer = table.post(to, body).await.expect_problem(422, code);
        assert_eq!(pointers(&answer), [pointer], "{code}");
    }
    let nobody = json!({"customer": "/customers/unknown"});
    table
        .write
        .post("/orders", &nobody)
        .await
        .expect_problem(422, "unknown-customer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_link_is_400() {
    let table = Table::laid("links").await;
    let rows = [
        (
            json!({"type": "AddItemToOrder", "menuItem": table.ada, "quantity": 1}),
            "/menuItem",
        ),
        (
            json!({"type": "AddItemToOrder", "menu_item": "pizza", "quantity": 1}),
            "/menu_item",
        ),
        (
            json!({"type": "RemoveItemFromOrder", "order_item": table.item}),
            "/order_item",
        ),
        (
            json!({"type": "SetDeliveryAddress", "address": table.ada}),
            "/address",
        ),
    ];
    for (body, pointer) in rows {
        let answer = table
            .post(&table.order, body)
            .await
            .expect_problem(400, "invalid-command");
        assert_eq!(pointers(&answer), [pointer]);
    }
    let nobody = json!({"customer": "ada"});
    table
        .write
        .post("/orders", &nobody)
        .await
        .expect_problem(400, "invalid-command");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_state_forbids_is_409_with_a_type_per_rule() {
    let table = Table::laid("forbidden").await;
    let place = json!({"type": "PlaceOrder"});
    let line = format!("{}/items/{}", table.order, uuid::Uuid::now_v7());
    let bring = |to: &str| json!({"type": "SetDeliveryAddress", "address": format!("{to}/addresses/home")});
    let refused = async |to: &str, body: Value, code: &str| {
        table.post(to, body).await.expect_problem(409, code);
    };
    refused(
        &table.ada,
        json!({"type": "ChangeEmail", "email": "BOB@forbidden.example"}),
        "email-taken",
    )
    .await;
    let email = json!({"email": "ada@FORBIDDEN.example"});
    table
        .write
        .post("/customers", &email)
        .await
        .expect_problem(409, "email-taken");
    refused(
        &table.ada,
        json!({"type": "VerifyEmail", "token": "?"}),
        "wrong-token",
    )
    .await;
    refused(
        &table.ada,
        json!({"type": "RemoveAddress", "nickname": "moon"}),
        "no-such-address",
    )
    .await;
    refused(&table.order, place.clone(), "order-empty").await;
    refused(
        &table.order,
        json!({"type": "RemoveItemFromOrder", "order_item": line}),
        "item-not-in-order",
    )
    .await;
    refused(&table.order, bring(&table.bob), "address-of-another-customer").await;
    let add = json!({"type": "AddItemToOrder", "menuItem": table.item, "quantity": 1});
    table.post(&table.order, add.clone()).await.expect(200);
    refused(&table.order, place.clone(), "order-without-address").await;
    table.post(&table.order, bring(&table.ada)).await.expect(200);
    table
        .post(&table.item, json!({"type": "RemoveMenuItem"}))
        .await
        .expect(200);
    refused(
        &table.item,
        json!({"type": "RemoveMenuItem"}),
        "menu-item-removed",
    )
    .await;
    refused(&table.order, add, "menu-item-not-on-sale").await;
    table.post(&table.order, place.clone()).await.expect(200);
    refused(&table.order, place, "order-not-open").await;
    refused(&table.order, json!({"type": "CancelOrder"}), "order-not-open").await;
}
