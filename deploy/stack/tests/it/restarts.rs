//! What is kept from one start to the next.

use std::time::{Duration, Instant};

use foldline_stack::{Stack, Step};
use serde_json::{Value, json};

use crate::options;

fn show(step: &Step) {
    println!("{step}");
}

/// A schema of its own for each `name`; returns the id that the registry gives to it.
async fn register(stack: &Stack, name: &str) -> u64 {
    let schema = json!({ "type": "record", "name": name, "fields": [{ "name": "id", "type": "string" }] });
    let answer = reqwest::Client::new()
        .post(format!("{}/subjects/{name}-value/versions", stack.registry_url()))
        .json(&json!({ "schema": schema.to_string() }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["id"].as_u64().unwrap()
}

async fn subjects(stack: &Stack) -> Value {
    reqwest::get(format!("{}/subjects", stack.registry_url()))
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

fn cluster_id(stack: &Stack) -> String {
    let text = std::fs::read_to_string(stack.broker().folder().join("data/meta.properties")).unwrap();
    text.lines()
        .find(|line| line.starts_with("cluster.id="))
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn cluster_and_schema_ids_survive_a_stop_and_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let started_at = Instant::now();
    let stack = Stack::start(options(data.path()), &show).await.unwrap();
    println!("first start took {:?}", started_at.elapsed());
    let cluster = cluster_id(&stack);
    let first = register(&stack, "first").await;

    let stopped_at = Instant::now();
    stack.stop().await;
    println!("stop took {:?}", stopped_at.elapsed());
    let started_at = Instant::now();
    let mut stack = Stack::start(options(data.path()), &show).await.unwrap();
    println!("second start took {:?}", started_at.elapsed());

    assert_eq!(cluster_id(&stack), cluster);
    assert_eq!(subjects(&stack).await, json!(["first-value"]));
    assert_eq!(register(&stack, "first").await, first);

    // Killed at once after the answer: what was answered must be on disk.
    let second = register(&stack, "second").await;
    stack.registry_mut().kill().await;
    stack.broker_mut().kill().await;
    drop(stack);
    let stack = Stack::start(options(data.path()), &show).await.unwrap();

    assert_eq!(cluster_id(&stack), cluster);
    assert_eq!(subjects(&stack).await, json!(["first-value", "second-value"]));
    assert_eq!(register(&stack, "second").await, second);
    assert_eq!(register(&stack, "first").await, first);
    assert!(register(&stack, "third").await > second);
}

#[tokio::test]
async fn what_java_made_of_the_classes_is_read_by_later_starts() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start(options(data.path()), &show).await.unwrap();

    for (server, output) in [(stack.broker(), "broker.out"), (stack.registry(), "registry.log")] {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.pid().unwrap()));
        // Where there is no such file, what Java says must do.
        if let Ok(maps) = maps {
            assert!(
                maps.contains(".jsa\n"),
                "{:?} maps no file of classes",
                server.kind()
            );
        }
        let output = std::fs::read_to_string(server.folder().join(output)).unwrap();
        assert!(!output.contains("[cds"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_alone_restarts_on_its_port_pauses_and_ends() {
    let data = tempfile::tempdir().unwrap();
    // Spawned, which only compiles if the future can move between threads.
    let options = options(data.path());
    let mut stack = tokio::spawn(async move { Stack::start(options, &show).await })
        .await
        .unwrap()
        .unwrap();
    let (registry, address) = (stack.registry().pid(), stack.bootstrap_servers().to_owned());

    stack.broker_mut().kill().await;
    assert_eq!(stack.broker().pid(), None);
    stack.broker_mut().start(&show).await.unwrap();
    stack.broker_mut().stop().await;
    stack.broker_mut().start(&show).await.unwrap();

    assert_eq!(stack.bootstrap_servers(), address);
    assert_eq!(stack.registry().pid(), registry);

    // A paused one must be stoppable too.
    stack.broker().pause();
    let running = tokio::time::timeout(Duration::from_millis(100), stack.ended()).await;
    assert!(running.is_err(), "paused is not ended");
    let stopped_at = Instant::now();
    stack.stop().await;
    assert!(stopped_at.elapsed() < Duration::from_secs(10));
}
