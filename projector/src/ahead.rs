//! Events that are read, decoded and written down as the history has them, while those before them are folded and committed:
//! who catches up has work for two threads.

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foldline_kafka::{EventLogError, Events, LogRecord, Progress};

/// How long the log is waited for; a stop waits as long, if nothing comes.
const IDLE: Duration = Duration::from_millis(100);
/// How old the progress may be. To ask for it costs more than to read an event.
const PROGRESS_MAX: Duration = Duration::from_millis(250);

/// A log that a thread of its own reads, up to a batch ahead.
///
/// What is ahead counts as not read: [`has_caught_up`](Events::has_caught_up) and [`progress`](Events::progress) tell of what
/// has been handed out. What a stop leaves is read again, because nothing but the views' checkpoints says what was read.
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    has_caught_up: bool,
    progress: Vec<Progress>,
}

#[derive(Default)]
struct Shared {
    read: Mutex<Read>,
    changed: Condvar,
}

/// What has been read and not handed out, and how the log stands behind that.
#[derive(Default)]
struct Read {
    records: Vec<LogRecord>,
    has_caught_up: bool,
    /// `None` if it has not been asked for again.
    progress: Option<Vec<Progress>>,
    failed: Option<EventLogError>,
    is_stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Read> {
        // Each change of it is whole, whatever its thread has come to since.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ahead {
    /// Begins to read; `most` records at most are ahead.
    pub(crate) fn start(mut log: Box<dyn Events>, most: usize) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (has_caught_up, progress) = (log.has_caught_up(), log.progress());
        shared.lock().has_caught_up = has_caught_up;
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || read_on(&mut *log, &of_thread, most))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            has_caught_up,
            progress,
        })
    }

    /// The thread ends by itself only after a failure, which is handed out first.
    fn check_alive(&mut self) {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished())
            && let Err(panic) = thread.join()
        {
            resume_unwind(panic);
        }
    }
}

