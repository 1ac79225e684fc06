//! Folds what stands in the event and result topics into the local store.
//!
//! Each partition is either led by a worker of this process, which applies its own decisions, or followed.
//! Before a worker leads a partition, it is caught up here: this is the only code that folds from the log.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use foldline_core::{AggregateId, Sequence};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaSettings;
use crate::catalog::{Catalog, Installed, Slice};
use crate::fold::Folding;
use crate::progress::Progress;
use crate::registry::ReadError;
use crate::seldom::Seldom;
use crate::store::{Log, Store, StoreError};
use crate::unread::UnreadIds;
use crate::waiters::Waiters;

/// Records that are folded between two writes to the store.
const BATCH_MAX: usize = 10_000;

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
    /// The process is to end.
    #[error("the process is to end")]
    Stopped,
}

impl FollowError {
    /// Whether it may pass by itself.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Kafka { .. }
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
    pub(crate) kafka: KafkaSettings,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Store,
    pub(crate) waiters: Arc<Waiters>,
    /// The outcomes that are not in the store.
    pub(crate) unread: UnreadIds,
    pub(crate) progress: Progress,
    /// Held while outcomes that were not read are.
    pub(crate) reading: Mutex<()>,
    /// Held while a partition changes hands, so that no record is folded by two.
    followed: Mutex<HashSet<Slice>>,
    has_changed: AtomicBool,
    is_restored: AtomicBool,
    pub(crate) is_stopped: AtomicBool,
}

impl Follower {
    /// Follows every partition from where the store stands, on a thread of its own.
    pub(crate) fn start(
        kafka: &KafkaSettings,
        catalog: &Arc<Catalog>,
        store: &Store,
        waiters: &Arc<Waiters>,
        failed: impl FnOnce(FollowError) + Send + 'static,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let every = catalog.types().iter().flat_map(|installed| installed.slices());
        let follower = Arc::new(Self {
            kafka: kafka.clone(),
            catalog: Arc::clone(catalog),
            store: store.clone(),
            waiters: Arc::clone(waiters),
            unread: UnreadIds::default(),
            progress: Progress::default(),
            reading: Mutex::default(),
            followed: Mutex::new(every.collect()),
            has_changed: AtomicBool::new(true),
            is_restored: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        });
        let running = Arc::clone(&follower);
        let run = move || match running.run() {
            Ok(()) | Err(FollowError::Stopped) => {}
            Err(error) => failed(error),
        };
        let thread = std::thread::Builder::new().name("follower".to_owned()).spawn(run);
        (follower, thread.expect("the operating system gives us a thread"))
    }

    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Stops following the partitions, and folds them up to their ends: from then on their writer is the
    /// caller, who must have made sure that nobody else is.
    pub(crate) fn hand_over(&self, slices: &[Slice]) -> Result<(), FollowError> {
        let mut followed = self.lock();
        for slice in slices {
            followed.remove(slice);
        }
        self.has_changed.store(true, Ordering::SeqCst);
        self.catch_up(slices)
    }

    /// Follows the partitions again.
    pub(crate) fn take_back(&self, slices: &[Slice]) {
        self.lock().extend(slices);
        self.has_changed.store(true, Ordering::SeqCst);
    }

    /// Folds those of the partitions that are followed up to their ends as of now.
    pub(crate) fn refresh(&self, slices: &[Slice]) -> Result<(), FollowError> {
        let followed = self.lock();
        let behind: Vec<Slice> = slices
            .iter()
            .copied()
            .filter(|slice| followed.contains(slice))
            .collect();
        // The other consumer has read on from before: it must begin anew from where this ends.
        self.has_changed.store(true, Ordering::SeqCst);
        self.catch_up(&behind)
    }

