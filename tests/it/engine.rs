//! The write side alone, in this process: what the other tests stand on.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldline_core::{AggregateType, CommandMeta, CommandResult, Domains, Outcome, RefusalKind, Timestamp};
use foldline_kafka::{Engine, EngineSettings, Gateway, KafkaSettings};
use foldline_tests::{domains, log, stack};
use serde_json::{Value, json};
use uuid::Uuid;

fn settings(folder: &Path) -> EngineSettings {
    EngineSettings {
        instance: "0".into(),
        state_dir: folder.to_owned(),
        workers: NonZeroUsize::MIN,
        waiting_max: 1000,
        batch_max: 1000,
        cache_max: NonZeroUsize::new(1000).unwrap(),
        snapshot_every: 10_000,
    }
}

pub async fn start(kafka: &KafkaSettings, folder: &Path, domains: &Domains) -> Engine {
    let engine = Engine::start(kafka, &settings(folder), domains).await.unwrap();
    let started_at = Instant::now();
    while !engine.readiness().is_empty() {
        assert!(
            started_at.elapsed() < Duration::from_secs(30),
            "{:?}",
            engine.readiness()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine
}

pub fn meta(id: &str, command_id: Uuid) -> CommandMeta {
    CommandMeta::new(command_id, id.parse().unwrap(), Timestamp(1))
}

pub async fn send(
    gateway: &Gateway,
    aggregate: &Arc<dyn AggregateType>,
    id: &str,
    body: Value,
) -> CommandResult {
    send_as(gateway, aggregate, meta(id, Uuid::now_v7()), body).await
}

pub async fn send_as(
    gateway: &Gateway,
    aggregate: &Arc<dyn AggregateType>,
    meta: CommandMeta,
    body: Value,
) -> CommandResult {
    let (_, command) = aggregate.command_from_json(&body, None).unwrap();
    let pending = gateway.submit(aggregate, meta, &command, None).await.unwrap();
    pending.wait(Duration::from_secs(20)).await.expect("an outcome")
}

fn refusal(result: &CommandResult) -> (String, RefusalKind) {
    match result.decided() {
        Outcome::Refused(refusal) => (refusal.code, refusal.kind),
        Outcome::Accepted(_) => panic!("accepted: {result:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_decided_once_whatever_happens_to_the_local_store() {
    let domains = domains();
    let kafka = stack::kafka("once", &domains).await;
    let folder = stack::folder().join(stack::unique_name("state"));
    let counters = domains.aggregate("counter", "counters").unwrap();
    let first = Uuid::now_v7();

    let engine = start(&kafka, &folder, &domains).await;
    let gateway = engine.gateway();
    let started = send_as(
        &gateway,
        counters,
        meta("a", first),
        json!({"type": "StartCounter"}),
    )
    .await;
    assert_eq!((started.outcome.as_str(), started.sequence), ("accepted", 1));
    let counted = send(
        &gateway,
        counters,
        "a",
        json!({"type": "IncrementCounter", "by": 2}),
    )
    .await;
    assert_eq!(counted.sequence, 2);
    let unknown = send(
        &gateway,
        counters,
        "b",
        json!({"type": "IncrementCounter", "by": 2}),
    )
    .await;
    assert_eq!(
        refusal(&unknown),
        ("unknown-aggregate".into(), RefusalKind::UnknownAggregate)
    );
    // It holds the store open.
    drop(gateway);
    engine.stop().await;

    for keep_store in [true, false] {
        if !keep_store {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let engine = start(&kafka, &folder, &domains).await;
        let gateway = engine.gateway();
        let again = send_as(
            &gateway,
            counters,
            meta("a", first),
            json!({"type": "StartCounter"}),
        )
        .await;
        assert!(again.replayed);
        assert_eq!(
            CommandResult {
                replayed: false,
                command_offset: started.command_offset,
                ..again
            },
            started
        );
        let other = send_as(
            &gateway,
            counters,
            meta("a", first),
            json!({"type": "IncrementCounter", "by": 9}),
        )
        .await;
        assert_eq!(
            refusal(&other),
            ("command-id-reused".into(), RefusalKind::CommandId)
        );
        drop(gateway);
        engine.stop().await;
    }

    let info = counters.info();
    let events = log::read(&kafka, &kafka.topics().events(info));
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].header("ce_type"), Some("CounterStarted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_email_belongs_to_one_customer_at_a_time() {
    let domains = domains();
    let kafka = stack::kafka("unique", &domains).await;
    let folder = stack::folder().join(stack::unique_name("state"));
    let customers = domains.aggregate("restaurant", "customers").unwrap();
    let engine = start(&kafka, &folder, &domains).await;
    let gateway = engine.gateway();

    let sign_up = |id: String, email: &'static str| {
        let (gateway, customers) = (gateway.clone(), Arc::clone(customers));
        async move {
            send(
                &gateway,
                &customers,
                &id,
                json!({"type": "SignUp", "email": email}),
            )
            .await
        }
    };
    let racing: Vec<_> = (0..16)
        .map(|n| tokio::spawn(sign_up(format!("c{n}"), "Ada@example.org")))
        .collect();
    let mut owners = Vec::new();
    for (n, result) in racing.into_iter().enumerate() {
        let result = result.await.unwrap();
        match result.decided() {
            Outcome::Accepted(_) => owners.push(format!("c{n}")),
            Outcome::Refused(refusal) => assert_eq!(refusal.code, "email-taken"),
        }
    }
    assert_eq!(owners.len(), 1, "{owners:?}");

    let moved = send(
        &gateway,
        customers,
        &owners[0],
        json!({"type": "ChangeEmail", "email": "ada@example.com"}),
    )
    .await;
    assert_eq!(moved.outcome, "accepted", "{moved:?}");
    let freed = sign_up("late".into(), "ADA@example.org").await;
    assert_eq!(freed.outcome, "accepted", "{freed:?}");
    engine.stop().await;
}
