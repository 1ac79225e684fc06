//! What was made a moment ago is never unknown to who says that he has seen it, whichever instance decides.

use std::collections::BTreeMap;
use std::time::Duration;

use foldline_tests::client::{Answer, Client, eventually};
use foldline_tests::handler::Handler;
use foldline_tests::producer::id_in;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAM;

/// So many orders must have been decided by who had slept, or nothing was shown.
const BY_WHO_SLEPT_MIN: usize = 6;
/// On a busy machine one of the two may lead everything for a while.
const ROUNDS_MAX: usize = 60;
const PATIENCE: Duration = Duration::from_secs(60);

async fn send(write: &Client, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let request = write.request(Method::POST, path).json(body);
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    write.send(request).await
}

/// Adds an item in each partition. Those that are led by who sleeps do not answer in time.
async fn add_items(write: &Client, round: usize) -> Vec<Answer> {
    let price = json!({"amount": 100, "currency": "EUR"});
    let body = json!({"type": "AddMenuItem", "description": "New", "price": price});
    let mut adding = Vec::new();
    for partition in 0..PARTITIONS {
        let path = format!(
            "/menu/items/{}/commands",
            id_in(partition, &format!("new-{round}"))
        );
        let (write, body) = (write.clone(), body.clone());
        adding.push(tokio::spawn(async move {
            send(&write, &path, &body, &[("Prefer", "wait=1")]).await
        }));
    }
    let mut added = Vec::new();
    for answer in adding {
        added.push(answer.await.expect("an answer"));
    }
    added.retain(|answer| answer.status == 201);
    added
}

/// An order of something, and what says that it is there.
struct Asked {
    path: String,
    body: Value,
    token: String,
    key: Uuid,
}

impl Asked {
    async fn send(&self, write: &Client) {
        let key = self.key.to_string();
        let headers = [
            ("Idempotency-Key", key.as_str()),
            ("Consistency-Token", &self.token),
            ("Prefer", "respond-async"),
        ];
        send(write, &self.path, &self.body, &headers).await.expect(202);
    }

    async fn outcome(&self, write: &Client, wait: &str) -> Answer {
        let request = write.request(Method::GET, &format!("/commands/{}", self.key));
        write.send(request.header("Prefer", wait)).await.expect(200)
    }

    /// `accepted`, or the code of the refusal. One that came too early is sent again, as its answer says.
    async fn told(&self, write: &Client) -> String {
        let ask = || async {
            let outcome = self.outcome(write, "wait=5").await;
            match (outcome.text("/status"), outcome.body["problem"]["code"].as_str()) {
                ("pending", _) => None,
                (_, Some("token-not-reached")) => {
                    self.send(write).await;
                    None
                }
                (status, code) => Some(code.unwrap_or(status).to_owned()),
            }
        };
        eventually("the order has an outcome", PATIENCE, ask).await
    }
}

/// One of the two sleeps, in turn: which partitions each leads, nobody says.
enum Sleeps<'a> {
    First(&'a System, &'a Handler),
    Second(&'a System, &'a Handler),
}

impl<'a> Sleeps<'a> {
    fn of(first: &'a System, second: &'a Handler, round: usize) -> Self {
        if round.is_multiple_of(2) {
            first.pause(Service::CommandHandler);
            Self::First(first, second)
        } else {
            second.pause();
            Self::Second(first, second)
        }
    }

    fn who_is_awake(&self) -> Client {
        match self {
            Self::First(_, second) => second.write(),
            Self::Second(first, _) => first.write(),
        }
    }

    fn wake(self) {
        match self {
            Self::First(first, _) => first.resume(Service::CommandHandler),
            Self::Second(_, second) => second.resume(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_added_a_moment_ago_is_never_unknown_to_who_has_its_token() {
    let system = System::start("references", PROGRAM).await;
    let second = Handler::launch(&system.kafka, "1", PROGRAM).await;
    second.wait_until_ready().await;
    let write = second.write();
    let sign_up = json!({"type": "SignUp", "email": "guest@example.org"});
    let signed_up = send(&write, "/customers/guest/commands", &sign_up, &[])
        .await
        .expect(201);
    let orders: Vec<String> = (0..PARTITIONS)
        .map(|partition| format!("/orders/{}/commands", id_in(partition, "order")))
        .collect();
    for order in &orders {
        let open = json!({"type": "OpenOrder", "customer": "/customers/guest"});
        let token = signed_up.text("/consistency_token");
        send(&write, order, &open, &[("Consistency-Token", token)])
            .await
            .expect(201);
    }

    let (mut told, mut by_who_slept): (BTreeMap<String, usize>, _) = (BTreeMap::new(), 0);
    for round in 0..ROUNDS_MAX {
        if by_who_slept >= BY_WHO_SLEPT_MIN {
            break;
        }
        // It sleeps while the item is made and ordered. What it leads it decides as soon as it wakes up, and may not
        // have heard of the item then.
        let sleeps = Sleeps::of(&system, &second, round);
        let write = sleeps.who_is_awake();
        let mut asked = Vec::new();
        let added = add_items(&write, round).await;
        for (order, item) in orders.iter().zip(added.iter().cycle()) {
            let item_link = item.text("/aggregate");
            asked.push(Asked {
                path: order.clone(),
                body: json!({"type": "AddItemToOrder", "menu_item": item_link, "quantity": 1}),
                token: item.text("/consistency_token").to_owned(),
                key: Uuid::now_v7(),
            });
        }
        for order in &asked {
            order.send(&write).await;
        }
        for order in &asked {
            let outcome = order.outcome(&write, "wait=0").await;
            by_who_slept += usize::from(outcome.text("/status") == "pending");
        }
        sleeps.wake();
        for order in &asked {
            *told.entry(order.told(&write).await).or_default() += 1;
        }
    }
    println!("{told:?}, {by_who_slept} of them decided by who had slept");
    assert!(told.keys().eq(["accepted"]), "{told:?}");
    assert!(
        by_who_slept >= BY_WHO_SLEPT_MIN,
        "no result: {by_who_slept} were decided by who had slept"
    );
}
