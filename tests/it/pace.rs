//! How far a run has come that ends with its work or with its time, whichever is first.

use std::time::{Duration, Instant};

use foldline_tests::chance::Chance;

/// The last moment at which something is killed: enough is left to be done then.
const LAST: usize = 90;

/// The work, the time, and when it began.
pub struct Pace {
    work: usize,
    time_max: Duration,
    started_at: Instant,
}

impl Pace {
    /// It begins now.
    pub fn new(work: usize, time_max: Duration) -> Self {
        Self {
            work,
            time_max,
            started_at: Instant::now(),
        }
    }

    /// Per cent, when so much of the work is done.
    pub fn percent(&self, done: usize) -> usize {
        let of_time = self.elapsed().as_secs_f64() / self.time_max.as_secs_f64();
        (done * 100 / self.work).max((of_time * 100.0) as usize)
    }

    /// Whether it ends, when so much of the work is done.
    pub fn is_over(&self, done: usize) -> bool {
        self.percent(done) >= 100
    }

    /// Since it began.
    pub fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// So many moments, in per cent: one somewhere in each part of the run.
    pub fn moments(count: usize, chance: &mut Chance) -> Vec<usize> {
        let part = LAST / count;
        let moment = |number| number * part + chance.below(part);
        (0..count).map(moment).collect()
    }
}
