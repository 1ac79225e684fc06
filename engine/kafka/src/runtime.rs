//! Time and threads, as the write path asks for them: the other seam behind which a simulation can stand.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::follower::FollowError;

/// Something to be done beside something else.
pub(crate) type Job<'a> = Box<dyn FnOnce() -> Result<(), FollowError> + Send + 'a>;

/// How a process waits.
pub(crate) trait Runtime: Send + Sync {
    fn now(&self) -> Instant;

    fn sleep(&self, time: Duration);

    /// Waits for a future, for so long at most. Not to be called on a thread of the asynchronous runtime.
    fn block_on(&self, at_most: Duration, future: Pin<&mut dyn Future<Output = ()>>);

    /// Does all of it, and returns when the last is done; the first error, if there is one.
    fn side_by_side(&self, jobs: Vec<Job<'_>>) -> Result<(), FollowError>;
}

/// The operating system's time and threads.
pub(crate) struct Threads(Handle);

impl Threads {
    /// Futures are waited for in the asynchronous runtime that this is called in.
    pub(crate) fn current() -> Self {
        Self(Handle::current())
    }
}

impl Runtime for Threads {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn block_on(&self, at_most: Duration, future: Pin<&mut dyn Future<Output = ()>>) {
        // What it was to do is seen by what it has done, so that it was too late is no news.
        let _ = self
            .0
            .block_on(async { tokio::time::timeout(at_most, future).await });
    }

    fn side_by_side(&self, jobs: Vec<Job<'_>>) -> Result<(), FollowError> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().expect("reading the log does not panic"));
            ended.collect::<Vec<_>>().into_iter().collect()
        })
    }
}
