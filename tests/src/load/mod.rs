//! Clients that do not give up: each command is sent, under one `Idempotency-Key`, until it has an answer.

mod history;
pub mod restaurant;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;

pub use self::history::{Answered, Asked, Entry, Expected, Verdict};
use crate::chance::Chance;
use crate::client::Client;

/// How long a command is sent again and again before it counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The clients of one run, and what they have seen.
pub struct Load {
    client: Client,
    history: Mutex<Vec<Entry>>,
    answered: AtomicUsize,
    waiting: AtomicUsize,
    retries: AtomicUsize,
}

/// How a client sends a command.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// It sends it twice at the same time.
    pub at_once: bool,
    /// It sends it again when it has its answer.
    pub again: bool,
    /// It hangs up on the first try after so long.
    pub hangs_up: Option<Duration>,
}

impl Manner {
    /// Most clients are patient, some are not.
    pub fn any(chance: &mut Chance) -> Self {
        Self {
            at_once: chance.once_in(50),
            again: chance.once_in(25),
            hangs_up: chance
                .once_in(25)
                .then(|| Duration::from_millis(1 + chance.any() % 30)),
        }
    }
}

impl Load {
    /// Of clients of this command handler.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            history: Mutex::default(),
            answered: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            retries: AtomicUsize::new(0),
        }
    }

    /// Commands that have been answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Commands that are waiting for their answer just now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// How often a command was sent once more because there was no answer.
    pub fn retries(&self) -> usize {
        self.retries.load(Ordering::SeqCst)
    }

    /// What was asked and answered so far.
    pub fn history(&self) -> Vec<Entry> {
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends a command until it is answered, and writes down what came.
    pub async fn ask(&self, asked: Asked, manner: Manner) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let first = self.persist(&asked, manner.hangs_up);
        let mut answers: Vec<Option<Answered>> = if manner.at_once {
            let (one, other) = tokio::join!(first, self.persist(&asked, None));
            vec![one, other]
        } else {
            vec![first.await]
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.answered.fetch_add(1, Ordering::SeqCst);
        if manner.again {
            answers.push(self.persist(&asked, None).await);
        }
        let answers = answers.into_iter().flatten().collect();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(Entry { asked, answers });
    }

    /// Sends a command of the past once more, and adds what comes to its entry.
    pub async fn ask_again(&self, index: usize) {
        let asked = self.history()[index].asked.clone();
        let answer = self.persist(&asked, None).await;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history[index].answers.extend(answer);
    }

    async fn persist(&self, asked: &Asked, hangs_up: Option<Duration>) -> Option<Answered> {
        let started_at = Instant::now();
        let mut at_most = hangs_up;
        while started_at.elapsed() < PATIENCE {
            if let Some(answer) = self.try_once(asked, at_most.take()).await {
                return Some(answer);
            }
            self.retries.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    async fn try_once(&self, asked: &Asked, at_most: Option<Duration>) -> Option<Answered> {
        let request = self
            .client
            .request(Method::POST, &asked.path)
            .header("Idempotency-Key", asked.key.to_string())
            .json(&asked.body);
        let request = at_most
            .into_iter()
            .fold(request, reqwest::RequestBuilder::timeout);
        // Refused, reset or hung up: the command may be in the log or not.
        let answer = self.client.try_send(request).await.ok()?;
        Answered::read(asked, &answer)
    }
}
