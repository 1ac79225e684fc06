//! Folds what stands in the event and result topics into the local store.
//!
//! Each partition is either led by a worker of this process, which applies its own decisions, or followed.
//! Before a worker leads a partition, it is caught up here: this is the only code that folds from the log.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use foldline_core::{AggregateId, Sequence};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::broker::{Broker, Reader};
use crate::catalog::{Catalog, Installed, Slice};
use crate::fold::Folding;
use crate::progress::Progress;
use crate::registry::ReadError;
use crate::runtime::Runtime;
use crate::store::{Log, Store, StoreError};
use crate::unread::UnreadIds;
use crate::waiters::Waiters;

/// Records that are folded between two writes to the store.
const BATCH_MAX: usize = 10_000;
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long it looks for a record; the lock is held meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// The log cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Kafka does not answer, or not yet: to be tried again.
    #[error("reading {topic}: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// What is wrong.
        source: KafkaError,
    },
    /// The local store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that only this engine could have written, and did not.
    #[error("{topic}/{partition}@{offset} cannot be read: {source}")]
    Record {
        /// Where it lies.
        topic: String,
        /// Where it lies.
        partition: i32,
        /// Where it lies.
        offset: i64,
        /// What is wrong with it.
        source: ReadError,
    },
    /// Events are missing, or stand twice: the event store is damaged.
    #[error("{topic}/{partition}@{offset} is event {found} of {id}, whose last one was {last}")]
    Sequence {
        /// Where it lies.
        topic: String,
        /// Where it lies.
        partition: i32,
        /// Where it lies.
        offset: i64,
        /// The aggregate.
        id: AggregateId,
        /// The event's sequence.
        found: Sequence,
        /// The sequence before it.
        last: Sequence,
    },
    /// Records that are not folded yet are gone: the event store is damaged, or was made anew.
    #[error("{topic} no longer has the records that are to be folded next")]
    Truncated {
        /// The topic.
        topic: String,
    },
    /// Somebody's transaction is open for longer than Kafka leaves those of ours open.
    #[error("a transaction on {topic} does not end")]
    Unsettled {
        /// The topic.
        topic: String,
    },
    /// Kafka has given a partition from one worker of this process to another one, and the first has not heard of it yet.
    #[error("{by} has not given up a partition of {aggregate} yet")]
    Led {
        /// The aggregate type.
        aggregate: String,
        /// Who still leads it.
        by: String,
    },
    /// The process is to end.
    #[error("the process is to end")]
    Stopped,
}

impl FollowError {
    /// Whether it may pass by itself.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Kafka { .. }
            | Self::Unsettled { .. }
            | Self::Led { .. }
            | Self::Record {
                source: ReadError::Registry(_),
                ..
            } => true,
            Self::Store(_)
            | Self::Record { .. }
            | Self::Sequence { .. }
            | Self::Truncated { .. }
            | Self::Stopped => false,
        }
    }
}

/// Folds the partitions that nobody in this process leads.
pub(crate) struct Follower {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Store,
    pub(crate) waiters: Arc<Waiters>,
    /// The outcomes that are not in the store.
    pub(crate) unread: UnreadIds,
    pub(crate) progress: Progress,
    /// Held while outcomes that were not read are.
    pub(crate) reading: Mutex<()>,
    /// Held while a partition changes hands, so that no record is folded by two.
    hands: Mutex<Hands>,
    has_changed: AtomicBool,
    is_restored: AtomicBool,
    /// Whether nobody is to wait for others any more.
    is_ending: AtomicBool,
    pub(crate) is_stopped: AtomicBool,
}

/// Who folds which partition.
struct Hands {
    followed: HashSet<Slice>,
    /// By the names of the workers.
    led: HashMap<Slice, String>,
}

