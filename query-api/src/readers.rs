use std::sync::{Arc, Mutex, PoisonError};

use foldline_views::{Snapshot, StoreError, ViewReader, ViewStore};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::known::Known;

/// Readers of the store, opened when they are first needed.
pub(crate) struct Readers {
    store: Box<dyn ViewStore>,
    idle: Mutex<Vec<Reader>>,
    places: Arc<Semaphore>,
}

/// A reader, and what has been made of the version that it showed last.
struct Reader {
    reader: Box<dyn ViewReader>,
    known: Known,
}

impl Readers {
    /// `most` of them may block at once.
    pub(crate) fn new(store: Box<dyn ViewStore>, most: usize) -> Self {
        Self {
            store,
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(most)),
        }
    }

    /// Reads one snapshot, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&dyn Snapshot, &mut Known) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let readers = Arc::clone(self);
        let task = spawn_blocking(move || {
            let _place = place;
            readers.read_here(read)
        });
        // It fails if `read` panicked, or if the runtime ends under it.
        task.await
            .unwrap_or_else(|failed| Err(StoreError::Database(failed.into())))
    }

    /// Reads one snapshot on this thread. On one of the runtime's, only what is found by a key: to hand that to another
    /// thread and back costs more than to find it, and anything longer would keep other requests waiting.
    pub(crate) fn read_here<T>(
        &self,
        read: impl FnOnce(&dyn Snapshot, &mut Known) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut reader = match kept {
            Some(reader) => reader,
            None => Reader {
                reader: self.store.reader()?,
                known: Known::default(),
            },
        };
        let Reader { reader: of, known } = &mut reader;
        let result = of.snapshot().and_then(|snapshot| {
            known.is_of(snapshot.version());
            read(&*snapshot, known)
        });
        // One that failed is not kept: the next read opens the file again.
        if !matches!(result, Err(StoreError::Database(_) | StoreError::Corrupt { .. })) {
            idle().push(reader);
        }
        result
    }
}
