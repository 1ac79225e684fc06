//! Who may ask what, of real services: every route is asked, as their OpenAPI documents list them.

use std::time::Duration;

use foldline_stack::{Child, Port, Quiet};
use foldline_tests::client::{Answer, Client, eventually};
use foldline_tests::issuer::{Issuer, claims, in_seconds};
use foldline_tests::system::System;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::PROGRAM;

const PATIENCE: Duration = Duration::from_secs(30);
const STAFF: &str = "restaurant.menu:write restaurant.menu:read restaurant.orders:read restaurant.orders:history \
    restaurant.customers:read restaurant.customers:history restaurant.orders:write restaurant.customers:write";
const CUSTOMER: &str = "restaurant.menu:read restaurant.orders:read-own restaurant.orders:write-own \
    restaurant.orders:history-own restaurant.customers:read-own restaurant.customers:write-own";

/// One system for these tests, which stop none of it.
struct Guarded {
    system: System,
    issuer: Issuer,
    _folder: tempfile::TempDir,
}

async fn guarded() -> &'static Guarded {
    static GUARDED: OnceCell<Guarded> = OnceCell::const_new();
    let start = async || {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::new(folder.path());
        let system = System::start_guarded("guarded", PROGRAM, issuer.arguments()).await;
        Guarded {
            system,
            issuer,
            _folder: folder,
        }
    };
    GUARDED.get_or_init(start).await
}

/// Somebody with a token.
struct Person {
    token: String,
    write: Client,
    read: Client,
}

impl Guarded {
    fn person(&self, subject: &str, scopes: &str) -> Person {
        Person {
            token: self.issuer.token(subject, scopes),
            write: self.system.write(),
            read: self.system.read(),
        }
    }
}

impl Person {
    async fn command(&self, path: &str, command: Value) -> Answer {
        let request = self.write.posting(&format!("{path}/commands"), &command);
        let request = request.header("X-Actor", "somebody else");
        self.write.send(request.bearer_auth(&self.token)).await
    }

    async fn dry_run(&self, path: &str, command: Value) -> Answer {
        let path = format!("{path}/commands?dry_run=true");
        let request = self.write.request(Method::POST, &path).json(&command);
        self.write.send(request.bearer_auth(&self.token)).await
    }

    async fn get(&self, path: &str, seen: &str) -> Answer {
        let request = self
            .read
            .request(Method::GET, path)
            .header("Consistency-Token", seen);
        self.read
            .send(request.header("Prefer", "wait=30").bearer_auth(&self.token))
            .await
    }

    async fn text(&self, path: &str, seen: &str, accept: &str) -> String {
        let request = self
            .read
            .request(Method::GET, path)
            .header("Consistency-Token", seen);
        let request = request.header("Accept", accept).header("Prefer", "wait=30");
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }
}

