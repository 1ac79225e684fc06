//! Readers that show the tokens of fresh answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::chance::Chance;
use crate::check::reads::TokenRead;
use crate::client::Client;
use crate::load::{Answered, Load};

/// Between two reads: the machine is the services' too.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a reader comes again while nobody answers it.
const PATIENCE: Duration = Duration::from_secs(60);
const TRY_MAX: Duration = Duration::from_secs(5);

/// What readers were shown.
#[derive(Default)]
pub struct Reads {
    shown: Mutex<Vec<TokenRead>>,
}

impl Reads {
    /// Takes what was read since the last time.
    pub fn take(&self) -> Vec<TokenRead> {
        std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what fresh answers are about, until it is over.
    pub async fn read_on(&self, read: &Client, load: &Load, mut chance: Chance, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            tokio::time::sleep(PAUSE).await;
            let Some(answer) = load.recent(&mut chance) else {
                continue;
            };
            if let Some(one) = with_token(read, load, &answer).await {
                self.shown
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(one);
            }
        }
    }
}

/// Reads the aggregate of an answer with the answer's token; `None` if nobody has said what it is.
pub async fn with_token(read: &Client, load: &Load, answer: &Answered) -> Option<TokenRead> {
    let token = answer.token.as_deref()?;
    let began_at = Instant::now();
    while began_at.elapsed() < PATIENCE {
        let request = read
            .request(Method::GET, &answer.aggregate)
            .header("Consistency-Token", token)
            .header("Prefer", "wait=2")
            .timeout(TRY_MAX);
        let answered = read.try_send(request).await.ok();
        let shown = answered.and_then(|shown| match shown.status {
            200 => {
                let etag = shown.header("etag")?.trim_matches('"');
                etag.split('-').next()?.parse().ok()
            }
            404 => Some(0),
            _ => None,
        });
        if let Some(shown) = shown {
            return Some(TokenRead {
                aggregate: answer.aggregate.clone(),
                seen: answer.sequence,
                shown,
                at: load.elapsed(),
                took: began_at.elapsed(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}