impl Follower {
    /// Follows every partition from where the store stands, once it [runs](Self::run).
    pub(crate) fn new(
        broker: &Arc<dyn Broker>,
        runtime: &Arc<dyn Runtime>,
        catalog: &Arc<Catalog>,
        store: &Store,
        waiters: &Arc<Waiters>,
    ) -> Self {
        let every = catalog.types().iter().flat_map(|installed| installed.slices());
        Self {
            broker: Arc::clone(broker),
            runtime: Arc::clone(runtime),
            catalog: Arc::clone(catalog),
            store: store.clone(),
            waiters: Arc::clone(waiters),
            unread: UnreadIds::default(),
            progress: Progress::default(),
            reading: Mutex::default(),
            hands: Mutex::new(Hands {
                followed: every.collect(),
                led: HashMap::new(),
            }),
            has_changed: AtomicBool::new(true),
            is_restored: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Runs it on a thread of its own.
    pub(crate) fn start(
        self: &Arc<Self>,
        failed: impl FnOnce(FollowError) + Send + 'static,
    ) -> JoinHandle<()> {
        let running = Arc::clone(self);
        let run = move || match running.run() {
            Ok(()) | Err(FollowError::Stopped) => {}
            Err(error) => failed(error),
        };
        let thread = std::thread::Builder::new().name("follower".to_owned()).spawn(run);
        thread.expect("the operating system gives us a thread")
    }

    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Ends what waits for the transactions of others: the process is to end, and its workers before what they rest on.
    pub(crate) fn end_waiting(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
    }

    /// Stops following the partitions, and folds them up to their ends: from then on their writer is this worker, who must
    /// have made sure that nobody else is.
    ///
    /// Kafka's word is not enough for that where the one before is of this process: its commit is over, and it may not have
    /// noted yet what it has committed, in the store that both have.
    pub(crate) fn hand_over(&self, worker: &str, slices: &[Slice]) -> Result<(), FollowError> {
        let mut hands = self.lock();
        let led = slices.iter().find_map(|slice| {
            let by = hands.led.get(slice).filter(|by| *by != worker)?;
            Some((slice, by))
        });
        if let Some((slice, by)) = led {
            return Err(FollowError::Led {
                aggregate: self.catalog.get(*slice).name.clone(),
                by: by.clone(),
            });
        }
        for slice in slices {
            hands.followed.remove(slice);
            hands.led.insert(*slice, worker.to_owned());
        }
        self.has_changed.store(true, Ordering::SeqCst);
        self.catch_up(slices)
    }

    /// Follows the partitions again that this worker has led.
    pub(crate) fn take_back(&self, worker: &str, slices: &[Slice]) {
        let mut hands = self.lock();
        for slice in slices {
            if hands.led.get(slice).is_some_and(|by| by == worker) {
                hands.led.remove(slice);
                hands.followed.insert(*slice);
            }
        }
        self.has_changed.store(true, Ordering::SeqCst);
    }

    /// Folds those of the partitions that are followed up to their ends as of now.
    pub(crate) fn refresh(&self, slices: &[Slice]) -> Result<(), FollowError> {
        let hands = self.lock();
        let behind: Vec<Slice> = slices
            .iter()
            .copied()
            .filter(|slice| hands.followed.contains(slice))
            .collect();
        // The other consumer has read on from before: it must begin anew from where this ends.
        self.has_changed.store(true, Ordering::SeqCst);
        self.catch_up(&behind)
    }

    /// Whether a worker of this process leads the partition, as far as can be said at once.
    pub(crate) fn is_led_here(&self, slice: Slice) -> bool {
        let hands = self.hands.try_lock();
        hands.is_ok_and(|hands| hands.led.contains_key(&slice))
    }

    /// Whether what this process knows reaches up to the checkpoints at least: before that, no partition can be led.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored.load(Ordering::SeqCst)
    }

    pub(crate) fn run(&self) -> Result<(), FollowError> {
        while let Err(error) = self.restore() {
            if self.is_stopped.load(Ordering::SeqCst) {
                // Whoever is asked to end need not say what it could not read.
                return Err(FollowError::Stopped);
            }
            if !error.is_passing() {
                return Err(error);
            }
            tracing::warn!(%error, "cannot read the snapshots; trying again");
            self.runtime.sleep(RETRY_AFTER);
        }
        self.is_restored.store(true, Ordering::SeqCst);
        self.follow()
    }

    fn follow(&self) -> Result<(), FollowError> {
        let mut reading = None;
        while !self.is_stopped.load(Ordering::SeqCst) {
            let hands = self.lock();
            if self.has_changed.swap(false, Ordering::SeqCst) {
                // A new reader has nothing in its queues that was read before the change.
                reading = None;
            }
            let (folded, idle) = if hands.followed.is_empty() {
                (Ok(0), NOTHING_TO_FOLLOW)
            } else {
                (self.fold_from(&mut reading, &hands.followed), BETWEEN_LOOKS)
            };
            drop(hands);
            match folded {
                Ok(0) => self.runtime.sleep(idle),
                Ok(_) => {}
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "cannot follow the log; trying again");
                    self.has_changed.store(true, Ordering::SeqCst);
                    self.runtime.sleep(RETRY_AFTER);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fold_from(
        &self,
        reading: &mut Option<(Box<dyn Reader>, Assigned)>,
        followed: &HashSet<Slice>,
    ) -> Result<usize, FollowError> {
        let (reader, assigned) = match reading {
            Some(reading) => reading,
            none => none.insert(self.assign(followed)?),
        };
        self.fold_next(reader.as_mut(), assigned)
    }

    /// Folds what is there.
    fn fold_next(&self, reader: &mut dyn Reader, assigned: &Assigned) -> Result<usize, FollowError> {
        let mut folding = Folding::new(self);
        let (mut count, mut folded) = (0, Ok(()));
        let taken = reader.take(LOOK, &mut |message| {
            count += 1;
            if let Some((index, log)) = assigned.get(message.topic) {
                let slice = Slice {
                    index: *index,
                    partition: message.partition,
                };
                folded = folding.fold(slice, *log, message);
            }
            match &folded {
                Ok(()) if count < BATCH_MAX => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        taken.map_err(|source| kafka_error("the log", source))?;
        folded?;
        folding.apply()?;
        Ok(count)
    }

    /// Reads both logs of the partitions from where the store stands.
    fn assign(&self, followed: &HashSet<Slice>) -> Result<(Box<dyn Reader>, Assigned), FollowError> {
        let mut assigned = Assigned::new();
        let mut from = Vec::new();
        for slice in followed {
            let installed = self.catalog.get(*slice);
            for log in [Log::Events, Log::Results] {
                let topic = topic_of(installed, log);
                let position = self.store.position(installed, *slice, log)?;
                from.push(((topic, slice.partition), position.next));
                assigned.insert(topic.to_owned(), (slice.index, log));
            }
        }
        Ok((self.broker.follow(&from)?, assigned))
    }

    /// Whether somebody has a lock that others may want.
    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        use std::sync::TryLockError::WouldBlock;

        matches!(self.hands.try_lock(), Err(WouldBlock)) || matches!(self.reading.try_lock(), Err(WouldBlock))
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lock is free for this long between two looks, so that a partition can change hands.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
const NOTHING_TO_FOLLOW: Duration = Duration::from_millis(20);

/// Which logs are read.
type Assigned = HashMap<String, (usize, Log)>;

pub(crate) fn topic_of(installed: &Installed, log: Log) -> &str {
    match log {
        Log::Events => &installed.events.name,
        Log::Results => &installed.results.name,
    }
}

pub(crate) fn kafka_error(topic: &str, source: KafkaError) -> FollowError {
    let topic = topic.to_owned();
    match source.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            FollowError::Truncated { topic }
        }
        _ => FollowError::Kafka { topic, source },
    }
}
