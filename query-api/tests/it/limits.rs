//! What streams cost is bounded, whatever clients do.

use std::time::Duration;

use axum::body::Body;
use foldline_core::Token;
use foldline_service::{HttpSettings, serve};
use foldline_views::{Batch, HISTORY, HistoryEvent, ViewWriter};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::toy::{CLUSTER, COATS, Fixture, applied, ask, event};

const HOUR: Duration = Duration::from_secs(3_600);

fn write(writer: &mut dyn ViewWriter, count: i64, padding: usize) {
    let history = (1..=count).map(|sequence| HistoryEvent {
        json: format!(
            "{{\"sequence\":{sequence},\"padding\":\"{}\"}}",
            "x".repeat(padding)
        ),
        ..event(COATS, "7", sequence)
    });
    let mut step = applied(HISTORY, COATS, count);
    step.to.next_offset = count + 1;
    let batch = Batch {
        history: history.collect(),
        moves: vec![step],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
}

#[tokio::test]
async fn there_are_as_many_streams_as_there_may_be() {
    let fixture = Fixture::with_streams(2, HOUR);
    write(&mut *fixture.writer(), 3, 0);
    let mut first = fixture.follow("/events", None).await;
    let second = fixture.follow("/cloakroom/coats/7/events", None).await;
    for uri in ["/events", "/cloakroom/coats/7/events"] {
        let refused = fixture.get_with(uri, &[("accept", "text/event-stream")]).await;
        refused.is_problem(503, "too-many-streams");
        assert_eq!(refused.header("retry-after"), "5");
    }
    fixture
        .get("/cloakroom/coats?format=csv")
        .await
        .is_problem(503, "too-many-streams");
    assert_eq!(
        fixture.get("/cloakroom/coats").await.status,
        200,
        "what is no stream is answered"
    );
    first.event().await.unwrap();
    drop(second);
    fixture.follow("/events", None).await.event().await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_live_streams_at_once() {
    let fixture = Fixture::with_streams(9, HOUR);
    write(&mut *fixture.writer(), 3, 0);
    let mut streams = vec![
        fixture.follow("/events", None).await,
        fixture.follow("/cloakroom/coats/7/events", None).await,
    ];
    for stream in &mut streams {
        stream.events(3).await;
    }
    fixture.shutdown.trigger();
    for mut stream in streams {
        assert!(stream.event().await.is_none());
    }
}

#[tokio::test]
async fn who_hears_nothing_hears_that_we_are_there() {
    let fixture = Fixture::with_streams(9, Duration::from_millis(10));
    write(&mut *fixture.writer(), 1, 0);
    let mut stream = fixture.follow("/cloakroom/coats/7/events", None).await;
    stream.event().await.unwrap();
    for _ in 0..3 {
        assert!(stream.block().await.unwrap().is_comment);
    }
}

/// What follows takes turns to read, and few of them.
#[tokio::test]
async fn tables_that_wait_for_what_their_clients_have_seen_hold_up_no_follower() {
    let fixture = Fixture::with_streams(9, HOUR);
    write(&mut *fixture.writer(), 3, 0);
    let unseen = Token::at(CLUSTER, COATS, 2, 1_000).to_string();
    let mut waiting = JoinSet::new();
    for _ in 0..6 {
        let request = Request::get("/cloakroom/coats?format=ndjson").header("consistency-token", &unseen);
        waiting.spawn(ask(fixture.app.clone(), request.body(Body::empty()).unwrap()));
    }
    // They have all begun when this one is answered.
    assert_eq!(fixture.get("/cloakroom/coats").await.status, 200);
    let mut follower = fixture.follow("/events", None).await;
    assert_eq!(follower.events(3).await.len(), 3);
    assert_eq!(waiting.len(), 6);
    assert!(waiting.try_join_next().is_none(), "they wait");
}

/// The API on a port.
struct Served {
    fixture: Fixture,
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

async fn served(fixture: Fixture, write_timeout: Duration) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (app, shutdown) = (fixture.app.clone(), fixture.shutdown.clone());
    let settings = HttpSettings {
        write_timeout,
        ..HttpSettings::default()
    };
    let task = tokio::spawn(async move { serve(listener, app, &shutdown, &settings).await });
    Served {
        fixture,
        address,
        task,
    }
}

impl Served {
    /// Asks for the feed, and reads the first bytes of the answer.
    async fn ask(&self) -> (String, TcpStream) {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let request = "GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 15];
        client.read_exact(&mut head).await.unwrap();
        (String::from_utf8(head).unwrap(), client)
    }
}

/// What this process has in memory, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_cost_little_and_are_dropped() {
    const CLIENTS: usize = 40;
    const EVENTS: i64 = 10_000;
    let fixture = Fixture::with_streams(CLIENTS, HOUR);
    write(&mut *fixture.writer(), EVENTS, 4_000);
    let served = served(fixture, Duration::from_secs(3)).await;
    let before = memory();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (head, client) = served.ask().await;
        assert_eq!(head, "HTTP/1.1 200 OK");
        clients.push(client);
    }
    // All of them together would be 1.6 GB. They are dropped one by one, and then there is room for others.
    let mut most = 0;
    let started = std::time::Instant::now();
    loop {
        most = most.max(memory().saturating_sub(before));
        let (head, _client) = served.ask().await;
        if head == "HTTP/1.1 200 OK" {
            break;
        }
        assert_eq!(head, "HTTP/1.1 503 Se");
        assert!(started.elapsed() < Duration::from_secs(60), "nobody was dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "{CLIENTS} clients: {} KiB, dropped after {:?}",
        most / 1024,
        started.elapsed()
    );
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "they have the time that they are given"
    );
    assert!(most < 160 << 20, "{} MiB", most >> 20);
    served.fixture.shutdown.trigger();
    drop(clients);
    served.task.await.unwrap();
}

/// What a table costs while it is sent, whether its client takes it or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_never_in_memory_as_a_whole() {
    const CLIENTS: usize = 20;
    const EVENTS: i64 = 10_000;
    let fixture = Fixture::with_streams(CLIENTS, HOUR);
    write(&mut *fixture.writer(), EVENTS, 4_000);
    for uri in ["/events?format=ndjson", "/cloakroom/coats/7/events?format=ndjson"] {
        let before = memory();
        let mut streams = Vec::new();
        for _ in 0..CLIENTS {
            let mut stream = fixture.open(uri, &[]).await;
            stream.part().await.unwrap().unwrap();
            streams.push(stream);
        }
        let mut most = memory().saturating_sub(before);
        let (mut first, mut bytes) = (streams.remove(0), 0);
        while let Some(part) = first.part().await {
            bytes += part.unwrap().len();
            most = most.max(memory().saturating_sub(before));
        }
        println!(
            "{uri}: {CLIENTS} clients, one of which takes {bytes} bytes: {} KiB",
            most / 1024
        );
        // All of them together would be 800 MB.
        assert!(most < 160 << 20, "{uri}: {} MiB", most >> 20);
    }
}
