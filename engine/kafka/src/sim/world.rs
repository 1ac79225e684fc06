//! Time and turns: each thread of a simulated process is a coroutine, and gives its turn away wherever it asks something
//! of the cluster, the clock or another thread. So one thread runs them all, in an order that the seed decides.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use generator::is_generator;

use super::cluster::Cluster;
use crate::follower::FollowError;
use crate::runtime::{Job, Runtime};

/// A sleep that is shorter is one between two looks: it need not end before there is something new.
pub(super) const LOOK_MAX: Duration = Duration::from_millis(50);

/// When a coroutine is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Whenever it is its turn.
    Next,
    /// When something has changed, or at this time.
    Look(Duration),
    /// At this time.
    At(Duration),
}

thread_local! {
    static POINTS: Cell<u64> = const { Cell::new(0) };
}

/// How many points between two steps of a worker were reached: where a fault may be waiting.
pub(super) fn points() -> u64 {
    POINTS.get()
}

/// What all simulated processes share.
#[derive(Clone)]
pub(super) struct World {
    cluster: Arc<Mutex<Cluster>>,
    start: Instant,
}

impl World {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            cluster: Arc::new(Mutex::new(cluster)),
            start: Instant::now(),
        }
    }

    /// Never to be held while a turn is given away.
    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.cluster().now
    }

    /// Lets others go on. The scheduler's own calls go on at once.
    #[allow(
        deprecated,
        reason = "the other way needs the coroutine's handle, which code that knows nothing of it cannot pass on"
    )]
    pub(super) fn give(turn: Turn) {
        if is_generator() {
            generator::yield_with(turn);
        }
    }

    /// Lets others go on between two steps that must not be taken apart.
    pub(super) fn point() {
        POINTS.set(POINTS.get() + 1);
        World::give(Turn::Next);
    }

    /// Tries again whenever something has changed; `None` if it does not succeed in time.
    pub(super) fn retried<T>(
        &self,
        at_most: Duration,
        mut attempt: impl FnMut(&mut Cluster) -> Option<T>,
    ) -> Option<T> {
        let deadline = self.now() + at_most;
        World::give(Turn::Next);
        loop {
            if let Some(done) = attempt(&mut self.cluster()) {
                return Some(done);
            }
            if self.now() >= deadline {
                return None;
            }
            World::give(Turn::Look(deadline));
        }
    }
}

/// What a future waits for is news to whoever looks for some.
struct News(World);

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.0.cluster().version += 1;
    }
}

impl Runtime for World {
    fn now(&self) -> Instant {
        self.start + self.cluster().now
    }

    fn sleep(&self, time: Duration) {
        let until = World::now(self) + time;
        World::give(if time < LOOK_MAX {
            Turn::Look(until)
        } else {
            Turn::At(until)
        });
    }

    fn block_on(&self, at_most: Duration, mut future: Pin<&mut dyn Future<Output = ()>>) {
        let deadline = World::now(self) + at_most;
        let waker = Waker::from(Arc::new(News(self.clone())));
        let mut context = Context::from_waker(&waker);
        while future.as_mut().poll(&mut context).is_pending() {
            if World::now(self) >= deadline {
                return;
            }
            World::give(Turn::Look(deadline));
        }
    }

    fn side_by_side(&self, jobs: Vec<Job<'_>>) -> Result<(), FollowError> {
        jobs.into_iter().try_for_each(|job| job())
    }
}
