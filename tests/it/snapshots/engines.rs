//! Engines in this process, their work, and what is judged of them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foldline_core::{AggregateId, Domains, Outcome};
use foldline_kafka::{CurrentSnapshots, Engine, EngineSettings, KafkaSettings, check_topics, read_snapshots};
use foldline_tests::check::Topics;
use foldline_tests::folded;
use foldline_tests::producer::meta;
use foldline_tests::stack;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

const UP_MAX: Duration = Duration::from_secs(60);

/// A folder that no other engine has.
pub fn folder() -> PathBuf {
    stack::folder().join(stack::unique_name("state"))
}

/// An engine that writes snapshots after so many events of a partition; 0 for never.
pub async fn start(kafka: &KafkaSettings, folder: &Path, domains: &Domains, snapshot_every: u64) -> Engine {
    let settings = EngineSettings {
        instance: "0".into(),
        state_dir: folder.to_owned(),
        workers: NonZeroUsize::MIN,
        waiting_max: 1000,
        batch_max: 1000,
        cache_max: NonZeroUsize::new(1000).unwrap(),
        snapshot_every,
    };
    let engine = Engine::start(kafka, &settings, domains).await.unwrap();
    let started_at = Instant::now();
    while !engine.readiness().is_empty() {
        assert!(started_at.elapsed() < UP_MAX, "{:?}", engine.readiness());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine
}

/// Work on a few counters and customers: events of several types, claims that come and go, refusals.
pub async fn work(engine: &Engine, domains: &Domains, rounds: std::ops::Range<usize>) {
    let counters = domains.aggregate("counter", "counters").unwrap();
    let customers = domains.aggregate("restaurant", "customers").unwrap();
    for round in rounds {
        let mut working = JoinSet::new();
        for number in 0..12 {
            let email = format!("c{number}.{round}@example.org");
            let count = match round {
                0 => json!({"type": "StartCounter"}),
                _ => json!({"type": "IncrementCounter", "by": number + round}),
            };
            let sign_up = match round {
                0 => json!({"type": "SignUp", "email": email}),
                _ => json!({"type": "ChangeEmail", "email": email}),
            };
            let more = json!({"type": "SignUp", "email": format!("once.{number}.{round}@example.org")});
            let commands = [
                (counters, format!("counter-{number}"), count),
                (customers, format!("customer-{number}"), sign_up.clone()),
                (customers, format!("once-{number}-{round}"), more),
                // Refused: taken.
                (
                    customers,
                    format!("other-{number}"),
                    json!({"type": "SignUp", "email": sign_up["email"]}),
                ),
            ];
            for (aggregate, id, body) in commands {
                let (gateway, aggregate) = (engine.gateway(), std::sync::Arc::clone(aggregate));
                working.spawn(async move {
                    let (_, command) = aggregate.command_from_json(&body, None).unwrap();
                    let submitted = gateway
                        .submit(&aggregate, meta(&id, Uuid::now_v7()), &command, None)
                        .await;
                    let result = submitted.unwrap().wait(Duration::from_secs(30)).await;
                    result.expect("an outcome")
                });
            }
        }
        let mut accepted = 0;
        while let Some(result) = working.join_next().await {
            accepted += usize::from(matches!(result.unwrap().decided(), Outcome::Accepted(_)));
        }
        assert!(accepted >= 24, "{accepted} were accepted");
    }
}

/// Fails unless the engine knows every aggregate as its events make it. Waits for those that it only follows.
pub async fn assert_knows_all(engine: &Engine, kafka: &KafkaSettings, domains: &Domains) -> usize {
    let all = tokio::task::block_in_place(|| {
        // Claims are released after the command that gives them up is answered.
        Topics::read_settled(kafka, domains);
        folded::all(kafka, domains)
    });
    let gateway = engine.gateway();
    let started_at = Instant::now();
    let mut count = 0;
    for (aggregate, folded) in &all {
        for (id, folded) in folded {
            let (state, sequence) = loop {
                match gateway.state(aggregate, id).unwrap() {
                    Some((state, sequence)) if sequence >= folded.sequence() => break (state, sequence),
                    known => {
                        let known = known.map(|(_, sequence)| sequence);
                        assert!(started_at.elapsed() < UP_MAX, "{id} is known at {known:?}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            };
            assert_eq!(sequence, folded.sequence(), "{id}");
            let expected = folded.state(sequence);
            assert!(
                aggregate.is_same_state(&state, expected),
                "{id} is {}, and its events make {}",
                aggregate.state_json(&state),
                aggregate.state_json(expected)
            );
            count += 1;
        }
    }
    count
}

/// The snapshots of every type, as anybody can read them.
pub async fn snapshots(kafka: &KafkaSettings, domains: &Domains) -> Vec<CurrentSnapshots> {
    let cluster = check_topics(kafka, domains).await.unwrap();
    let mut all = Vec::new();
    for aggregate in domains.aggregates() {
        all.push(read_snapshots(kafka, aggregate, &cluster).await.unwrap());
    }
    all
}

/// Fails unless each snapshot is what the events up to its sequence make, and unless there is one, far enough, of
/// everything that a checkpoint says is covered. Returns the number of snapshots and the events that are covered.
pub async fn assert_checkpoints_hold(kafka: &KafkaSettings, domains: &Domains) -> (usize, usize) {
    let all = snapshots(kafka, domains).await;
    let folded = tokio::task::block_in_place(|| folded::all(kafka, domains));
    let (mut snapshots, mut covered) = (0, 0);
    for (current, (aggregate, folded)) in all.iter().zip(&folded) {
        assert!(current.damaged.is_empty(), "{:?}", current.damaged);
        for (id, snapshot) in &current.aggregates {
            let state = aggregate.state_from_text(&snapshot.state).unwrap();
            let expected = folded[id].state(snapshot.sequence);
            assert!(aggregate.is_same_state(&state, expected), "{snapshot:?}");
            assert_eq!(
                folded[id].sequence_below(snapshot.event_offset),
                snapshot.sequence,
                "{snapshot:?}"
            );
            snapshots += 1;
        }
        for (id, folded) in folded {
            let Some(checkpoint) = current.checkpoints.get(&folded.partition) else {
                continue;
            };
            let needed = folded.sequence_below(checkpoint.event_offset);
            let found = sequence_of(current, id);
            assert!(
                found >= needed,
                "{id} has {found} and needs {needed}: {checkpoint:?}"
            );
            covered += usize::try_from(needed).unwrap();
        }
    }
    (snapshots, covered)
}

fn sequence_of(current: &CurrentSnapshots, id: &AggregateId) -> i64 {
    current.aggregates.get(id).map_or(0, |snapshot| snapshot.sequence)
}
