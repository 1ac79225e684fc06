use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foldline_tests::chance::Chance;
use foldline_tests::client::eventually;
use foldline_tests::handler::Handler;
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::{domains, metrics, stack};
use serde_json::json;
use uuid::Uuid;

use super::engines::{assert_checkpoints_hold, assert_knows_all, folder, start};
use crate::PROGRAM;

const KILLS: usize = 6;
const COUNTERS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_snapshots_are_written_leaves_them_right() {
    let mut chance = Chance::of_this_run("killed");
    let domains = domains();
    let kafka = stack::kafka("killed", &domains).await;
    let more = ["--snapshot-every", "40"];
    let mut handler = Handler::launch_with(&kafka, "0", PROGRAM, &more).await;
    let counters = Arc::new(Upstream::to(&kafka, "counter.counters").await);
    let is_enough = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = {
        let (counters, is_enough, sent) = (Arc::clone(&counters), Arc::clone(&is_enough), Arc::clone(&sent));
        tokio::spawn(async move {
            while !is_enough.load(Ordering::SeqCst) {
                let number = sent.fetch_add(1, Ordering::SeqCst);
                let id = format!("counter-{}", number % COUNTERS);
                let body = match number < COUNTERS {
                    true => json!({"type": "StartCounter"}),
                    false => json!({"type": "IncrementCounter", "by": 1}),
                };
                let command = counters.command(&body);
                counters.send(meta(&id, Uuid::now_v7()), &command).await;
            }
        })
    };
    for kill in 0..KILLS {
        handler.wait_until_ready().await;
        let write = handler.write();
        let goal = 2 + chance.below(4) as u64;
        eventually("checkpoints are written", Duration::from_secs(60), || async {
            let written = metrics::sum(&write, "foldline_checkpoints_total", "counter.counters").await;
            (written >= goal).then_some(())
        })
        .await;
        handler.kill().await;
        if kill % 2 == 1 {
            handler.lose_its_disk();
        }
        handler.start_again();
    }
    is_enough.store(true, Ordering::SeqCst);
    sending.await.unwrap();
    handler.wait_until_ready().await;
    handler.kill().await;

    let (snapshots, covered) = assert_checkpoints_hold(&kafka, &domains).await;
    // What no command handler had decided when it was killed is decided now.
    let engine = start(&kafka, &folder(), &domains, 0).await;
    let last = counters
        .ask(
            meta("counter-0", Uuid::now_v7()),
            &counters.command(&json!({"type": "IncrementCounter", "by": 1})),
        )
        .await;
    assert_eq!(last.outcome, "accepted");
    let known = assert_knows_all(&engine, &kafka, &domains).await;
    engine.stop().await;
    assert_eq!(known, COUNTERS);
    println!(
        "{KILLS} kills, {} commands: {snapshots} snapshots cover {covered} events",
        sent.load(Ordering::SeqCst)
    );
}
