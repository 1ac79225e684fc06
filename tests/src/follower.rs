//! A client of server-sent events as a browser is one: cut off, it comes back with the last id that it has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;
use tokio::sync::watch;

use crate::client::Client;

/// Before it tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// An event, as it was told.
#[derive(Debug, Clone)]
pub struct Told {
    /// The id by which a follower comes back.
    pub id: String,
    /// The kind of event, as the stream names it.
    pub kind: String,
    /// What it says.
    pub data: Value,
}

/// Follows one address.
pub struct Follower {
    path: String,
    last: Option<String>,
    /// What it was told, in this order.
    pub told: Vec<Told>,
    /// How often it was connected.
    pub connections: usize,
}

impl Follower {
    /// Of this path, from now on or from its beginning as the path says.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            last: None,
            told: Vec::new(),
            connections: 0,
        }
    }

    /// Follows until somebody knows when it is done, and it is. `progress` is how much it has been told.
    pub async fn run(
        &mut self,
        client: &Client,
        progress: &AtomicUsize,
        mut done: watch::Receiver<Option<Done>>,
    ) {
        loop {
            let is_done = |told: &[Told], done: &watch::Receiver<Option<Done>>| {
                done.borrow().as_ref().is_some_and(|done| done(told))
            };
            if is_done(&self.told, &done) {
                return;
            }
            let mut seen = done.clone();
            tokio::select! {
                () = self.connection(client, progress, &done, is_done) => tokio::time::sleep(PAUSE).await,
                // Nothing may come any more that would make it look.
                _ = seen.changed() => { done.mark_changed(); let _ = done.borrow_and_update(); }
            }
        }
    }

    /// One connection, to its end, or until it is done.
    async fn connection(
        &mut self,
        client: &Client,
        progress: &AtomicUsize,
        done: &watch::Receiver<Option<Done>>,
        is_done: impl Fn(&[Told], &watch::Receiver<Option<Done>>) -> bool,
    ) {
        let mut request = client
            .request(Method::GET, &self.path)
            .header(ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("Last-Event-ID", last);
        }
        let Ok(mut response) = request.send().await else {
            return;
        };
        if response.status() != 200 {
            // Not there yet, as after a start without views; anything else would be for ever.
            assert_eq!(response.status(), 503, "{}", self.path);
            return;
        }
        self.connections += 1;
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text += std::str::from_utf8(&chunk).expect("whole characters");
            while let Some((block, rest)) = text.split_once("\n\n") {
                self.block(block);
                text = rest.to_owned();
            }
            progress.store(self.told.len(), Ordering::SeqCst);
            if is_done(&self.told, done) {
                return;
            }
        }
    }

    fn block(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let Some(id) = field("id: ") else { return };
        self.last = Some(id.to_owned());
        let Some(data) = field("data: ") else { return };
        self.told.push(Told {
            id: id.to_owned(),
            kind: field("event: ").unwrap_or("message").to_owned(),
            data: serde_json::from_str(data).expect("JSON"),
        });
    }
}

/// Whether all has been told.
pub type Done = Box<dyn Fn(&[Told]) -> bool + Send + Sync>;
