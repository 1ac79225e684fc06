//! What a restore costs does not follow the length of history. `FOLDLINE_RESTORE_AGGREGATES` makes it larger.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldline_kafka::{KafkaSettings, check_topics, read_snapshots};
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::{domains, metrics, stack};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::PROGRAM;

const EVERY: u64 = 200;
const DECIDED_MAX: Duration = Duration::from_secs(300);

fn aggregates() -> usize {
    let asked = std::env::var("FOLDLINE_RESTORE_AGGREGATES").ok();
    asked.map_or(400, |number| number.parse().expect("a number"))
}

/// Sends each counter a command with so many events, and returns when all are decided.
async fn count(handler: &Handler, counters: &Arc<Upstream>, events: usize, first: bool) {
    let write = handler.write();
    let decided = async || metrics::sum(&write, "foldline_commands_total", "counter.counters").await;
    let before = decided().await;
    let body: Value = match (first, events) {
        (true, _) => json!({"type": "StartCounter"}),
        (false, 1) => json!({"type": "IncrementCounter", "by": 1}),
        (false, _) => vec![json!({"type": "IncrementCounter", "by": 1}); events].into(),
    };
    let mut sending = JoinSet::new();
    for start in 0..64 {
        let (counters, body) = (Arc::clone(counters), body.clone());
        sending.spawn(async move {
            for number in (start..aggregates()).step_by(64) {
                let command = counters.command(&body);
                let meta = meta(&format!("counter-{number}"), Uuid::now_v7());
                counters.send(meta, &command).await;
            }
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
    eventually("all are decided", DECIDED_MAX, || async {
        (decided().await >= before + aggregates() as u64).then_some(())
    })
    .await;
}

struct Restored {
    took: Duration,
    snapshots: u64,
    events: u64,
}

/// Loses the disk of a handler that was killed, and measures its start. Not before its checkpoints are where they
/// come to without load.
async fn restore(kafka: &KafkaSettings, handler: &mut Handler, every: u64) -> Restored {
    eventually("checkpoints have followed", Duration::from_secs(60), || async {
        let (domains, ends) = (domains(), ends(kafka));
        let counters = domains.aggregate("counter", "counters").unwrap();
        let cluster = check_topics(kafka, &domains).await.unwrap();
        let current = read_snapshots(kafka, counters, &cluster).await.unwrap();
        let behind = ends.iter().zip(0..).filter(|(end, partition)| {
            let covered = current.checkpoints.get(partition).map_or(0, |at| at.event_offset);
            (**end - covered).unsigned_abs() > behind_max(every)
        });
        (behind.count() == 0).then_some(())
    })
    .await;
    handler.kill().await;
    handler.lose_its_disk();
    let started_at = Instant::now();
    handler.start_again();
    handler.wait_until_ready().await;
    let took = started_at.elapsed();
    let write = handler.write();
    Restored {
        took,
        snapshots: metrics::sum(&write, "foldline_restored_snapshots_total", "counter.counters").await,
        events: metrics::sum(&write, "foldline_events_folded_total", "counter.counters").await,
    }
}

/// How far the events of a partition are beyond its checkpoint when no command comes: some offsets are those of the ends
/// of transactions.
fn behind_max(every: u64) -> u64 {
    every * 2
}

fn ends(kafka: &KafkaSettings) -> Vec<i64> {
    let topic = kafka
        .topics()
        .events(foldline_tests::records::aggregate("counter.counters").info());
    let consumer: BaseConsumer = kafka.client().create().unwrap();
    let end = |partition| {
        consumer
            .fetch_watermarks(&topic, partition, Duration::from_secs(10))
            .unwrap()
            .1
    };
    (0..stack::PARTITIONS).map(end).collect()
}

fn events(kafka: &KafkaSettings) -> u64 {
    ends(kafka).iter().sum::<i64>().unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_history_is_restored_with_no_more_events() {
    let domains = domains();
    let kafka = stack::kafka("history", &domains).await;
    let every = std::env::var("FOLDLINE_RESTORE_EVERY").unwrap_or(EVERY.to_string());
    let every_so_many: u64 = every.parse().unwrap();
    let more = ["--snapshot-every", every.as_str()];
    let mut handler = Handler::launch_with(&kafka, "0", PROGRAM, &more).await;
    handler.wait_until_ready().await;
    let counters = Arc::new(Upstream::to(&kafka, "counter.counters").await);
    count(&handler, &counters, 1, true).await;
    count(&handler, &counters, 3, false).await;
    let once = restore(&kafka, &mut handler, every_so_many).await;
    let before = events(&kafka);
    for _ in 0..9 {
        count(&handler, &counters, 4, false).await;
    }
    let after = events(&kafka);
    let ten_times = restore(&kafka, &mut handler, every_so_many).await;
    println!(
        "{} aggregates. {before} events: ready in {:?} from {} snapshots and {} events. {after} events: ready in {:?} \
         from {} snapshots and {} events",
        aggregates(),
        once.took,
        once.snapshots,
        once.events,
        ten_times.took,
        ten_times.snapshots,
        ten_times.events
    );
    assert!(after > before * 8, "{after} events after {before}");
    let bound = behind_max(every_so_many) * u64::from(stack::PARTITIONS.unsigned_abs());
    for restored in [&once, &ten_times] {
        assert!(restored.snapshots > 0, "nothing was restored");
        assert!(
            restored.events <= bound,
            "{} events were folded, of {bound} at most",
            restored.events
        );
    }
    handler.stop().await;
}