    /// Whether what this process knows reaches up to the checkpoints at least: before that, no partition can be led.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored.load(Ordering::SeqCst)
    }

    fn run(&self) -> Result<(), FollowError> {
        while let Err(error) = self.restore() {
            if !error.is_passing() || self.is_stopped.load(Ordering::SeqCst) {
                return Err(error);
            }
            tracing::warn!(%error, "cannot read the snapshots; trying again");
            std::thread::sleep(Duration::from_millis(500));
        }
        self.is_restored.store(true, Ordering::SeqCst);
        self.follow()
    }

    fn follow(&self) -> Result<(), FollowError> {
        let mut consumer = log_consumer(&self.kafka, false, 500)?;
        let mut assigned = Assigned::default();
        while !self.is_stopped.load(Ordering::SeqCst) {
            let followed = self.lock();
            if self.has_changed.swap(false, Ordering::SeqCst) {
                // A new consumer has nothing in its queues that was read before the change.
                consumer = log_consumer(&self.kafka, false, 500)?;
                assigned = self.assign(&consumer, followed.iter().copied())?;
            }
            let (folded, idle) = if followed.is_empty() {
                (Ok(0), NOTHING_TO_FOLLOW)
            } else {
                (
                    self.fold_next(&consumer, &assigned, Duration::from_millis(2)),
                    BETWEEN_LOOKS,
                )
            };
            drop(followed);
            match folded {
                Ok(0) => std::thread::sleep(idle),
                Ok(_) => {}
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "cannot follow the log; trying again");
                    self.has_changed.store(true, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(500));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Folds what is there.
    fn fold_next(
        &self,
        consumer: &BaseConsumer<Quiet>,
        assigned: &Assigned,
        wait: Duration,
    ) -> Result<usize, FollowError> {
        let mut folding = Folding::new(self);
        let mut count = 0;
        let mut next = consumer.poll(wait);
        while let Some(polled) = next {
            let message = polled.map_err(|source| kafka_error("the log", source))?;
            if let Some((slice, log)) = assigned.find(&message) {
                folding.fold(slice, log, &message)?;
            }
            count += 1;
            if count >= BATCH_MAX {
                break;
            }
            next = consumer.poll(Duration::ZERO);
        }
        folding.apply()?;
        Ok(count)
    }

    fn assign(
        &self,
        consumer: &BaseConsumer<Quiet>,
        slices: impl Iterator<Item = Slice>,
    ) -> Result<Assigned, FollowError> {
        let both = slices.flat_map(|slice| [(slice, Log::Events), (slice, Log::Results)]);
        self.assign_some(consumer, both)
    }

    /// Reads from where the store stands.
    pub(crate) fn assign_some(
        &self,
        consumer: &BaseConsumer<Quiet>,
        logs: impl Iterator<Item = (Slice, Log)>,
    ) -> Result<Assigned, FollowError> {
        let mut assigned = Assigned::default();
        let mut list = TopicPartitionList::new();
        for (slice, log) in logs {
            let installed = self.catalog.get(slice);
            let topic = topic_of(installed, log);
            let position = self.store.position(installed, slice, log)?;
            list.add_partition_offset(topic, slice.partition, Offset::Offset(position.next))
                .map_err(|source| kafka_error(topic, source))?;
            assigned.topics.insert(topic.to_owned(), (slice.index, log));
        }
        consumer
            .assign(&list)
            .map_err(|source| kafka_error("the log", source))?;
        Ok(assigned)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Slice>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer of committed records, with a queue of its own.
pub(crate) fn log_consumer(
    kafka: &KafkaSettings,
    says_at_end: bool,
    fetch_wait_ms: u32,
) -> Result<BaseConsumer<Quiet>, FollowError> {
    kafka
        .client()
        // librdkafka asks for a group, though nothing is subscribed to and nothing committed.
        .set("group.id", format!("{}foldline-follower", kafka.topic_prefix))
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", says_at_end.to_string())
        .set("enable.auto.commit", "false")
        // What is not folded yet and is gone must not be skipped in silence.
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", fetch_wait_ms.to_string())
        .set("fetch.queue.backoff.ms", "2")
        .create_with_context(Quiet::default())
        .map_err(|source| kafka_error("the log", source))
}

/// Says of a disturbance what is worth saying: that the end of a partition is reached is none.
#[derive(Default)]
pub(crate) struct Quiet(Seldom);

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        // This callback is given it as a code, unlike `poll`.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.0.tell("reader of the log", &error, reason);
        }
    }
}

impl ConsumerContext for Quiet {}

/// The lock is free for this long between two looks, so that a partition can change hands.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
const NOTHING_TO_FOLLOW: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct Assigned {
    topics: HashMap<String, (usize, Log)>,
}

impl Assigned {
    pub(crate) fn find(&self, message: &BorrowedMessage<'_>) -> Option<(Slice, Log)> {
        let (index, log) = self.topics.get(message.topic())?;
        Some((
            Slice {
                index: *index,
                partition: message.partition(),
            },
            *log,
        ))
    }
}

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
