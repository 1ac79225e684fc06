use std::sync::{Arc, Mutex, PoisonError};

/// What the projector still waits for, as `/readyz` tells it.
#[derive(Debug, Clone)]
pub(crate) struct Status(Arc<Mutex<Option<String>>>);

impl Default for Status {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some("it is starting".to_owned()))))
    }
}

impl Status {
    /// It is not ready because of this.
    pub(crate) fn waits(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    /// It is ready: the views have everything that was there when it started. From then on it stays so: what
    /// comes later is lag, which the metrics show and which each read can wait for.
    pub(crate) fn ready(&self) {
        self.set(None);
    }

    /// What it waits for.
    pub(crate) fn missing(&self) -> Vec<String> {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        why.iter().cloned().collect()
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}