/// Every operation of a service: method, path, and whether it is open and needs a scope.
async fn operations(client: &Client) -> Vec<(Method, String, bool, bool)> {
    let document = client.get("/openapi.json").await.expect(200).body;
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            let security = operation.get("security").unwrap_or(&document["security"]);
            let any = security.as_array().unwrap();
            let has_scopes = any.iter().any(|needed| needed["bearer"] != json!([]));
            found.push((method, path.clone(), any.is_empty(), has_scopes));
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

fn filled(path: &str) -> String {
    let path = path.replace("{command_id}", "8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11");
    path.replace("{code}", "forbidden").replace(['{', '}'], "")
}

async fn ask(client: &Client, method: &Method, path: &str, token: Option<&str>) -> Answer {
    let mut request = client.request(method.clone(), path);
    if *method == Method::POST {
        request = request.json(&json!({}));
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    client.send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_refused_to_who_is_not_known_or_has_no_scope() {
    let Guarded { system, issuer, .. } = guarded().await;
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims("ada", STAFF);
        claims[name] = value;
        issuer.sign(&claims)
    };
    let good = issuer.token("ada", STAFF);
    let payload = good.split('.').nth(1).unwrap();
    let bad = [
        None,
        Some(with("exp", json!(in_seconds(-10)))),
        Some(with("iss", json!("https://other.test"))),
        Some(with("aud", json!("another"))),
        // Of an issuer that only has the same name, and the same names for its keys.
        Some(Issuer::new(folder.path()).token("ada", STAFF)),
        // {"alg":"none","kid":"key-0"}
        Some(format!("eyJhbGciOiJub25lIiwia2lkIjoia2V5LTAifQ.{payload}.")),
    ];
    let elsewhere = issuer.token(
        "ada",
        "restaurant.orders restaurant.tables:read counter.counters:writes",
    );
    for client in [system.write(), system.read()] {
        for (method, path, is_open, has_scopes) in operations(&client).await {
            let path = filled(&path);
            for token in &bad {
                let answer = ask(&client, &method, &path, token.as_deref()).await;
                if is_open {
                    assert_eq!(answer.status, 200, "{method} {path}");
                    continue;
                }
                let answer = answer.expect_problem(401, "unauthenticated");
                assert!(
                    answer.header("www-authenticate").unwrap().starts_with("Bearer "),
                    "{path}"
                );
            }
            if has_scopes {
                let answer = ask(&client, &method, &path, Some(&elsewhere)).await;
                answer.expect_problem(403, "forbidden");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_and_commands_what_is_its_own_and_staff_all() {
    let guarded = guarded().await;
    let staff = guarded.person("chef", STAFF);
    let [ada, bob] = ["ada", "bob"].map(|name| guarded.person(name, CUSTOMER));
    let price = json!({"amount": 500, "currency": "EUR"});
    let soup = json!({"type": "AddMenuItem", "description": "Soup", "price": price});
    ada.command("/menu/items/soup", soup.clone())
        .await
        .expect_problem(403, "forbidden");
    staff.command("/menu/items/soup", soup).await.expect(201);

    let sign_up = |email: &str| json!({"type": "SignUp", "email": email});
    ada.command("/customers/ada", sign_up("ada@example.org"))
        .await
        .expect(201);
    bob.command("/customers/ada", sign_up("b@example.org"))
        .await
        .expect_problem(403, "forbidden");
    bob.command("/customers/bob", sign_up("bob@example.org"))
        .await
        .expect(201);

    let open = |customer: &str| json!({"type": "OpenOrder", "customer": format!("/customers/{customer}")});
    bob.command("/orders/o-ada", open("ada"))
        .await
        .expect_problem(403, "forbidden");
    ada.command("/orders/o-ada", open("ada")).await.expect(201);
    let add = json!({"type": "AddItemToOrder", "menuItem": "/menu/items/soup", "quantity": 1});
    bob.command("/orders/o-ada", add.clone())
        .await
        .expect_problem(403, "forbidden");
    // Not by making it, either: it is there.
    let both = json!([open("bob"), {"type": "CancelOrder"}]);
    bob.command("/orders/o-ada", both)
        .await
        .expect_problem(403, "forbidden");
    bob.command("/orders/nobodys", add.clone())
        .await
        .expect_problem(403, "forbidden");
    let added = ada.command("/orders/o-ada", add).await.expect(200);
    assert_eq!(added.body["events"].as_array().unwrap().len(), 1);
    let seen = added.header("consistency-token").unwrap().to_owned();

    // What became of a command, and what is possible.
    let outcome = |person: &Person| {
        let path = format!("/commands/{}", added.text("/command_id"));
        let request = person
            .write
            .request(Method::GET, &path)
            .bearer_auth(&person.token);
        let client = person.write.clone();
        async move { client.send(request).await }
    };
    outcome(&bob).await.expect_problem(404, "unknown-command");
    outcome(&ada).await.expect(200);
    let possible = |person: &Person| {
        let request = person.write.request(Method::GET, "/orders/o-ada/commands");
        let (client, request) = (person.write.clone(), request.bearer_auth(&person.token));
        async move { client.send(request).await }
    };
    possible(&bob).await.expect_problem(403, "forbidden");
    possible(&ada).await.expect(200);

    let clerk = guarded.person("clerk", "restaurant.orders:write restaurant.orders:read");
    dry_runs(&staff, &ada, &clerk).await;
    reads(&staff, &ada, &bob, &seen).await;
}

/// A dry run shows what the history would, to who may read that, and else what the answer to a real command does.
async fn dry_runs(staff: &Person, ada: &Person, clerk: &Person) {
    let is_told = |answer: Answer| {
        let answer = answer.expect(200);
        let has_state = answer.body.get("state").is_some();
        let event = &answer.body["events"][0];
        assert!(
            event["event_type"].is_string() && event["sequence"].is_i64(),
            "{answer:?}"
        );
        assert_eq!(event.get("payload").is_some(), has_state, "{answer:?}");
        has_state
    };
    let cancel = json!({"type": "CancelOrder"});
    for (person, reads_history) in [(staff, true), (ada, true), (clerk, false)] {
        let answer = person.dry_run("/orders/o-ada", cancel.clone()).await;
        assert_eq!(is_told(answer), reads_history);
    }
    // The token of the new email would be in both.
    let change = json!({"type": "ChangeEmail", "email": "ada@example.com"});
    for (person, reads_history) in [(staff, true), (ada, false)] {
        let answer = person.dry_run("/customers/ada", change.clone()).await;
        assert_eq!(is_told(answer), reads_history);
    }
}

/// Every read of an order that the document lists, and the lists that it is in.
async fn reads(staff: &Person, ada: &Person, bob: &Person, seen: &str) {
    let order = ada.get("/orders/o-ada", seen).await.expect(200);
    let item = order
        .text("/items/0/order_item")
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let mut asked = 0;
    for (_, path, ..) in operations(&ada.read).await {
        if !path.starts_with("/orders/{id}") {
            continue;
        }
        let path = path.replace("{id}", "o-ada").replace("{entry}", &item);
        bob.get(&path, seen).await.expect_problem(404, "not-found");
        ada.get(&path, seen).await.expect(200);
        staff.get(&path, seen).await.expect(200);
        asked += 1;
    }
    assert!(asked >= 7, "{asked} reads of an order");
    ada.get("/customers/ada", seen).await.expect(200);
    // What a history tells of a customer, the token in an email for instance, needs a scope of its own.
    ada.get("/customers/ada/state", seen)
        .await
        .expect_problem(403, "forbidden");
    bob.get("/customers/ada", seen)
        .await
        .expect_problem(404, "not-found");
    bob.get("/orders/o-ada?at=seq:1", seen)
        .await
        .expect_problem(404, "not-found");
    ada.get("/orders/o-ada?at=seq:1", seen).await.expect(200);

    let ids = async |person: &Person, path: &str| {
        let answer = person.get(path, seen).await.expect(200);
        let items = answer.body["items"].as_array().unwrap().clone();
        let ids = items
            .iter()
            .map(|item| item["id"].as_str().unwrap_or_default().to_owned());
        ids.collect::<Vec<_>>()
    };
    let then = format!("/orders?at={seen}");
    for list in ["/orders", "/orders?customer=/customers/ada", &then] {
        assert_eq!(ids(ada, list).await, ["o-ada"], "{list}");
        assert_eq!(ids(staff, list).await, ["o-ada"], "{list}");
        assert_eq!(ids(bob, list).await, [""; 0], "{list}");
    }
    assert_eq!(ids(bob, "/customers").await, ["bob"]);
    assert_eq!(ids(bob, "/menu/items").await, ["soup"]);
    for table in ["/orders", &then, "/events"] {
        let of_ada = ada.text(table, seen, "application/x-ndjson").await;
        let of_bob = bob.text(table, seen, "application/x-ndjson").await;
        assert!(of_ada.contains("o-ada"), "{table}: {of_ada}");
        assert_eq!(of_bob, "", "{table}");
    }
    let feed = ada.get("/events", seen).await.expect(200);
    let events = feed.body["items"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    // Who acts is who the token says, whatever the client does.
    assert!(events.iter().all(|event| event["actor"] == "ada"), "{events:?}");
    assert!(
        staff.get("/events", seen).await.body["items"]
            .as_array()
            .unwrap()
            .len()
            > 2
    );
    ada.get("/events?aggregate=restaurant.customers", seen)
        .await
        .expect_problem(403, "forbidden");

    let talk = format!("/correlations/{}", events[0]["correlation_id"].as_str().unwrap());
    ada.get(&talk, seen).await.expect(200);
    bob.get(&talk, seen).await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_of_one_type_of_command_is_good_for_no_other() {
    let guarded = guarded().await;
    // A customer, whom no list shows to the others: what is on the menu, the test beside this one counts.
    let adds = guarded.person("apprentice", "restaurant.customers:write:SignUp");
    let add = json!({"type": "SignUp", "email": "cook@example.org"});
    adds.command("/customers/cook", add.clone()).await.expect(201);
    let change = json!({"type": "ChangeEmail", "email": "chef@example.org"});
    adds.command("/customers/cook", change.clone())
        .await
        .expect_problem(403, "forbidden");
    let both = json!([add, change]);
    adds.command("/customers/other", both)
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_a_sealed_value_is_refused_wherever_a_command_would_hold_it() {
    let guarded = guarded().await;
    let [chef, eve] = ["chef", "enc1.eve"].map(|name| guarded.person(name, STAFF));
    let tart =
        json!({"type": "AddMenuItem", "description": "Tart", "price": {"amount": 5, "currency": "EUR"}});
    for query in ["", "?dry_run=true"] {
        for (person, id, header) in [
            (&chef, "tart", Some("Correlation-Id")),
            (&chef, "tart", Some("Causation-Id")),
            (&chef, "enc1.tart", None),
            (&eve, "tart", None),
        ] {
            let path = format!("/menu/items/{id}/commands{query}");
            let mut request = person.write.request(Method::POST, &path).json(&tart);
            if let Some(header) = header {
                request = request.header(header, "enc1.talk");
            }
            let answer = person.write.send(request.bearer_auth(&person.token)).await;
            answer.expect_problem(400, "invalid-command");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_under_which_it_was_opened() {
    let Guarded { system, issuer, .. } = guarded().await;
    let mut short = claims("chef", STAFF);
    short["exp"] = in_seconds(2).into();
    let token = issuer.sign(&short);
    let read = system.read();
    let stream = read
        .request(Method::GET, "/events")
        .header("Accept", "text/event-stream");
    let answer = stream.bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let told = tokio::time::timeout(PATIENCE, answer.text()).await;
    assert!(told.is_ok_and(|told| told.is_ok()), "it goes on");
    // The stream ends to the moment, and a request is told by the second.
    let refused = async || {
        let again = read.request(Method::GET, "/events").bearer_auth(&token);
        let answer = read.send(again).await;
        (answer.status == 401).then_some(())
    };
    eventually("the token has expired", PATIENCE, refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_the_issuer_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut issuer = Issuer::new(folder.path());
    let mut service = Child::open("query-api", folder.path(), &Port::any(), &Quiet)
        .await
        .unwrap();
    let address = format!("127.0.0.1:{}", service.port());
    let mut command = std::process::Command::new(PROGRAM);
    command
        .arg("query-api")
        .args(["--listen", &address])
        .args(issuer.arguments());
    command.current_dir(folder.path());
    service.start(command).unwrap();
    let read = Client::new(&format!("http://{address}"));
    let status = |token: String| {
        let request = read.request(Method::GET, "/").bearer_auth(token);
        let read = read.clone();
        async move { read.try_send(request).await.map_or(0, |answer| answer.status) }
    };
    let before = issuer.token("ada", "");
    let known = async |token: &String| (status(token.clone()).await == 200).then_some(());
    eventually("the key is taken", PATIENCE, async || known(&before).await).await;
    issuer.new_key();
    let after = issuer.token("ada", "");
    eventually("the new key is taken", PATIENCE, async || known(&after).await).await;
    assert_eq!(status(before).await, 200, "the old one is still there");
}
