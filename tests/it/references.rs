//! What was made a moment ago is never unknown to who says that he has seen it, whichever instance decides.

use std::collections::BTreeMap;

use foldline_core::CommandMeta;
use foldline_tests::client::{Answer, Client};
use foldline_tests::handler::Handler;
use foldline_tests::producer::{Upstream, id_in, meta};
use foldline_tests::records;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::System;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::PROGRAM;

/// How often one of the two begins anew: just then it hears late of what the other one does.
const ROUNDS: usize = 4;
/// How often one of the two sleeps while a price changes.
const CHANGES: i64 = 8;

async fn send(write: &Client, path: &str, body: &Value, token: Option<&str>) -> Answer {
    let request = token
        .into_iter()
        .fold(write.posting(path, body), |request, token| {
            request.header("Consistency-Token", token)
        });
    write.send(request).await
}

/// Signs a customer up in each partition, and opens an order in each partition for each at once. What became of the
/// orders.
async fn guests(write: &Client, round: usize) -> Vec<String> {
    let mut told = Vec::new();
    for of in 0..PARTITIONS {
        let customer = id_in(of, &format!("guest-{round}"));
        let sign_up = json!({"type": "SignUp", "email": format!("{customer}@example.org")});
        let signed_up = send(write, &format!("/customers/{customer}/commands"), &sign_up, None).await;
        let signed_up = signed_up.expect(201);
        let open = json!({"type": "OpenOrder", "customer": format!("/customers/{customer}")});
        for partition in 0..PARTITIONS {
            let order = id_in(partition, &format!("order-of-{customer}"));
            let token = signed_up.text("/consistency_token");
            let answer = send(write, &format!("/orders/{order}/commands"), &open, Some(token)).await;
            told.push(match answer.status {
                201 => "accepted".to_owned(),
                _ => answer.text("/code").to_owned(),
            });
        }
    }
    told
}

/// The two share the customers' partitions and the orders': one decides on what the other has made.
#[tokio::test(flavor = "multi_thread")]
async fn who_signed_up_a_moment_ago_is_never_unknown_to_who_has_the_token() {
    let system = System::start("references", PROGRAM).await;
    let mut second = Handler::launch(&system.kafka, "1", PROGRAM).await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        second.wait_until_ready().await;
        for outcome in guests(&second.write(), round).await {
            *told.entry(outcome).or_default() += 1;
        }
        second.kill().await;
        second.start_again();
    }
    let partitions = usize::try_from(PARTITIONS).unwrap();
    let orders = ROUNDS * partitions * partitions;
    assert_eq!(told, BTreeMap::from([("accepted".to_owned(), orders)]));
    second.wait_until_ready().await;
    no_price_is_older_than_the_token(&system, &second).await;
}

/// An order in each partition.
async fn open_orders(write: &Client, name: &str) {
    for partition in 0..PARTITIONS {
        let open = json!({"type": "OpenOrder", "customer": format!("/customers/{}", id_in(0, "guest-0"))});
        let path = format!("/orders/{}/commands", id_in(partition, name));
        send(write, &path, &open, None).await.expect(201);
    }
}

/// A dish in each partition.
async fn lay(write: &Client) {
    for partition in 0..PARTITIONS {
        let dish =
            json!({"type": "AddMenuItem", "description": "Dish", "price": {"amount": 1, "currency": "EUR"}});
        let path = format!("/menu/items/{}/commands", id_in(partition, "dish"));
        send(write, &path, &dish, None).await.expect(201);
    }
}

/// Changes the price of each dish; one whose change was decided, and its token.
async fn raise(write: &Client, amount: i64) -> Option<(String, String)> {
    let mut raising = JoinSet::new();
    for partition in 0..PARTITIONS {
        let dish = format!("/menu/items/{}", id_in(partition, "dish"));
        let body = json!({"type": "ModifyMenuItem", "description": "Dish", "price": {"amount": amount, "currency": "EUR"}});
        let request = write.request(Method::POST, &format!("{dish}/commands"));
        let request = request.header("Prefer", "wait=2").json(&body);
        let write = write.clone();
        raising.spawn(async move { (dish, write.send(request).await) });
    }
    let all = raising.join_all().await;
    let mut decided = all.into_iter().filter(|(_, answer)| answer.status == 200);
    decided
        .next()
        .map(|(dish, answer)| (dish, answer.text("/consistency_token").to_owned()))
}

/// An older price is no reason to refuse, so it is the token alone that keeps an order from it. Who has slept through
/// the change finds it and the orders at the same moment.
async fn no_price_is_older_than_the_token(system: &System, second: &Handler) {
    let write = system.write();
    lay(&write).await;
    let orders = Upstream::to(&system.kafka, "restaurant.orders").await;
    let mut asked = BTreeMap::new();
    for amount in 2..CHANGES + 2 {
        let name = format!("dear-{amount}");
        open_orders(&write, &name).await;
        second.pause();
        let raised = raise(&write, amount).await;
        let (dish, token) = raised.expect("no result: the other one leads every partition");
        let add = orders.command(&json!({"type": "AddItemToOrder", "menu_item": dish, "quantity": 1}));
        let mut places = Vec::new();
        for partition in 0..PARTITIONS {
            let command = CommandMeta {
                consistency_token: Some(token.clone()),
                ..meta(&id_in(partition, &name), Uuid::now_v7())
            };
            asked.insert(command.command_id, amount);
            places.push(orders.send(command, &add).await);
        }
        second.resume();
        for place in places {
            let result = orders.outcome(place).await;
            assert_eq!(result.outcome, "accepted", "{result:?}");
        }
    }
    let events = tokio::task::block_in_place(|| records::events(&system.kafka, "restaurant.orders"));
    let mut seen = 0;
    for event in events {
        if let Some(amount) = asked.get(&event.meta.command_id) {
            assert_eq!(event.payload["price"]["amount"], *amount, "{:?}", event.meta);
            seen += 1;
        }
    }
    assert_eq!(seen, asked.len());
}
