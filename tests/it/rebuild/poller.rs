//! A client that reads all the time, and wants each answer to be whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldline_tests::client::Client;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::evening::Tab;

/// Reads until it is stopped.
pub struct Poller {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

impl Poller {
    /// Of these tabs, all of which are there already.
    pub fn start(read: Client, tabs: &[Tab]) -> Self {
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let paths: Vec<String> = tabs.iter().map(|tab| tab.path.clone()).collect();
        let task = tokio::spawn(poll(read, paths, Arc::clone(&stop), Arc::clone(&reads)));
        Self { stop, reads, task }
    }

    /// Returns what makes it saw, in their order. Panics if an answer was not whole.
    pub async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.task.await.expect("every answer is whole");
        let reads = self.reads.load(Ordering::SeqCst);
        assert!(reads > 20, "no result: {reads} reads");
        println!("{reads} reads saw {seen:?}");
        seen
    }
}

async fn poll(
    read: Client,
    paths: Vec<String>,
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut paths_in_turn = paths.iter().cycle();
    while !stop.load(Ordering::SeqCst) {
        let list = read.get("/tabs?limit=500&sort=-total").await.expect(200);
        let items = list.body["items"].as_array().expect("items");
        assert_eq!(items.len(), paths.len(), "a list with all tabs");
        let makes: Vec<&str> = items.iter().map(made_by).collect();
        assert!(
            makes.iter().all(|make| *make == makes[0]),
            "one generation: {makes:?}"
        );
        // Each drink costs 10 here.
        let adds_up =
            |item: &Value| item["total"].as_i64() == item["drinks"].as_i64().map(|drinks| drinks * 10);
        assert!(items.iter().all(adds_up), "{items:?}");
        if seen.last().is_none_or(|last| last != makes[0]) {
            seen.push(makes[0].to_owned());
        }
        let path = paths_in_turn.next().expect("there are tabs");
        let row = read.get(path).await.expect(200).body;
        assert!(adds_up(&row), "{row}");
        reads.fetch_add(1, Ordering::SeqCst);
    }
    seen
}

fn made_by(row: &Value) -> &str {
    row["made_by"].as_str().unwrap_or("good")
}
