//! `GET /commands/{id}`: what became of a command, asked of an instance that may not have taken or decided it.

use std::time::Duration;

use foldline_core::{CommandMeta, Token};
use foldline_kafka::wire_format;
use foldline_tests::client::{Answer, Client, eventually};
use foldline_tests::handler::Handler;
use foldline_tests::producer::{Raw, Upstream, id_in, meta, schema_id};
use foldline_tests::shared;
use foldline_tests::stack::PARTITIONS;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::PROGRAM;

const SOON: Duration = Duration::from_secs(30);

async fn outcome(write: &Client, id: Uuid) -> Answer {
    write.get(&format!("/commands/{id}")).await
}

/// `pending`, `accepted`, `refused`, `dead-lettered`, or the problem's type.
async fn status(write: &Client, id: Uuid) -> String {
    let answer = outcome(write, id).await;
    let member = if answer.status == 200 { "/status" } else { "/type" };
    answer.text(member).to_owned()
}

async fn becomes(write: &Client, id: Uuid, expected: &str) {
    let is_so = || async { (status(write, id).await == expected).then_some(()) };
    eventually(&format!("{id} is {expected}"), SOON, is_so).await;
}

/// A command for each partition of each type of the restaurant and of the counters.
fn everywhere() -> Vec<(String, Value)> {
    let price = json!({"amount": 1, "currency": "EUR"});
    let kinds = [
        ("/counters", json!({"type": "StartCounter"})),
        (
            "/menu/items",
            json!({"type": "AddMenuItem", "description": "Soup", "price": price}),
        ),
        (
            "/orders",
            json!({"type": "OpenOrder", "customer": "/customers/nobody"}),
        ),
        (
            "/customers",
            json!({"type": "AddAddress", "nickname": "a", "location": "b"}),
        ),
    ];
    let each = |(path, body): (&str, Value)| {
        let of_partition = |partition| (format!("{path}/{}/commands", id_in(partition, "x")), body.clone());
        (0..PARTITIONS).map(of_partition).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(each).collect()
}

async fn post_async(write: &Client, path: &str, body: &Value) -> Uuid {
    let request = write.request(Method::POST, path);
    let request = request.header("Prefer", "respond-async").json(body);
    let answer = write.send(request).await.expect(202);
    let id = answer.text("/command_id").to_owned();
    assert_eq!(answer.header("location"), Some(&*format!("/commands/{id}")));
    id.parse().expect("a UUID")
}

/// What an instance says of each, given time for those that can be decided.
async fn told_in_time(write: &Client, ids: &[Uuid]) -> Vec<String> {
    let ask = |id: &Uuid| {
        let request = write.request(Method::GET, &format!("/commands/{id}"));
        let (write, request) = (write.clone(), request.header("Prefer", "wait=2"));
        async move { write.send(request).await.expect(200).text("/status").to_owned() }
    };
    let asking: Vec<_> = ids.iter().map(|id| tokio::spawn(ask(id))).collect();
    let mut said = Vec::new();
    for answer in asking {
        said.push(answer.await.expect("an answer"));
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_pending_on_every_instance_until_it_is_decided() {
    let system = System::start("outcomes", PROGRAM).await;
    let (second, third) = (
        Handler::launch(&system.kafka, "1", PROGRAM).await,
        Handler::launch(&system.kafka, "2", PROGRAM).await,
    );
    second.wait_until_ready().await;
    third.wait_until_ready().await;
    let others = [second.write(), third.write()];
    let upstream = Upstream::to(&system.kafka, "counter.counters").await;

    // It leads a third of the partitions at least, and sleeps for less than the others would wait for it.
    system.pause(Service::CommandHandler);
    let mut asked = Vec::new();
    for (path, body) in everywhere() {
        asked.push(post_async(&others[0], &path, &body).await);
    }
    let command = upstream.command(&json!({"type": "StartCounter"}));
    for partition in 0..PARTITIONS {
        let key = Uuid::now_v7();
        upstream
            .send(meta(&id_in(partition, "kafka"), key), &command)
            .await;
        asked.push(key);
    }
    let said = [
        told_in_time(&others[0], &asked).await,
        told_in_time(&others[1], &asked).await,
    ];
    let mut pending = Vec::new();
    for (id, (first, second)) in asked.iter().zip(said[0].iter().zip(&said[1])) {
        assert_eq!(first, second, "{id}");
        assert!(
            ["pending", "accepted", "refused"].contains(&first.as_str()),
            "{first}"
        );
        pending.extend((first == "pending").then_some(*id));
    }
    println!("{} of {} were pending", pending.len(), asked.len());
    assert!(!pending.is_empty(), "no result: all were decided");
    let never_sent = Uuid::now_v7();
    for write in &others {
        outcome(write, never_sent)
            .await
            .expect_problem(404, "unknown-command");
    }

    system.resume(Service::CommandHandler);
    let request = others[1].request(Method::GET, &format!("/commands/{}", pending[0]));
    let waited = others[1]
        .send(request.header("Prefer", "wait=60"))
        .await
        .expect(200);
    assert_ne!(waited.text("/status"), "pending", "it waits");
    for id in &asked {
        let first = outcome(&others[0], *id).await.expect(200);
        if first.text("/status") == "pending" {
            let decided = || async { (status(&others[0], *id).await != "pending").then_some(()) };
            eventually("it is decided", SOON, decided).await;
        }
        let told = outcome(&others[0], *id).await.expect(200);
        becomes(&others[1], *id, told.text("/status")).await;
        assert_eq!(outcome(&others[1], *id).await.body, told.body, "{id}");
        // It has slept, and reads the results that others wrote meanwhile.
        becomes(&system.write(), *id, told.text("/status")).await;
        assert_eq!(
            outcome(&system.write(), *id).await.body["events"],
            told.body["events"]
        );
    }
}

/// A command of a type that this version does not know, as a later one would write it.
async fn from_a_later_version(system: &System, upstream: &Upstream, said: CommandMeta) -> Raw {
    let info = upstream.aggregate.info();
    let said = CommandMeta {
        command_type: "ResetCounter".to_owned(),
        ..said
    };
    let mut datum = Vec::new();
    let codec = upstream.aggregate.command_codec();
    codec.encode_meta(&said, &mut datum).expect("it can be written");
    // None of the known payloads is set, and nothing follows.
    datum.extend(info.commands.iter().map(|_| 0).chain([0]));
    let schema = schema_id(&system.kafka, &system.kafka.topics().commands(info)).await;
    let command = upstream.command(&json!({"type": "StartCounter"}));
    Raw {
        value: Some(wire_format(schema, &datum)),
        ..upstream.record(said, &command)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_set_aside_is_dead_lettered_and_can_be_sent_again() {
    let system = shared::system(PROGRAM).await;
    let write = system.write();
    let upstream = Upstream::to(&system.kafka, "counter.counters").await;
    let start = upstream.command(&json!({"type": "StartCounter"}));
    let id = id_in(2, "set-aside");
    let keys = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let raws = [
        Raw {
            partition: 3,
            ..upstream.record(meta(&id, keys[0]), &start)
        },
        Raw {
            key: Some(b"somebody-else".to_vec()),
            ..upstream.record(meta(&id, keys[1]), &start)
        },
        from_a_later_version(system, &upstream, meta(&id, keys[2])).await,
    ];
    let topic = system.kafka.topics().commands(upstream.aggregate.info());
    for ((key, raw), reason) in keys.into_iter().zip(raws).zip(["murmur2", "key", ""]) {
        let place = upstream.send_raw(raw).await;
        becomes(&write, key, "dead-lettered").await;
        let told = outcome(&write, key).await.expect(200);
        assert_eq!(told.text("/problem/type"), "/problems/dead-lettered");
        assert!(told.text("/problem/detail").contains(reason), "{told:?}");
        let command = json!({"topic": topic, "partition": place.partition, "offset": place.offset});
        assert_eq!(told.body["command"], command);
        assert_eq!(told.text("/dead_letter/topic"), format!("{topic}.dlt"));
        write.get("/problems/dead-lettered").await.expect(200);
    }
    // The first of them in the form that it must have, under the same id.
    upstream.ask(meta(&id, keys[0]), &start).await;
    assert_eq!(status(&write, keys[0]).await, "accepted");
}

/// Starts a counter. Returns a token that has seen what nobody has, and never will.
async fn ahead_of_all(write: &Client, commands: &str) -> String {
    let started = write
        .post(commands, &json!({"type": "StartCounter"}))
        .await
        .expect(201);
    let mut ahead: Token = started.text("/consistency_token").parse().expect("a token");
    ahead.see("counter.counters", 0, i64::MAX);
    ahead.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_came_too_early_is_refused_and_can_be_sent_again() {
    let system = shared::system(PROGRAM).await;
    let write = system.write();
    let ahead = ahead_of_all(&write, "/counters/too-early/commands").await;
    let key = Uuid::now_v7();
    let increment = async |token: Option<String>, prefer: &str| {
        let request = write.request(Method::POST, "/counters/too-early/commands");
        let request = request.header("Idempotency-Key", key.to_string());
        let request = token.into_iter().fold(request, |request, token| {
            request.header("Consistency-Token", token)
        });
        let body = json!({"type": "IncrementCounter", "by": 1});
        write.send(request.header("Prefer", prefer).json(&body)).await
    };
    increment(Some(ahead), "respond-async").await.expect(202);
    becomes(&write, key, "refused").await;
    let told = outcome(&write, key).await.expect(200);
    assert_eq!(told.text("/problem/type"), "/problems/token-not-reached");
    increment(None, "wait=30").await.expect(200);
    assert_eq!(status(&write, key).await, "accepted");
}

/// Each of them alone would keep all others waiting, for as long as it waits itself.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_came_too_early_wait_together() {
    const MANY: usize = 40;
    let system = shared::system(PROGRAM).await;
    let write = system.write();
    let ahead = ahead_of_all(&write, "/counters/too-many/commands").await;
    let mut asked = JoinSet::new();
    for _ in 0..MANY {
        let request = write.request(Method::POST, "/counters/too-many/commands");
        let request = request
            .header("Consistency-Token", &ahead)
            .header("Prefer", "wait=20");
        let request = request.json(&json!({"type": "IncrementCounter", "by": 1}));
        let write = write.clone();
        asked.spawn(async move { write.send(request).await });
    }
    for answer in asked.join_all().await {
        answer.expect_problem(409, "token-not-reached");
    }
}
