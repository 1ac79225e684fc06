use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foldline_core::Snapshot;
use foldline_kafka::KafkaSettings;
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::{domains, log, metrics, records, stack};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::engines::{assert_checkpoints_hold, assert_knows_all, folder, start};
use crate::PROGRAM;

const KILLS: usize = 3;
/// So many, if none of those before came while something was written: on a busy machine it is over when it is heard of.
const KILLS_MAX: usize = 12;
const COUNTERS: usize = 10_000;
const SENDERS: usize = 64;
/// So that a checkpoint has more snapshots than go with one batch.
const MORE: [&str; 2] = ["--snapshot-every", "2500"];

/// Commands for one counter after the other, without end.
struct Sending {
    is_enough: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    senders: JoinSet<()>,
}

impl Sending {
    fn begin(counters: &Arc<Upstream>) -> Self {
        let (is_enough, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (counters, is_enough, sent) =
                (Arc::clone(counters), Arc::clone(&is_enough), Arc::clone(&sent));
            senders.spawn(async move {
                while !is_enough.load(Ordering::SeqCst) {
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    let body = match number < COUNTERS {
                        true => json!({"type": "StartCounter"}),
                        false => json!({"type": "IncrementCounter", "by": 1}),
                    };
                    let id = format!("counter-{}", number % COUNTERS);
                    let command = counters.command(&body);
                    counters.send(meta(&id, Uuid::now_v7()), &command).await;
                }
            });
        }
        Self {
            is_enough,
            sent,
            senders,
        }
    }

    async fn end(mut self) -> usize {
        self.is_enough.store(true, Ordering::SeqCst);
        while let Some(ended) = self.senders.join_next().await {
            ended.unwrap();
        }
        self.sent.load(Ordering::SeqCst)
    }
}

/// Returns when some of the snapshots of a checkpoint are written, and the checkpoint is not.
async fn until_it_writes(handler: &Handler) {
    let write = handler.write();
    let count = async |name: &str| metrics::sum(&write, name, "counter.counters").await;
    let since = std::sync::Mutex::new(None);
    eventually("snapshots are written", Duration::from_secs(60), || async {
        let (written, checkpoints) = (
            count("foldline_snapshots_written_total").await,
            count("foldline_checkpoints_total").await,
        );
        let before = since.lock().unwrap().replace((written, checkpoints));
        // Not the first one: there is to be a checkpoint before it.
        let is_writing =
            before.is_some_and(|before| checkpoints > 0 && written > before.0 && checkpoints == before.1);
        is_writing.then_some(())
    })
    .await;
}

/// Partitions whose topic ends with snapshots that no checkpoint covers.
fn in_the_middle(kafka: &KafkaSettings) -> usize {
    let topic = kafka
        .topics()
        .snapshots(records::aggregate("counter.counters").info());
    let last: HashMap<i32, String> = log::read(kafka, &topic)
        .into_iter()
        .map(|record| (record.partition, record.key))
        .collect();
    last.values()
        .filter(|key| *key != Snapshot::CHECKPOINT_KEY)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_snapshots_are_written_leaves_them_right() {
    let domains = domains();
    let kafka = stack::kafka("killed", &domains).await;
    let mut handler = Handler::launch_with(&kafka, "0", PROGRAM, &MORE).await;
    let counters = Arc::new(Upstream::to(&kafka, "counter.counters").await);
    let sending = Sending::begin(&counters);
    let (mut hits, mut kills) = (0, 0);
    while kills < KILLS || (hits == 0 && kills < KILLS_MAX) {
        handler.wait_until_ready().await;
        until_it_writes(&handler).await;
        handler.kill().await;
        hits += tokio::task::block_in_place(|| in_the_middle(&kafka));
        if kills % 2 == 1 {
            handler.lose_its_disk();
        }
        handler.start_again();
        kills += 1;
    }
    let sent = sending.end().await;
    assert!(
        hits > 0,
        "no result: nothing was being written whenever it was killed"
    );
    handler.kill().await;

    let (snapshots, covered) = assert_checkpoints_hold(&kafka, &domains).await;
    // What was not decided yet is decided now.
    let engine = start(&kafka, &folder(), &domains, 0).await;
    let known = assert_knows_all(&engine, &kafka, &domains).await;
    engine.stop().await;
    assert_eq!(known, COUNTERS);
    assert!(covered > 0, "no result: no checkpoint was ever written");
    println!(
        "{kills} kills, with {hits} partitions in the middle of it; {sent} commands, {snapshots} snapshots cover \
         {covered} events"
    );
}
