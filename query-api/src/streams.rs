//! What streams may take: a bounded number of them, and a part of the readers.

use std::sync::Arc;
use std::time::Duration;

use foldline_service::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Limits of streams.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// How many there are at once, live ones and exports together.
    pub most: usize,
    /// How often a live one says something although there is nothing to say.
    pub keep_alive: Duration,
}

/// The streams of a process.
pub(crate) struct Streams {
    pub(crate) keep_alive: Duration,
    pub(crate) shutdown: Shutdown,
    most: usize,
    places: Arc<Semaphore>,
    reads: Semaphore,
}

/// A stream's place; free again when it is dropped.
pub(crate) struct StreamPlace {
    _permit: OwnedSemaphorePermit,
    kind: &'static str,
}

/// There is no place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full {
    pub(crate) most: usize,
}

impl Streams {
    pub(crate) fn new(options: &StreamOptions, readers: usize, shutdown: &Shutdown) -> Self {
        Self {
            keep_alive: options.keep_alive,
            shutdown: shutdown.clone(),
            most: options.most,
            places: Arc::new(Semaphore::new(options.most)),
            // The other half is always there for requests, however many streams there are.
            reads: Semaphore::new(readers.div_ceil(2)),
        }
    }

    /// A place for one more.
    pub(crate) fn enter(&self, kind: &'static str) -> Result<StreamPlace, Full> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => {
                metrics::gauge!("query_streams", "kind" => kind).increment(1.0);
                Ok(StreamPlace {
                    _permit: permit,
                    kind,
                })
            }
            Err(_) => Err(Full { most: self.most }),
        }
    }

    /// A turn to read.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.reads.acquire().await;
        turn.expect("the semaphore is never closed")
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        metrics::gauge!("query_streams", "kind" => self.kind).decrement(1.0);
    }
}
