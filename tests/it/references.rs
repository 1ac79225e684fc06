//! What was made a moment ago is never unknown to who says that he has seen it, whichever instance decides.

use std::collections::BTreeMap;

use foldline_tests::chance::Chance;
use foldline_tests::client::{Answer, Client};
use foldline_tests::handler::Handler;
use foldline_tests::producer::id_in;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::System;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::PROGRAM;

/// Guests at the same time, each with an order of their own.
const GUESTS: usize = 16;
/// Items that each of them sees added, and orders at once.
const ITEMS: usize = 25;

async fn send(write: &Client, path: &str, body: &Value, token: Option<&str>) -> Answer {
    let request = write.request(Method::POST, path).json(body);
    let request = token.into_iter().fold(request, |request, token| {
        request.header("Consistency-Token", token)
    });
    write.send(request).await
}

/// One who has an item added through any instance, and orders it through any other. What became of each order.
async fn guest(number: usize, doors: [Client; 2], customer: String, mut chance: Chance) -> Vec<String> {
    let any_partition =
        |chance: &mut Chance| i32::try_from(chance.any() % PARTITIONS.unsigned_abs() as u64).unwrap();
    let order = id_in(any_partition(&mut chance), &format!("order-{number}"));
    let path = format!("/orders/{order}/commands");
    let open = json!({"type": "OpenOrder", "customer": "/customers/guest"});
    send(&doors[0], &path, &open, Some(&customer)).await.expect(201);
    let mut told = Vec::new();
    for count in 0..ITEMS {
        let item = id_in(any_partition(&mut chance), &format!("item-{number}-{count}"));
        let price = json!({"amount": 100, "currency": "EUR"});
        let add = json!({"type": "AddMenuItem", "description": "New", "price": price});
        let door = chance.one_of(&doors).clone();
        let added = send(&door, &format!("/menu/items/{item}/commands"), &add, None).await;
        let added = added.expect(201);
        let wish =
            json!({"type": "AddItemToOrder", "menu_item": format!("/menu/items/{item}"), "quantity": 1});
        let token = added.text("/consistency_token");
        let answer = send(chance.one_of(&doors), &path, &wish, Some(token)).await;
        told.push(match answer.status {
            200 => "accepted".to_owned(),
            _ => answer.body.to_string(),
        });
    }
    told
}

/// Each instance leads some of the partitions, and hears of the others a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_added_a_moment_ago_is_never_unknown_to_who_has_its_token() {
    let mut chance = Chance::of_this_run("references");
    let system = System::start("references", PROGRAM).await;
    let second = Handler::launch(&system.kafka, "1", PROGRAM).await;
    second.wait_until_ready().await;
    let doors = [system.write(), second.write()];
    let sign_up = json!({"type": "SignUp", "email": "guest@example.org"});
    let signed_up = send(&doors[0], "/customers/guest/commands", &sign_up, None)
        .await
        .expect(201);

    let mut guests = JoinSet::new();
    for number in 0..GUESTS {
        let customer = signed_up.text("/consistency_token").to_owned();
        guests.spawn(guest(number, doors.clone(), customer, chance.fork()));
    }
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for answer in guests.join_all().await.into_iter().flatten() {
        *told.entry(answer).or_default() += 1;
    }
    assert_eq!(told, BTreeMap::from([("accepted".to_owned(), GUESTS * ITEMS)]));
}
