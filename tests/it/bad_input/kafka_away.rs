//! Kafka away: writes are told to come back, reads go on, and the services come back by themselves.

use std::time::Duration;

use foldline_stack::Quiet;
use foldline_tests::client::{Client, eventually};
use foldline_tests::stack;
use foldline_tests::system::{Service, System};
use serde_json::{Value, json};

use crate::PROGRAM;

/// Those of commands, and of claims.
const GROUPS: usize = 2;
/// In all partitions, most likely.
const COMMANDS: usize = 16;
/// Longer than a session and a request.
const FREEZE_MAX: Duration = Duration::from_secs(60);

fn item(description: &str) -> Value {
    json!({"description": description, "price": {"amount": 1, "currency": "EUR"}})
}

async fn assert_reads_go_on(read: &Client, item: &str) {
    read.get(item).await.expect(200);
    read.get("/menu/items").await.expect(200);
}

/// Sends until it is taken. What is answered until then must say when to come back.
async fn taken_again(write: &Client, description: &str) -> String {
    let key = uuid::Uuid::now_v7().to_string();
    eventually("commands are taken again", Duration::from_secs(180), || async {
        let request = write
            .request(reqwest::Method::POST, "/menu/items")
            .json(&item(description));
        let answer = write.send(request.header("Idempotency-Key", &key)).await;
        match answer.status {
            201 => Some(answer.text("/aggregate").to_owned()),
            202 => None,
            _ => {
                answer.expect(503);
                None
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_writes_are_503_and_reads_go_on_until_it_is_back() {
    let (mut stack, kafka) = stack::own("own-stack", |_| ()).await;
    let system = System::start_on(kafka, "kafka-away", PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let first = write.post("/menu/items", &item("before")).await.expect(201);
    let path = first.text("/aggregate").to_owned();
    read.get_after(&path, first.text("/consistency_token"))
        .await
        .expect(200);

    for way in ["killed", "paused"] {
        if way == "killed" {
            stack.broker_mut().kill().await;
        } else {
            stack.broker().pause();
        }
        let answer = write.post("/menu/items", &item(way)).await;
        let answer = answer.expect_problem(503, "kafka-unavailable");
        let wait: u64 = answer
            .header("retry-after")
            .expect("Retry-After")
            .parse()
            .expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(!answer.text("/command_id").is_empty());
        assert_reads_go_on(&read, &path).await;
        eventually(
            "it says that it is not ready",
            Duration::from_secs(20),
            || async { (!write.is_ready().await).then_some(()) },
        )
        .await;
        // It lives: nobody is to restart it for what it cannot help.
        write.get("/livez").await.expect(200);
        if way == "killed" {
            stack
                .broker_mut()
                .start(&Quiet)
                .await
                .expect("the broker starts again");
        } else {
            stack.broker().resume();
        }
        let path = taken_again(&write, &format!("after it was {way}")).await;
        system.wait_until_ready(Service::CommandHandler).await;
        eventually("the views go on", Duration::from_secs(60), || async {
            (read.get(&path).await.status == 200).then_some(())
        })
        .await;
        assert_reads_go_on(&read, &path).await;
    }
}

/// The handler has lost its place in its group when the broker wakes up, and finds itself there under an id that it has never
/// been told: the answer to its request to join was lost with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_broker_was_frozen_for_longer_than_a_session_the_command_handler_goes_on_by_itself() {
    let (stack, kafka) = stack::own("frozen-stack", |_| ()).await;
    let system = System::start_on(kafka, "kafka-frozen", PROGRAM).await;
    let write = system.write();
    let has_logged = async |what: &str| {
        eventually(what, FREEZE_MAX, async || {
            let log = system.log_of(Service::CommandHandler);
            (log.matches(what).count() >= GROUPS).then_some(())
        })
        .await;
    };
    stack.broker().pause();
    has_logged("session timed out").await;
    has_logged("Timed out HeartbeatRequest").await;
    stack.broker().resume();
    for number in 0..COMMANDS {
        taken_again(&write, &format!("{number} afterwards")).await;
    }
    assert!(system.has_ended(Service::CommandHandler).await.is_none());
    let log = system.log_of(Service::CommandHandler);
    println!(
        "met itself {} times",
        log.matches("somebody has our name").count()
    );
}
