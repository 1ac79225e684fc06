//! What the services keep on disk is made from the log, and is made again.

use foldline_tests::client::{Answer, Client};
use foldline_tests::rows;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAM;

const LISTS: [&str; 4] = ["/menu/items", "/customers", "/orders", "/coats"];

/// A command with its id, so that it can be sent again.
struct Sent {
    path: &'static str,
    command_id: Uuid,
    body: Value,
}

impl Sent {
    async fn to(&self, write: &Client) -> Answer {
        let request = write.request(Method::POST, self.path).json(&self.body);
        let request = request.header("Idempotency-Key", self.command_id.to_string());
        write.send(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_folders_are_made_again_with_the_same_answers_and_the_same_rows() {
    let mut system = System::start("folders", PROGRAM).await;
    let sent = commands();
    let mut answers = Vec::new();
    for command in &sent {
        answers.push(command.to(&system.write()).await);
    }
    let before = dump(&system, &answers).await;
    // 6 rows and 13 events.
    assert_eq!(before.len(), 19, "{before:#?}");

    system.stop(Service::CommandHandler).await;
    system.stop(Service::Projector).await;
    std::fs::remove_dir_all(system.state_folder()).expect("the state folder is there");
    std::fs::remove_dir_all(system.views_folder()).expect("the views folder is there");
    system.restart(Service::Projector).await;
    system.restart(Service::CommandHandler).await;

    assert_eq!(dump(&system, &answers).await, before);
    for (command, first) in sent.iter().zip(&answers) {
        let again = command.to(&system.write()).await;
        assert_eq!(again.status, first.status, "{again:#?}");
        let mut expected = lasting(first);
        expected["replayed"] = json!(true);
        assert_eq!(lasting(&again), expected);
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("etag"), first.header("etag"));
    }
    // Nothing came of the repetition.
    assert_eq!(dump(&system, &answers).await, before);
    // What is decided next builds on what was.
    let taken = json!({"type": "SignUp", "email": "ADA@example.org"});
    let answer = system.write().post("/customers/carl/commands", &taken).await;
    answer.expect_problem(409, "email-taken");
    let freed = json!({"type": "SignUp", "email": "bob@example.org"});
    system
        .write()
        .post("/customers/carl/commands", &freed)
        .await
        .expect(201);
    let removed = json!({"type": "RemoveMenuItem"});
    let answer = system
        .write()
        .post("/menu/items/pizza/commands", &removed)
        .await
        .expect(200);
    assert_eq!(answer.body["sequence"], 3);
}

/// An answer without what names the request, which is another one each time.
fn lasting(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    let fields = body.as_object_mut().expect("an object");
    fields.retain(|name, _| name != "request_id" && name != "trace_id");
    body
}

/// All rows with their histories, in the state that these answers tell of.
async fn dump(system: &System, answers: &[Answer]) -> Vec<Value> {
    let read = system.read();
    for list in LISTS {
        let mut request = read.request(Method::GET, list).header("Prefer", "wait=30");
        for answer in answers {
            if let Some(token) = answer.header("consistency-token") {
                request = request.header("Consistency-Token", token);
            }
        }
        read.send(request).await.expect(200);
    }
    rows::dump(&read, &LISTS).await
}

/// A bit of everything, accepted and refused.
fn commands() -> Vec<Sent> {
    let price = |amount: i64| json!({"amount": amount, "currency": "USD"});
    let (menu, soup) = ("/menu/items/pizza/commands", "/menu/items/soup/commands");
    let (ada, bob) = ("/customers/ada/commands", "/customers/bob/commands");
    let (order, coat) = ("/orders/order/commands", "/coats/coat/commands");
    let bring = json!({"type": "SetDeliveryAddress", "address": "/customers/ada/addresses/home"});
    let add = |item: &str| json!({"type": "AddItemToOrder", "menuItem": format!("/menu/items/{item}"), "quantity": 2});
    let bodies = [
        (
            menu,
            json!({"type": "AddMenuItem", "description": "Pizza", "price": price(1250)}),
        ),
        (
            soup,
            json!({"type": "AddMenuItem", "description": "Soup", "price": price(600)}),
        ),
        (
            soup,
            json!({"type": "AddMenuItem", "description": "Soup", "price": price(600)}),
        ),
        (ada, json!({"type": "SignUp", "email": "Ada@example.org"})),
        (bob, json!({"type": "SignUp", "email": "ada@EXAMPLE.org"})),
        (bob, json!({"type": "SignUp", "email": "bob@example.org"})),
        (bob, json!({"type": "ChangeEmail", "email": "bob@example.com"})),
        (
            ada,
            json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"}),
        ),
        (
            order,
            json!({"type": "OpenOrder", "customer": "/customers/nobody"}),
        ),
        (order, json!({"type": "OpenOrder", "customer": "/customers/ada"})),
        (order, add("pizza")),
        (order, add("soup")),
        (order, add("cake")),
        (order, bring),
        (
            menu,
            json!({"type": "ModifyMenuItem", "description": "Pizza", "price": price(1300)}),
        ),
        (order, json!({"type": "PlaceOrder"})),
        (order, json!({"type": "CancelOrder"})),
        (coat, json!({"type": "HandIn", "colour": "teal"})),
        (coat, json!({"type": "HandIn", "colour": "teal"})),
        ("/coats/gone/commands", json!({"type": "HandIn", "colour": "red"})),
        ("/coats/gone/commands", json!({"type": "HandOut"})),
    ];
    let sent = bodies.into_iter().map(|(path, body)| Sent {
        path,
        command_id: Uuid::now_v7(),
        body,
    });
    sent.collect()
}
