use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a disturbance is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Tells of a client's disturbances, but not of each: while Kafka is away there are dozens a second.
#[derive(Default)]
pub(crate) struct Seldom {
    told_at: Mutex<Option<Instant>>,
}

impl Seldom {
    /// Logs it, unless one was logged just now.
    pub(crate) fn tell(&self, client: &str, error: &dyn Display, reason: &str) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|told_at| told_at.elapsed() > TELL_EVERY) {
            *told_at = Some(Instant::now());
            tracing::warn!(client, %error, reason, "Kafka is disturbed");
        }
    }
}