impl Events for Ahead {
    fn poll(&mut self, max_records: usize, max_wait: Duration) -> Result<Vec<LogRecord>, EventLogError> {
        let nothing_yet = |read: &mut Read| read.records.is_empty() && read.failed.is_none();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), max_wait, nothing_yet);
        let (mut read, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if read.records.is_empty()
            && let Some(failed) = read.failed.take()
        {
            return Err(failed);
        }
        let count = max_records.min(read.records.len());
        let later = read.records.split_off(count);
        let records = std::mem::replace(&mut read.records, later);
        if read.records.is_empty() {
            self.has_caught_up = read.has_caught_up;
            if let Some(progress) = read.progress.take() {
                self.progress = progress;
            }
        }
        drop(read);
        self.shared.changed.notify_all();
        if records.is_empty() {
            self.check_alive();
        }
        Ok(records)
    }

    fn has_caught_up(&mut self) -> bool {
        self.has_caught_up
    }

    fn progress(&self) -> Vec<Progress> {
        self.progress.clone()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn read_on(log: &mut dyn Events, shared: &Shared, most: usize) {
    let mut asked_at = Instant::now();
    loop {
        let is_full = |read: &mut Read| read.records.len() >= most && !read.is_stopped;
        let room = {
            let waited = shared.changed.wait_while(shared.lock(), is_full);
            let read = waited.unwrap_or_else(PoisonError::into_inner);
            if read.is_stopped {
                return;
            }
            most - read.records.len()
        };
        let polled = log.poll(room, IDLE);
        for record in polled.iter().flatten() {
            // Kept with it.
            let _ = record.text();
        }
        let has_caught_up = log.has_caught_up();
        let progress = (asked_at.elapsed() >= PROGRESS_MAX).then(|| {
            asked_at = Instant::now();
            log.progress()
        });
        let mut read = shared.lock();
        let has_failed = polled.is_err();
        match polled {
            Ok(records) => read.records.extend(records),
            Err(error) => read.failed = Some(error),
        }
        read.has_caught_up = has_caught_up;
        read.progress = progress.or_else(|| read.progress.take());
        drop(read);
        shared.changed.notify_all();
        if has_failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use foldline_kafka::{EventLogError, Events, LogRecord, Progress};

    use super::Ahead;
    use crate::toy::{Log, Spec};

    const ALL: usize = 40;
    const LONG: Duration = Duration::from_secs(10);

    /// Has so many events, and then does what it is told to.
    struct Toy {
        left: std::vec::IntoIter<Spec>,
        read: Arc<AtomicUsize>,
        in_the_end: fn() -> Result<Vec<LogRecord>, EventLogError>,
    }

    impl Toy {
        fn new(in_the_end: fn() -> Result<Vec<LogRecord>, EventLogError>) -> (Self, Arc<AtomicUsize>) {
            let mut log = Log::default();
            log.open("a");
            for amount in 1..ALL {
                log.spend("a", &[], i64::try_from(amount).unwrap());
            }
            let read = Arc::<AtomicUsize>::default();
            let toy = Self {
                left: log.specs.into_iter(),
                read: Arc::clone(&read),
                in_the_end,
            };
            (toy, read)
        }
    }

    impl Events for Toy {
        fn poll(&mut self, max_records: usize, _: Duration) -> Result<Vec<LogRecord>, EventLogError> {
            if self.left.len() == 0 {
                return (self.in_the_end)();
            }
            let found: Vec<LogRecord> = self
                .left
                .by_ref()
                .take(max_records.min(3))
                .map(|spec| spec.record())
                .collect();
            self.read.fetch_add(found.len(), Ordering::SeqCst);
            Ok(found)
        }

        fn has_caught_up(&mut self) -> bool {
            self.left.len() == 0
        }

        fn progress(&self) -> Vec<Progress> {
            Vec::new()
        }
    }

    fn nothing() -> Result<Vec<LogRecord>, EventLogError> {
        // In place of waiting for an event.
        std::thread::yield_now();
        Ok(Vec::new())
    }

    fn offsets(records: &[LogRecord]) -> impl Iterator<Item = i64> {
        records.iter().map(|record| record.offset)
    }

    #[test]
    fn each_record_is_handed_out_once_in_the_order_of_the_log() {
        let (expected, _) = Toy::new(nothing);
        let expected: Vec<i64> = expected.left.map(|spec| spec.record().offset).collect();
        for most in [1, 7, 100] {
            let mut ahead = Ahead::start(Box::new(Toy::new(nothing).0), most).unwrap();
            let mut found = Vec::new();
            while found.len() < ALL {
                let records = ahead.poll(5, LONG).unwrap();
                assert!(records.len() <= 5);
                found.extend(offsets(&records));
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_handed_out_is_written_down_already() {
        let mut ahead = Ahead::start(Box::new(Toy::new(nothing).0), 100).unwrap();
        let records = ahead.poll(5, LONG).unwrap();
        assert!(records.iter().all(|record| record.text.get().is_some()));
    }

    #[test]
    fn it_has_caught_up_when_the_last_record_is_handed_out_and_not_when_it_is_read() {
        let (toy, read) = Toy::new(nothing);
        let mut ahead = Ahead::start(Box::new(toy), 100).unwrap();
        until(|| read.load(Ordering::SeqCst) == ALL);
        let mut found = 0;
        while found < ALL {
            assert!(!ahead.has_caught_up());
            found += ahead.poll(30, LONG).unwrap().len();
        }
        until(|| {
            assert!(ahead.poll(30, Duration::ZERO).unwrap().is_empty());
            ahead.has_caught_up()
        });
    }

    #[test]
    fn no_more_is_ahead_than_was_asked_for() {
        let (toy, read) = Toy::new(nothing);
        let mut ahead = Ahead::start(Box::new(toy), 7).unwrap();
        // What the log has handed out is there a moment later.
        until(|| ahead.shared.lock().records.len() == 7);
        assert_eq!(read.load(Ordering::SeqCst), 7);
        let found = ahead.poll(100, LONG).unwrap().len();
        assert_eq!(found, 7);
        until(|| ahead.shared.lock().records.len() == 7);
        assert_eq!(read.load(Ordering::SeqCst), 14);
    }

    #[test]
    fn what_was_read_comes_before_the_failure_that_followed_it() {
        let failed = || {
            Err(EventLogError::Truncated {
                topic: "tabs".to_owned(),
                partition: 0,
                position: 40,
                low: 50,
                high: 60,
            })
        };
        let mut ahead = Ahead::start(Box::new(Toy::new(failed).0), 100).unwrap();
        let mut found = 0;
        let error = loop {
            match ahead.poll(100, LONG) {
                Ok(records) => found += records.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(found, ALL);
        assert!(matches!(error, EventLogError::Truncated { .. }), "{error}");
    }

    #[test]
    fn a_panic_of_the_log_is_one_of_who_polls() {
        let mut ahead = Ahead::start(Box::new(Toy::new(|| panic!("of the log")).0), 100).unwrap();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            loop {
                ahead.poll(100, Duration::from_millis(1)).unwrap();
            }
        }));
        assert_eq!(polled.unwrap_err().downcast_ref(), Some(&"of the log"));
    }

    #[test]
    fn the_thread_ends_with_it() {
        let (toy, read) = Toy::new(nothing);
        drop(Ahead::start(Box::new(toy), 7).unwrap());
        // The log, which the thread had, is gone, and with it whoever else counts.
        assert_eq!(Arc::strong_count(&read), 1);
    }

    fn until(mut is_so: impl FnMut() -> bool) {
        let began_at = Instant::now();
        while !is_so() {
            assert!(began_at.elapsed() < LONG);
            std::thread::yield_now();
        }
    }
}
