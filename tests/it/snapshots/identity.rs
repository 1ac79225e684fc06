use foldline_tests::client::{Answer, Client};
use foldline_tests::handler::Handler;
use foldline_tests::producer::id_in;
use foldline_tests::{domains, metrics, stack};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAM;

/// A command that was sent, and what became of it.
struct Sent {
    id: String,
    key: Uuid,
    body: Value,
    answer: Answer,
}

async fn send(write: &Client, id: &str, key: Uuid, body: &Value) -> Answer {
    let request = write.request(Method::POST, &format!("/counters/{id}/commands"));
    let request = request.header("Idempotency-Key", key.to_string()).json(body);
    write.send(request).await
}

async fn send_all(write: &Client, rounds: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    for round in 0..rounds {
        for partition in 0..stack::PARTITIONS {
            let id = id_in(partition, "counter");
            // Every other one is refused: it is started already, and must be increased by more than nothing.
            let body = match round {
                0 => json!({"type": "StartCounter"}),
                _ if round % 3 == 1 => json!({"type": "StartCounter"}),
                _ if round % 3 == 2 => json!({"type": "IncrementCounter", "by": 0}),
                _ => json!({"type": "IncrementCounter", "by": round}),
            };
            let key = Uuid::now_v7();
            let answer = send(write, &id, key, &body).await;
            sent.push(Sent {
                id,
                key,
                body,
                answer,
            });
        }
    }
    sent
}

/// How many outcomes were read from their topic since the start.
async fn read(handler: &Handler) -> u64 {
    metrics::sum(
        &handler.write(),
        "foldline_outcomes_read_total",
        "counter.counters",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_from_before_a_restore_is_answered_the_same_and_a_new_one_at_once() {
    let domains = domains();
    let kafka = stack::kafka("identity", &domains).await;
    let mut handler = Handler::launch_with(&kafka, "0", PROGRAM, &["--snapshot-every", "5"]).await;
    handler.wait_until_ready().await;
    let mut sent = send_all(&handler.write(), 8).await;
    // The last ones are in no snapshot: their outcomes are folded.
    for ends_well in [true, false] {
        match ends_well {
            true => handler.stop().await,
            false => handler.kill().await,
        }
        handler.lose_its_disk();
        handler.start_again();
        handler.wait_until_ready().await;
        let write = handler.write();
        if ends_well {
            let restored =
                metrics::sum(&write, "foldline_restored_snapshots_total", "counter.counters").await;
            assert!(restored > 0, "nothing was restored");
            let folded = metrics::sum(&write, "foldline_events_folded_total", "counter.counters").await;
            assert_eq!(folded, 0, "events were folded, too");
        }

        sent.extend(send_all(&write, 1).await);
        assert_eq!(read(&handler).await, 0, "a new command was looked for");
        for earlier in &sent {
            let again = send(&write, &earlier.id, earlier.key, &earlier.body).await;
            assert_eq!(again.status, earlier.answer.status, "{again:#?}");
            for field in ["command_id", "outcome", "sequence", "events", "type", "detail"] {
                assert_eq!(
                    again.body[field], earlier.answer.body[field],
                    "{field}: {again:#?}"
                );
            }
        }
        assert!(read(&handler).await > 0, "nothing was read");
        // Under a used id, another command is refused as ever.
        let other = &sent[0];
        let answer = send(
            &write,
            &other.id,
            other.key,
            &json!({"type": "IncrementCounter", "by": 77}),
        )
        .await;
        answer.expect_problem(422, "command-id-reused");
    }
    let events = foldline_tests::records::events(&kafka, "counter.counters");
    let accepted = sent.iter().filter(|sent| sent.answer.status < 300).count();
    assert_eq!(events.len(), accepted, "something was decided twice");
}
