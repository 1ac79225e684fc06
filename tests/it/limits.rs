//! Clients that ask nothing, or never read: they cost little, and the others notice nothing.

use std::time::{Duration, Instant};

use foldline_tests::client::Client;
use foldline_tests::reader::Reader;
use foldline_tests::shared;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::PROGRAM;

const CONNECTIONS: usize = 1_000;
/// Of them, followers that never read.
const FOLLOWERS: usize = 200;
/// Events that there are to be told; each has half a kilobyte and more.
const EVENTS: usize = 2_000;
/// What all of them may cost: a follower has a page of events in memory, of 200.
const MEMORY_MAX: usize = 160 << 20;
/// Reads of somebody else, before and meanwhile.
const READS: usize = 100;
/// A bound for any machine, not a measure.
const BESIDE_MAX: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(60);

/// Opens a connection and says this on it.
async fn say(address: &str, text: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.expect("it is accepted");
    client.write_all(text.as_bytes()).await.expect("it is taken");
    client
}

/// More than fits between the server and a client that does not read.
async fn tell_much(write: &Client) {
    let started = write.post("/counters", &json!({})).await.expect(201);
    let commands = format!("{}/commands", started.text("/aggregate"));
    let hundred: Vec<_> = (0..100)
        .map(|_| json!({"type": "IncrementCounter", "by": 1}))
        .collect();
    for _ in 0..EVENTS / hundred.len() {
        write.post(&commands, &json!(hundred)).await.expect(200);
    }
}

/// The time that a read takes, the median.
async fn usual_time(read: &Client) -> Duration {
    let mut times = Vec::new();
    for _ in 0..READS {
        let started_at = Instant::now();
        read.get("/counters?limit=1").await.expect(200);
        times.push(started_at.elapsed());
    }
    times.sort_unstable();
    times[READS / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_that_say_or_read_nothing_cost_little_and_others_stay_fast() {
    let system = shared::system(PROGRAM).await;
    tell_much(&system.write()).await;
    // With as few open files as many systems allow at first.
    let reader = Reader::launch(system, PROGRAM, 256).await;
    let (read, address) = (reader.read(), reader.address());
    let alone = usual_time(&read).await;
    let before = reader.memory();

    let mut open = Vec::new();
    let follow = "GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
    for number in 0..CONNECTIONS {
        let text = match number {
            _ if number < FOLLOWERS => follow,
            // Nothing, or a head that does not end.
            _ if number % 2 == 0 => "",
            _ => "GET / HTTP/1.1\r\nx: ",
        };
        open.push(say(&address, text).await);
    }
    // Each was accepted and answered, those that asked: so many files were there.
    for follower in &open[..FOLLOWERS] {
        let answered = tokio::time::timeout(SOON, follower.readable()).await;
        answered.expect("an answer").expect("a connection");
    }
    let beside = usual_time(&read).await;
    let cost = reader.memory().saturating_sub(before);
    println!(
        "{CONNECTIONS} connections: {} KiB; a read takes {alone:?} alone and {beside:?} beside them",
        cost >> 10
    );
    assert!(cost < MEMORY_MAX, "{} MiB", cost >> 20);
    assert!(beside < BESIDE_MAX, "{beside:?}");
}
