//! One task that knows where all projections stand, for all who wait for that or follow it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldline_views::{CheckpointKey, Position};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::consistency::Scope;
use crate::readers::Readers;

/// How often it is looked whether something was committed while a read waits for it, for all who wait together. Where
/// nothing was, that is all that a look costs.
const PAUSE: Duration = Duration::from_millis(1);
/// How often while nobody waits and somebody follows. What moves within it is told once.
const PAUSE_LIVE: Duration = Duration::from_millis(20);

/// Where projections stand.
pub(crate) type Positions = Vec<(CheckpointKey, Position)>;

/// Where projections stand, and by view the generation that clients see: another one is news, although none has moved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) positions: Positions,
    pub(crate) served: BTreeMap<String, i64>,
}

/// Reads the positions for as long as somebody wants to know them, and sleeps otherwise.
pub(crate) struct Watcher {
    /// What is read for those who wait: when they come, and whenever it is other than before.
    read: watch::Sender<Arc<Standing>>,
    /// How many have begun to wait since it was read last.
    newcomers: Arc<AtomicUsize>,
    /// What is other than before.
    moved: watch::Sender<Arc<Standing>>,
    somebody: Arc<Notify>,
    task: JoinHandle<()>,
}

/// Follows the positions of a scope.
pub(crate) struct Following {
    moved: watch::Receiver<Arc<Standing>>,
    scope: Scope,
    partition: Option<i32>,
    /// `None`: whatever comes is news.
    known: Option<Standing>,
}

impl Watcher {
    /// Call it in a runtime.
    pub(crate) fn new(readers: Arc<Readers>) -> Self {
        let (read, moved) = (watch::Sender::default(), watch::Sender::default());
        let somebody = Arc::new(Notify::new());
        let newcomers = Arc::new(AtomicUsize::new(0));
        let watching = Watching {
            readers,
            read: read.clone(),
            moved: moved.clone(),
            newcomers: Arc::clone(&newcomers),
            somebody: Arc::clone(&somebody),
        };
        Self {
            read,
            newcomers,
            moved,
            somebody,
            task: tokio::spawn(watching.run()),
        }
    }

    /// What is read once from now on, and whenever it is other than before.
    pub(crate) fn reads(&self) -> watch::Receiver<Arc<Standing>> {
        let receiver = self.read.subscribe();
        self.newcomers.fetch_add(1, Ordering::SeqCst);
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
        let standing = Arc::clone(&self.moved.borrow_and_update());
        self.known = Some(self.of_scope(&standing));
    }

    /// One could not read: the next that is known of the positions is news, be they what they were.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// Returns when something has moved. Dropped before, it has not been told.
    pub(crate) async fn moved(&mut self) {
        while self.moved.changed().await.is_ok() {
            let standing = Arc::clone(&self.moved.borrow_and_update());
            let found = Some(self.of_scope(&standing));
            if found != self.known {
                self.known = found;
                return;
            }
        }
        // The watcher is gone, and with it all that could move.
        std::future::pending::<()>().await;
    }

    fn of_scope(&self, standing: &Standing) -> Standing {
        let positions = standing.positions.iter().filter(|(key, _)| {
            self.scope.covers(key) && self.partition.is_none_or(|partition| key.partition == partition)
        });
        let served = standing.served.get_key_value(&self.scope.projection);
        Standing {
            positions: positions.cloned().collect(),
            served: served
                .into_iter()
                .map(|(view, generation)| (view.clone(), *generation))
                .collect(),
        }
    }
}

/// The task of a [`Watcher`].
struct Watching {
    readers: Arc<Readers>,
    read: watch::Sender<Arc<Standing>>,
    moved: watch::Sender<Arc<Standing>>,
    newcomers: Arc<AtomicUsize>,
    somebody: Arc<Notify>,
}

impl Watching {
    async fn run(self) {
        let mut last = None;
        loop {
            self.somebody.notified().await;
            while self.read.receiver_count() + self.moved.receiver_count() > 0 {
                self.look(&mut last);
                if self.read.receiver_count() > 0 {
                    sleep(PAUSE).await;
                } else {
                    // Who begins to wait now does not wait for us.
                    let _ = tokio::time::timeout(PAUSE_LIVE, self.somebody.notified()).await;
                }
            }
        }
    }

    fn look(&self, last: &mut Option<Arc<Standing>>) {
        // Before the read: what it shows is news to whoever came before it.
        let has_newcomers = self.newcomers.swap(0, Ordering::SeqCst) > 0;
        match self.readers.read_here(|snapshot, known| known.standing(snapshot)) {
            Ok(standing) => {
                let is_other = last.as_ref() != Some(&standing);
                if is_other {
                    self.moved.send_replace(Arc::clone(&standing));
                    *last = Some(Arc::clone(&standing));
                }
                if is_other || has_newcomers {
                    self.read.send_replace(standing);
                }
            }
            Err(error) => {
                // Those who wait get it from their own read when their time is up; those who follow go on when
                // there is something to read again.
                tracing::debug!(%error, "cannot read the positions");
                *last = None;
            }
        }
    }
}
