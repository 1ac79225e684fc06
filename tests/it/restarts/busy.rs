//! A client that sends one command after the other, and each until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use foldline_tests::client::{Answer, Client, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A menu of this many items is changed in turn.
const ITEMS: usize = 7;

/// The client, at work.
pub struct Busy {
    acknowledged: Arc<AtomicUsize>,
    is_enough: Arc<AtomicBool>,
    work: JoinHandle<Vec<Acknowledged>>,
}

/// A command that was answered with yes.
pub struct Acknowledged {
    pub command_id: Uuid,
    pub item: String,
    pub amount: i64,
    pub answer: Answer,
}

impl Busy {
    /// Begins.
    pub fn begin(write: Client) -> Self {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let is_enough = Arc::new(AtomicBool::new(false));
        let (count, stop) = (Arc::clone(&acknowledged), Arc::clone(&is_enough));
        let work = tokio::spawn(async move {
            let mut done: Vec<Acknowledged> = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                done.push(next(&write, done.len()).await);
                count.store(done.len(), Ordering::SeqCst);
            }
            done
        });
        Self {
            acknowledged,
            is_enough,
            work,
        }
    }

    /// Returns when so many more commands are acknowledged.
    pub async fn more(&self, count: usize) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + count;
        eventually(
            "more commands are acknowledged",
            Duration::from_secs(60),
            || async { (self.acknowledged.load(Ordering::SeqCst) >= goal).then_some(()) },
        )
        .await;
    }

    /// Ends after the command at hand.
    pub async fn end(self) -> Vec<Acknowledged> {
        self.is_enough.store(true, Ordering::SeqCst);
        self.work.await.expect("the client is well")
    }
}

async fn next(write: &Client, number: usize) -> Acknowledged {
    let command_id = Uuid::now_v7();
    let item = format!("item-{}", number % ITEMS);
    let kind = if number < ITEMS {
        "AddMenuItem"
    } else {
        "ModifyMenuItem"
    };
    let amount = i64::try_from(number).expect("a count") + 1;
    let price = json!({"amount": amount, "currency": "USD"});
    let body = json!({"type": kind, "description": "Pizza", "price": price});
    let answer = until_answered(write, &format!("/menu/items/{item}/commands"), command_id, &body).await;
    Acknowledged {
        command_id,
        item,
        amount,
        answer,
    }
}

/// Sends a command again and again, always under the same id.
pub async fn until_answered(write: &Client, path: &str, command_id: Uuid, body: &Value) -> Answer {
    let ask = || async {
        let request = write.request(Method::POST, path).json(body);
        let request = request.header("Idempotency-Key", command_id.to_string());
        // Nobody is there, or who was there has gone.
        let answer = write.try_send(request).await.ok()?;
        match answer.status {
            // In the log, but its answer took too long; or not in it.
            202 | 503 => None,
            _ => Some(answer),
        }
    };
    let answer = eventually("a command is answered", Duration::from_secs(60), ask).await;
    assert!(matches!(answer.status, 200 | 201), "{answer:#?}");
    answer
}
