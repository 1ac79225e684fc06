use std::time::Duration;

use foldline_service::{HttpSettings, ServeError, bind};
use tokio::io::AsyncWriteExt;

use super::Served;

/// Long enough for any machine; what is waited for comes much sooner.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_stop_ends_idle_connections_and_finishes_answers() {
    let served = Served::start(HttpSettings::default()).await;
    let (mut idle, mut busy) = (served.connect().await, served.connect().await);
    idle.send("GET /hello HTTP/1.1").await;
    assert_eq!(idle.answer().await.body, "hello");
    busy.send("GET /slow HTTP/1.1").await;
    served.asked.notified().await;

    served.shutdown.trigger();
    assert!(tokio::time::timeout(SOON, idle.is_closed()).await.unwrap());
    served.go_on.notify_one();
    assert_eq!(busy.answer().await.body, "done");
    tokio::time::timeout(SOON, served.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_the_drain_timeout() {
    let settings = HttpSettings {
        drain_timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let served = Served::start(settings).await;
    let mut busy = served.connect().await;
    busy.send("GET /slow HTTP/1.1").await;
    served.asked.notified().await;
    served.shutdown.trigger();
    tokio::time::timeout(SOON, served.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_cut_off() {
    let settings = HttpSettings {
        head_timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let served = Served::start(settings).await;
    let mut slow = served.connect().await;
    slow.0
        .write_all(b"GET /hello HTTP/1.1\r\nX-Slow: ")
        .await
        .unwrap();
    assert!(tokio::time::timeout(SOON, slow.is_closed()).await.unwrap());
}

#[tokio::test]
async fn a_connection_on_which_nothing_more_is_asked_is_closed() {
    let settings = HttpSettings {
        head_timeout: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let served = Served::start(settings).await;
    let mut idle = served.connect().await;
    idle.send("GET /hello HTTP/1.1").await;
    assert_eq!(idle.answer().await.body, "hello");
    assert!(tokio::time::timeout(SOON, idle.is_closed()).await.unwrap());
    let mut silent = served.connect().await;
    assert!(tokio::time::timeout(SOON, silent.is_closed()).await.unwrap());
}

#[tokio::test]
async fn a_head_has_a_bounded_size() {
    let served = Served::start(HttpSettings::default()).await;
    let with_headers = |count: usize, bytes: usize| {
        let value = "x".repeat(bytes);
        let headers = (0..count).map(|number| format!("\nX-{number}: {value}"));
        format!("GET /hello HTTP/1.1{}", headers.collect::<String>())
    };
    for (count, bytes, status) in [(90, 10, 200), (110, 10, 431), (1, 60_000, 200), (1, 200_000, 431)] {
        let mut client = served.connect().await;
        client.send(&with_headers(count, bytes)).await;
        assert_eq!(client.status().await, status, "{count} headers of {bytes} bytes");
    }
    let mut client = served.connect().await;
    let path = "x".repeat(200_000);
    client.send(&format!("GET /{path} HTTP/1.1")).await;
    assert!([414, 431].contains(&client.status().await));
}

#[tokio::test]
async fn a_connection_past_the_maximum_is_served_when_another_ends() {
    let settings = HttpSettings {
        connections_max: 1,
        ..HttpSettings::default()
    };
    let served = Served::start(settings).await;
    let mut first = served.connect().await;
    first.send("GET /slow HTTP/1.1").await;
    served.asked.notified().await;
    let mut second = served.connect().await;
    second.send("GET /hello HTTP/1.1").await;
    served.go_on.notify_one();
    assert_eq!(first.answer().await.body, "done");
    drop(first);
    assert_eq!(second.answer().await.body, "hello");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let served = Served::start(HttpSettings::default()).await;
    let error = bind(served.address, &HttpSettings::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, ServeError::Taken { .. }));
    assert!(
        error
            .to_string()
            .contains(&format!("{} is taken", served.address))
    );
}
