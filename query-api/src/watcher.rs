//! One task that knows where all projections stand, for all who wait for that or follow it.

use std::sync::Arc;
use std::time::Duration;

use foldline_views::{CheckpointKey, Position};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::consistency::Scope;
use crate::readers::Readers;

/// How often the positions are read while a read waits for them, for all who wait together.
const PAUSE: Duration = Duration::from_millis(3);
/// How often while nobody waits and somebody follows. What moves within it is told once.
const PAUSE_LIVE: Duration = Duration::from_millis(20);

/// Where projections stand.
pub(crate) type Positions = Vec<(CheckpointKey, Position)>;

/// Reads the positions for as long as somebody wants to know them, and sleeps otherwise.
pub(crate) struct Watcher {
    /// Whatever is read.
    read: watch::Sender<Arc<Positions>>,
    /// What is other than before.
    moved: watch::Sender<Arc<Positions>>,
    somebody: Arc<Notify>,
    task: JoinHandle<()>,
}

/// Follows the positions of a scope.
pub(crate) struct Following {
    moved: watch::Receiver<Arc<Positions>>,
    scope: Scope,
    partition: Option<i32>,
    /// `None`: whatever comes is news.
    known: Option<Positions>,
}

impl Watcher {
    /// Call it in a runtime.
    pub(crate) fn new(readers: Arc<Readers>) -> Self {
        let (read, moved) = (watch::Sender::default(), watch::Sender::default());
        let somebody = Arc::new(Notify::new());
        let task = watch(readers, read.clone(), moved.clone(), Arc::clone(&somebody));
        Self {
            read,
            moved,
            somebody,
            task: tokio::spawn(task),
        }
    }

    /// Everything that is read from now on.
    pub(crate) fn reads(&self) -> watch::Receiver<Arc<Positions>> {
        let receiver = self.read.subscribe();
        self.somebody.notify_one();
        receiver
    }

    /// Everything that moves in the scope from now on.
    pub(crate) fn follow(&self, scope: &Scope) -> Following {
        let moved = self.moved.subscribe();
        self.somebody.notify_one();
        Following {
            moved,
            scope: scope.clone(),
            partition: None,
            known: None,
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    /// Only this partition matters.
    pub(crate) fn narrow(&mut self, partition: i32) {
        self.partition = Some(partition);
    }

    /// To be called before one reads: what moves after it is news.
    pub(crate) fn mark(&mut self) {
        let positions = Arc::clone(&self.moved.borrow_and_update());
        self.known = Some(self.of_scope(&positions));
    }

    /// One could not read: the next that is known of the positions is news, be they what they were.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// Returns when something has moved. Dropped before, it has not been told.
    pub(crate) async fn moved(&mut self) {
        while self.moved.changed().await.is_ok() {
            let positions = Arc::clone(&self.moved.borrow_and_update());
            let found = Some(self.of_scope(&positions));
            if found != self.known {
                self.known = found;
                return;
            }
        }
        // The watcher is gone, and with it all that could move.
        std::future::pending::<()>().await;
    }

    fn of_scope(&self, positions: &Positions) -> Positions {
        let of_scope = positions.iter().filter(|(key, _)| {
            self.scope.covers(key) && self.partition.is_none_or(|partition| key.partition == partition)
        });
        of_scope.cloned().collect()
    }
}

async fn watch(
    readers: Arc<Readers>,
    read: watch::Sender<Arc<Positions>>,
    moved: watch::Sender<Arc<Positions>>,
    somebody: Arc<Notify>,
) {
    let mut last = None;
    loop {
        somebody.notified().await;
        while read.receiver_count() + moved.receiver_count() > 0 {
            match readers.read(|snapshot| snapshot.all_positions()).await {
                Ok(positions) => {
                    let positions = Arc::new(positions);
                    if last.as_ref() != Some(&positions) {
                        moved.send_replace(Arc::clone(&positions));
                        last = Some(Arc::clone(&positions));
                    }
                    read.send_replace(positions);
                }
                Err(error) => {
                    // Those who wait get it from their own read when their time is up; those who follow go on when
                    // there is something to read again.
                    tracing::debug!(%error, "cannot read the positions");
                    last = None;
                }
            }
            if read.receiver_count() > 0 {
                sleep(PAUSE).await;
            } else {
                // Who begins to wait now does not wait for us.
                let _ = tokio::time::timeout(PAUSE_LIVE, somebody.notified()).await;
            }
        }
    }
}
