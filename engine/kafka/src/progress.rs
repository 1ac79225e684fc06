//! How far a start is, for people who wait for it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What is being read before there is something to serve.
#[derive(Default)]
pub(crate) struct Progress {
    stage: Mutex<Option<Stage>>,
}

struct Stage {
    doing: &'static str,
    done: u64,
    of: u64,
    since: Instant,
}

impl Progress {
    /// Begins a stage with so many records to read, at most.
    pub(crate) fn begin(&self, doing: &'static str, of: u64) {
        let stage = Stage {
            doing,
            done: 0,
            of,
            since: Instant::now(),
        };
        *self.lock() = Some(stage);
    }

    /// So many more are read.
    pub(crate) fn add(&self, records: u64) {
        if let Some(stage) = &mut *self.lock() {
            stage.done += records;
        }
    }

    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// In a sentence.
    pub(crate) fn told(&self) -> Option<String> {
        let stage = self.lock();
        let Stage {
            doing,
            done,
            of,
            since,
        } = stage.as_ref()?;
        let seconds = since.elapsed().as_secs_f64();
        Some(format!(
            "{doing}: {done} of at most {of} records, for {seconds:.1} s"
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
