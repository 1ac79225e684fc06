//! Each service stops and starts while commands are sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldline_tests::client::Client;
use foldline_tests::records;
use foldline_tests::system::{Service, System};
use uuid::Uuid;

use super::busy::{Acknowledged, Busy};
use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_and_starts_loses_nothing_and_repeats_nothing() {
    let mut system = System::start("middle", PROGRAM).await;
    let busy = Busy::begin(system.write());
    busy.more(50).await;
    let reading = Reading::begin(system.read());

    system.stop(Service::CommandHandler).await;
    reading.more(20).await;
    system.restart(Service::CommandHandler).await;
    busy.more(50).await;

    system.stop(Service::Projector).await;
    busy.more(50).await;
    reading.more(20).await;
    system.restart(Service::Projector).await;
    reading.end().await;

    system.stop(Service::QueryApi).await;
    busy.more(50).await;
    system.restart(Service::QueryApi).await;

    let done = busy.end().await;
    assert_once_in_the_log(&system, &done);
    assert_shown(&system, &done).await;
}

fn assert_once_in_the_log(system: &System, done: &[Acknowledged]) {
    let events = records::events(&system.kafka, "restaurant.menu");
    let mut made: HashMap<Uuid, usize> = HashMap::new();
    let mut last: HashMap<&str, i64> = HashMap::new();
    for event in &events {
        *made.entry(event.meta.command_id).or_default() += 1;
        let last = last.entry(event.meta.aggregate_id.as_str()).or_default();
        assert_eq!(event.meta.sequence, *last + 1, "{event:?}");
        *last = event.meta.sequence;
    }
    for Acknowledged {
        command_id, answer, ..
    } in done
    {
        assert_eq!(made.remove(command_id), Some(1), "{answer:#?}");
        let told = answer.text("/events/0/event_id");
        assert!(events.iter().any(|event| event.meta.event_id.to_string() == told));
    }
    assert!(made.is_empty(), "events that nobody was told of: {made:?}");
}

async fn assert_shown(system: &System, done: &[Acknowledged]) {
    let read = system.read();
    let newest: HashMap<&str, &Acknowledged> = done.iter().map(|done| (done.item.as_str(), done)).collect();
    for (item, newest) in newest {
        let token = newest.answer.text("/consistency_token");
        let row = read
            .get_after(&format!("/menu/items/{item}"), token)
            .await
            .expect(200);
        assert_eq!(row.body["price"]["amount"], newest.amount);
        assert_eq!(
            row.header("etag")
                .map(|etag| etag.trim_matches('"').split('-').next()),
            Some(Some(newest.answer.body["sequence"].to_string().as_str()))
        );
    }
}

/// A client that reads all the time, and is never refused.
struct Reading {
    count: Arc<AtomicUsize>,
    is_enough: Arc<AtomicBool>,
    work: tokio::task::JoinHandle<()>,
}

impl Reading {
    fn begin(read: Client) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let is_enough = Arc::new(AtomicBool::new(false));
        let (counting, stop) = (Arc::clone(&count), Arc::clone(&is_enough));
        let work = tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let list = read.get("/menu/items").await.expect(200);
                assert_eq!(list.body["items"].as_array().map(Vec::len), Some(7));
                read.get("/menu/items/item-3/events").await.expect(200);
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            count,
            is_enough,
            work,
        }
    }

    /// Returns when so many more reads are answered.
    async fn more(&self, count: usize) {
        let goal = self.count.load(Ordering::SeqCst) + count;
        while self.count.load(Ordering::SeqCst) < goal && !self.work.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) {
        self.is_enough.store(true, Ordering::SeqCst);
        self.work.await.expect("every read was answered");
    }
}
