//! The write path: commands in, events and results out, one transaction a batch.
//!
//! One loop on one thread. [`run`](Worker::run) takes what is there (`intake`), decides (`decide`, `ask`,
//! `outcome`, `reserve`), commits (`records`, `commit`), and begins again. While a batch is committed, the next one gathers in
//! Kafka, and if it is large, it is decided too (`in_flight`). Partitions come and go with the consumer group, and are caught up
//! before anything is decided on them (`take_over`).

mod ask;
mod checkpoints;
mod commit;
mod counts;
mod decide;
mod in_flight;
mod intake;
mod outcome;
mod records;
mod rehearse;
mod reserve;
mod subjects;
mod take_over;

use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldline_core::{AggregateId, EncodeError};
use lru::LruCache;
use rdkafka::error::KafkaError;

use self::checkpoints::Checkpoints;
use self::in_flight::InFlight;
pub(crate) use self::outcome::now;
pub(crate) use self::records::LEFT_OUT;
pub use self::rehearse::Rehearsed;
pub(crate) use self::rehearse::rehearse;
use crate::SubmitError;
use crate::broker::{Broker, Changes, Member, Seat, is_fenced};
use crate::catalog::{Catalog, Slice};
use crate::failpoints::reached;
use crate::follower::{FollowError, Follower};
use crate::gateway::Sender;
use crate::lookout::Lookout;
use crate::producer::TransactionError;
use crate::registry::ReadError;
use crate::runtime::Runtime;
use crate::store::{Known, Store, StoreError};
use crate::waiters::Waiters;

/// How long it rests before it tries again what failed.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How long a stop may be delayed by snapshots.
const LAST_CHECKPOINTS_MAX: Duration = Duration::from_secs(5);
/// Some heartbeats: by then a member knows whether another one has taken its place.
const GROUP_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// What all workers of a process share.
pub(crate) struct Shared {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Store,
    pub(crate) follower: Arc<Follower>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) sender: Sender,
    pub(crate) lookout: Lookout,
    pub(crate) is_stopped: AtomicBool,
}

/// Which worker this is.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// The consumer group.
    pub(crate) group: String,
    /// The same at every start, so that a new start fences the old one at once: names the group's member and
    /// the transactions.
    pub(crate) member: String,
    /// The aggregate types, by their place in the catalog.
    pub(crate) types: Vec<usize>,
    /// Commands in one transaction.
    pub(crate) batch_max: usize,
    /// So many commands are decided while others are committed; fewer wait, for what comes meanwhile.
    pub(crate) ahead_min: usize,
    /// Decoded states kept in memory.
    pub(crate) cache_max: NonZeroUsize,
    /// Events or outcomes of a partition between two checkpoints; 0 for no snapshots.
    pub(crate) snapshot_every: u64,
}

/// A worker that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The log cannot be folded.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The local store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Kafka refuses what can only be a mistake in the configuration.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A value does not fit the schema that was made from its type: a bug.
    #[error(transparent)]
    Encode(EncodeError),
    /// Two processes have the same name.
    #[error("another process took over as {member}; each needs an --instance of its own")]
    Fenced {
        /// The name.
        member: String,
    },
}

/// Something went wrong with a batch: nothing of it counts, and it is decided again.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("a unique value cannot be reserved: {0}")]
    Reserve(#[from] SubmitError),
    #[error("nobody has answered whether a unique value is free")]
    Unreserved,
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("what the command at offset {offset} makes has {bytes} bytes, and a record has no room for it")]
    TooLarge { slice: Slice, offset: i64, bytes: usize },
}

type Cache = LruCache<(usize, AggregateId), Known>;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    post: Post,
    member: Box<dyn Member>,
    /// The partitions that this worker is the one writer of.
    led: BTreeSet<Slice>,
    /// What the group has decided and was not acted on yet.
    changes: Changes,
    /// Aggregates as they are committed.
    cache: Cache,
    in_flight: Option<InFlight>,
    /// Commands whose events no record has room for. Each was decided once for nothing, and is refused when it is decided again.
    too_large: HashSet<(Slice, i64)>,
    /// How many subjects were erased when the cache was last right.
    erasures: u64,
    checkpoints: Checkpoints,
    has_joined: Arc<AtomicBool>,
}

impl Worker {
    /// Joins the group. `has_joined` is set when the first partitions are led.
    pub(crate) fn new(
        shared: Arc<Shared>,
        post: Post,
        has_joined: Arc<AtomicBool>,
    ) -> Result<Self, WorkerError> {
        let topic = |index: &usize| shared.catalog.types()[*index].commands.name.as_str();
        let topics: Vec<&str> = post.types.iter().map(topic).collect();
        let member = shared.broker.join(Seat {
            group: &post.group,
            member: &post.member,
            topics: &topics,
        })?;
        let cache = LruCache::new(post.cache_max);
        let checkpoints = Checkpoints::new(post.snapshot_every);
        Ok(Self {
            shared,
            post,
            member,
            led: BTreeSet::new(),
            changes: Changes::default(),
            cache,
            in_flight: None,
            too_large: HashSet::new(),
            erasures: 0,
            checkpoints,
            has_joined,
        })
    }

