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

/// How long a command is sent again and again before it counts as unanswered, by clients of one command handler.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The clients of one run, and what they have seen.
pub struct Load {
    /// Of command handlers that are each other's likes: a try that fails is made again at the next one.
    clients: Vec<Client>,
    /// How long one try may take.
    try_max: Duration,
    /// How long a command is sent again and again before it counts as unanswered.
    patience: Duration,
    began_at: Instant,
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
        Self::among(vec![client], PATIENCE, PATIENCE)
    }

    /// Of clients that turn to the next of these command handlers if one has not answered in this time, for so long.
    pub fn among(clients: Vec<Client>, try_max: Duration, patience: Duration) -> Self {
        Self {
            clients,
            try_max,
            patience,
            began_at: Instant::now(),
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

    /// Commands that were asked and are not waiting any more, and those of them that have an answer.
    pub fn counts(&self) -> (usize, usize) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let has_answer = history.iter().filter(|entry| !entry.answers.is_empty());
        (history.len(), has_answer.count())
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

    /// What was asked and answered since so many commands were.
    pub fn history_from(&self, from: usize) -> Vec<Entry> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.get(from..).unwrap_or_default().to_vec()
    }

    /// Sends a command until it is answered, and writes down what came. Returns the first of it.
    pub async fn ask(&self, asked: Asked, manner: Manner) -> Option<Answered> {
        let asked_at = self.began_at.elapsed();
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
        let answers: Vec<Answered> = answers.into_iter().flatten().collect();
        let first = answers.first().cloned();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(Entry {
            asked,
            asked_at,
            answers,
        });
        first
    }

    /// How long ago it began.
    pub fn elapsed(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// One of the newest answers that a reader could follow.
    pub fn recent(&self, chance: &mut Chance) -> Option<Answered> {
        const RECENT: usize = 500;
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let from = history.len().saturating_sub(RECENT);
        if from == history.len() {
            return None;
        }
        history[from + chance.below(history.len() - from)]
            .answers
            .first()
            .cloned()
    }

    /// Sends a command of the past once more, and adds what comes to its entry.
    pub async fn ask_again(&self, index: usize) {
        // Not from a copy of all: after a long run that is hundreds of megabytes.
        let asked = {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            history[index].asked.clone()
        };
        let answer = self.persist(&asked, None).await;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history[index].answers.extend(answer);
    }

    async fn persist(&self, asked: &Asked, hangs_up: Option<Duration>) -> Option<Answered> {
        let started_at = Instant::now();
        let mut at_most = hangs_up;
        for client in self.clients.iter().cycle() {
            if started_at.elapsed() > self.patience {
                break;
            }
            let at_most = at_most.take().unwrap_or(self.try_max);
            if let Some(answer) = self.try_once(client, asked, at_most).await {
                return Some(answer);
            }
            self.retries.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    async fn try_once(&self, client: &Client, asked: &Asked, at_most: Duration) -> Option<Answered> {
        let request = client
            .request(Method::POST, &asked.path)
            .header("Idempotency-Key", asked.key.to_string())
            .json(&asked.body)
            .timeout(at_most);
        // Refused, reset or hung up: the command may be in the log or not.
        let answer = client.try_send(request).await.ok()?;
        Answered::read(asked, &answer, self.began_at.elapsed())
    }
}