    /// Works until it is stopped, or cannot go on.
    pub(crate) fn run(mut self) -> Result<(), WorkerError> {
        while !self.shared.is_stopped.load(Ordering::SeqCst) {
            let batch = match self.gather() {
                Ok(batch) => batch,
                Err(error) => {
                    self.recover(error)?;
                    continue;
                }
            };
            self.follow_the_group()?;
            let batch = self.only_led(batch);
            if batch.is_empty() && !self.checkpoints.is_due() {
                continue;
            }
            reached("taken");
            if let Err(error) = self
                .decide(&batch)
                .and_then(|decided| self.commit(batch, decided))
            {
                self.recover(error)?;
            }
        }
        match self.finish() {
            Ok(()) => self.write_last_checkpoints(),
            // Its producer may still be held by the commit that does not come back.
            Err(error) => self.recover(error)?,
        }
        // Static members stay in the group: a restart finds its partitions where they were.
        Ok(())
    }

    /// So that the next start, on another disk perhaps, finds next to nothing to fold.
    fn write_last_checkpoints(&mut self) {
        let started_at = self.shared.runtime.now();
        self.checkpoints.all_are_due();
        while self.checkpoints.is_due() && self.shared.runtime.now() - started_at < LAST_CHECKPOINTS_MAX {
            let written = self
                .decide(&[])
                .and_then(|nothing| self.commit(Vec::new(), nothing));
            if let Err(error) = written.and_then(|()| self.finish()) {
                tracing::info!(%error, "stopping without the last snapshots");
                return;
            }
        }
    }

    /// Begins again from what the log says.
    ///
    /// Every doubt is settled in the same way: a new producer fences the old one, so that its transaction is
    /// either committed or aborted; then the log is read to its end, and the commands that it has not decided
    /// are decided.
    fn recover(&mut self, error: BatchError) -> Result<(), WorkerError> {
        // The batch that was in flight comes first: what was decided on it falls with it.
        let error = match self.finish() {
            Err(earlier) if !matches!(error, BatchError::Encode(_)) => earlier,
            _ => error,
        };
        self.let_go();
        metrics::counter!("foldline_append_transactions_aborted_total").increment(1);
        match &error {
            BatchError::Transaction(TransactionError::Fenced(_)) => {
                tracing::warn!(%error, "fenced; asking the group by whom");
                self.unless_replaced()?;
            }
            BatchError::Kafka(error) if is_fenced(error) => return Err(self.fenced()),
            BatchError::Follow(FollowError::Store(_)) | BatchError::Store(_) => {
                tracing::error!(%error, "the local store fails");
            }
            BatchError::Transaction(TransactionError::Aborted(_)) => {
                tracing::info!(%error, "deciding a batch again");
            }
            BatchError::TooLarge { slice, offset, .. } => {
                tracing::error!(%error, aggregate = self.shared.catalog.get(*slice).name, "refusing a command");
                self.too_large.insert((*slice, *offset));
            }
            _ => tracing::warn!(%error, "deciding a batch again"),
        }
        if let BatchError::Encode(error) = error {
            return Err(WorkerError::Encode(error));
        }
        self.cache.clear();
        let led: Vec<Slice> = self.led.iter().copied().collect();
        while !self.shared.is_stopped.load(Ordering::SeqCst) {
            self.shared.runtime.sleep(RETRY_AFTER);
            match self.settle(&error).and_then(|()| self.catch_up(&led)) {
                Ok(()) | Err(WorkerError::Follow(FollowError::Stopped)) => return Ok(()),
                Err(WorkerError::Follow(again)) if again.is_passing() => {
                    tracing::warn!(error = %again, "cannot recover yet");
                }
                Err(WorkerError::Kafka(again)) if !is_fenced(&again) => {
                    tracing::warn!(error = %again, "cannot recover yet");
                }
                Err(fatal) => return Err(fatal),
            }
        }
        Ok(())
    }

    fn settle(&mut self, error: &BatchError) -> Result<(), WorkerError> {
        match error {
            BatchError::Transaction(TransactionError::Unknown(_) | TransactionError::Fenced(_)) => {
                Ok(self.member.renew()?)
            }
            _ => Ok(()),
        }
    }

    /// Fails if another process has our name. Kafka calls a producer fenced too whose transaction it has given
    /// up, because this process slept; only the group knows better: whoever takes our name takes our membership.
    fn unless_replaced(&mut self) -> Result<(), WorkerError> {
        let asked_at = self.shared.runtime.now();
        while (self.shared.runtime.now() - asked_at < GROUP_ANSWERS_WITHIN || self.member.is_in_doubt())
            && !self.shared.is_stopped.load(Ordering::SeqCst)
        {
            // What comes is dropped: who leads its partition afterwards reads it again.
            match self.member.take(RETRY_AFTER, &mut |_| ControlFlow::Break(())) {
                Err(error) if is_fenced(&error) => return Err(self.fenced()),
                _ => {}
            }
        }
        self.changes.add(self.member.changes());
        self.follow_the_group()
    }

    fn fenced(&self) -> WorkerError {
        WorkerError::Fenced {
            member: self.post.member.clone(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let led: Vec<Slice> = self.led.iter().copied().collect();
        self.shared.follower.take_back(&self.post.member, &led);
    }
}
