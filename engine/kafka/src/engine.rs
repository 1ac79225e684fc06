//! The write side of one process, put together.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use foldline_core::Domains;
use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::broker::{Broker, KafkaBroker, end_what_is_open};
use crate::catalog::Catalog;
use crate::follower::{FollowError, Follower, kafka_error};
use crate::gateway::{Gateway, Sender};
use crate::keys::Keys;
use crate::lookout::Lookout;
use crate::runtime::{Runtime, Threads};
use crate::store::{Store, StoreError};
use crate::waiters::Waiters;
use crate::worker::{Post, Shared, Worker, WorkerError};
use crate::{KafkaSettings, RegistryError, TopicsError, check_topics};

const RETRY_AFTER: Duration = Duration::from_secs(1);
const RESTORED_LOOK: Duration = Duration::from_millis(5);
const PULSE_EVERY: Duration = Duration::from_secs(1);
const PULSE_MAX: Duration = Duration::from_secs(2);
/// A transaction costs Kafka as much as hundreds of commands: fewer than these had better wait for more.
const AHEAD_MIN: usize = 500;

/// How the write side of a process works.
#[derive(Debug, Clone, Args)]
pub struct EngineSettings {
    /// This process's name among its like. Each must have one of its own, and keep it from start to start: by
    /// it Kafka knows that an earlier self is gone.
    #[arg(long, env = "FOLDLINE_INSTANCE", default_value = "0", value_name = "NAME")]
    pub instance: String,

    /// Where the local store is: a cache of the log, which may be deleted while the process is down.
    #[arg(
        long,
        env = "FOLDLINE_STATE_DIR",
        default_value = "data/state",
        value_name = "DIR"
    )]
    pub state_dir: PathBuf,

    /// Threads that decide. Each takes a share of the partitions.
    #[arg(long, env = "FOLDLINE_WORKERS", default_value = "1", value_name = "N")]
    pub workers: NonZeroUsize,

    /// Commands whose outcome may be waited for at a time; more are refused until some are answered.
    #[arg(long, env = "FOLDLINE_WAITING_MAX", default_value = "10000", value_name = "N")]
    pub waiting_max: usize,

    /// Commands in one transaction, at most.
    #[arg(long, env = "FOLDLINE_BATCH_MAX", default_value = "2000", value_name = "N")]
    pub batch_max: usize,

    /// Aggregates that each worker keeps in memory: those that were used last. Any other one is read from the local
    /// store.
    #[arg(long, env = "FOLDLINE_CACHE_MAX", default_value = "20000", value_name = "N")]
    pub cache_max: NonZeroUsize,

    /// Write the changed states of a partition as snapshots after so many events, and at a stop. A start without local
    /// disk reads the snapshots, and the events since. 0 for no snapshots.
    #[arg(
        long,
        env = "FOLDLINE_SNAPSHOT_EVERY",
        default_value = "10000",
        value_name = "EVENTS"
    )]
    pub snapshot_every: u64,
}

/// The write side cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The topics are not as they must be.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The schemas are not as they must be.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The local store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Kafka refuses.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The log cannot be followed.
    #[error("following the log: {0}")]
    Follower(FollowError),
    /// A worker cannot go on.
    #[error("worker {member}: {source}")]
    Worker {
        /// Which.
        member: String,
        /// Why.
        source: WorkerError,
    },
    /// A worker panicked: a bug.
    #[error("worker {member} panicked")]
    Panicked {
        /// Which.
        member: String,
    },
}

/// The write side of one process. Dropping it without [`stop`](Self::stop) is as good as killing it: nothing
/// is lost.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    joined: Vec<(String, Arc<AtomicBool>)>,
    is_kafka_there: Arc<AtomicBool>,
    failed: watch::Receiver<Option<Arc<EngineError>>>,
}

impl Engine {
    /// Starts it. Waits for as long as Kafka or the registry do not answer; any other fault is returned.
    pub async fn start(
        kafka: &KafkaSettings,
        settings: &EngineSettings,
        domains: &Domains,
    ) -> Result<Self, EngineError> {
        let catalog = Arc::new(load_catalog(kafka, domains).await?);
        let posts = posts(&catalog, settings, &kafka.topic_prefix);
        // Side by side: a start is an outage, and each takes a good part of a second.
        let keys = async { Ok(read_keys(kafka, &catalog.keys, &posts).await) };
        let (keys, store) = tokio::try_join!(keys, open_store(settings, &catalog))?;
        let waiters = Arc::new(Waiters::new(settings.waiting_max));
        let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(kafka));
        let runtime: Arc<dyn Runtime> = Arc::new(Threads::current());
        let sender = Sender::new(broker.as_ref(), Arc::clone(&catalog), Arc::clone(&waiters))?;
        let (fail, failed) = watch::channel(None);
        let fail_follower = fail.clone();
        let follower = Arc::new(Follower::new(&broker, &runtime, &catalog, &store, &waiters));
        let thread = follower.start(move |error| report(&fail_follower, EngineError::Follower(error)));
        let lookout = Lookout::start(kafka, &catalog, &store);
        let shared = Arc::new(Shared {
            broker,
            runtime,
            catalog,
            store,
            follower,
            waiters,
            sender,
            lookout,
            is_stopped: AtomicBool::new(false),
        });
        let is_kafka_there = Arc::new(AtomicBool::new(true));
        tokio::spawn(feel_the_pulse(Arc::clone(&shared), Arc::clone(&is_kafka_there)));
        let mut engine = Self {
            shared,
            threads: keys.into_iter().chain([thread]).collect(),
            joined: Vec::new(),
            is_kafka_there,
            failed,
        };
        for post in posts {
            engine.start_worker(post, fail.clone());
        }
        Ok(engine)
    }

    fn start_worker(&mut self, post: Post, fail: watch::Sender<Option<Arc<EngineError>>>) {
        let has_joined = Arc::new(AtomicBool::new(false));
        self.joined.push((post.member.clone(), Arc::clone(&has_joined)));
        let shared = Arc::clone(&self.shared);
        let member = post.member.clone();
        let run = move || {
            let work = || work(&shared, &post, &has_joined);
            let member = post.member.clone();
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                Ok(Ok(())) => {}
                Ok(Err(source)) => report(&fail, EngineError::Worker { member, source }),
                Err(_) => report(&fail, EngineError::Panicked { member }),
            }
        };
        let thread = std::thread::Builder::new().name(member).spawn(run);
        self.threads
            .push(thread.expect("the operating system gives us a thread"));
    }

    /// The way in for commands.
    pub fn gateway(&self) -> Gateway {
        Gateway::new(Arc::clone(&self.shared))
    }

    /// What is still missing before it can decide; nothing if it is ready.
    pub fn readiness(&self) -> Vec<String> {
        let waiting = self
            .joined
            .iter()
            .filter(|(_, has_joined)| !has_joined.load(Ordering::SeqCst));
        let waiting = waiting.map(|(member, _)| format!("worker {member} has no partitions yet"));
        let away = (!self.is_kafka_there.load(Ordering::SeqCst)).then(|| "Kafka does not answer".to_owned());
        let reading = self.shared.follower.progress.told();
        waiting.chain(away).chain(reading).collect()
    }

    /// Returns when the write side cannot go on, with the reason.
    pub async fn failed(&self) -> Arc<EngineError> {
        let mut failed = self.failed.clone();
        let found = failed.wait_for(Option::is_some).await;
        let error = found.ok().and_then(|error| error.clone());
        match error {
            Some(error) => error,
            // All threads have ended in good order: it is being stopped.
            None => std::future::pending().await,
        }
    }

    /// Ends the running transactions, and returns when all threads are gone.
    pub async fn stop(self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // At once: a worker may be waiting for what they wait for.
        self.shared.catalog.keys.stop();
        self.shared.follower.end_waiting();
        let Self { shared, threads, .. } = self;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads.into_iter().rev() {
                if thread.thread().name() == Some("follower") {
                    shared.follower.stop();
                }
                // A panic has been reported by the thread itself.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// Starts until it succeeds or cannot: Kafka may be away just now.
pub(crate) fn work(
    shared: &Arc<Shared>,
    post: &Post,
    has_joined: &Arc<AtomicBool>,
) -> Result<(), WorkerError> {
    // A member of the group is given partitions, and those would wait for the whole restore.
    while !shared.follower.is_restored() && !shared.is_stopped.load(Ordering::SeqCst) {
        shared.runtime.sleep(RESTORED_LOOK);
    }
    while !shared.is_stopped.load(Ordering::SeqCst) {
        match Worker::new(Arc::clone(shared), post.clone(), Arc::clone(has_joined)) {
            Ok(worker) => return worker.run(),
            Err(WorkerError::Kafka(error)) => {
                tracing::warn!(%error, member = post.member, "a worker cannot start yet");
                shared.runtime.sleep(RETRY_AFTER);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Asks Kafka again and again whether it is there: clients are sent elsewhere while it is not.
async fn feel_the_pulse(shared: Arc<Shared>, is_kafka_there: Arc<AtomicBool>) {
    while !shared.is_stopped.load(Ordering::SeqCst) {
        let asked = Arc::clone(&shared);
        let asked = tokio::task::spawn_blocking(move || asked.sender.is_kafka_there(PULSE_MAX)).await;
        is_kafka_there.store(asked.unwrap_or(false), Ordering::SeqCst);
        tokio::time::sleep(PULSE_EVERY).await;
    }
}

/// Those that decide for the domains, and one that decides on claims: the former wait for the latter.
fn posts(catalog: &Catalog, settings: &EngineSettings, prefix: &str) -> Vec<Post> {
    let name = |what: &str, slot: usize| format!("{prefix}foldline-{what}-{}-{slot}", settings.instance);
    let post = |what: &str, slot: usize, internal: bool| {
        let types = catalog.types().iter();
        let types = types.filter(|installed| installed.aggregate.info().is_internal() == internal);
        Post {
            group: format!("{prefix}foldline-{what}"),
            member: name(what, slot),
            types: types.map(|installed| installed.index).collect(),
            batch_max: settings.batch_max.max(1),
            ahead_min: AHEAD_MIN.min(settings.batch_max),
            cache_max: settings.cache_max,
            snapshot_every: settings.snapshot_every,
        }
    };
    let domains = (0..settings.workers.get()).map(|slot| post("commands", slot, false));
    let posts = domains.chain([post("claims", 0, true)]);
    posts.filter(|post| !post.types.is_empty()).collect()
}

/// Reads the keys, and follows them. Nothing is decided before.
async fn read_keys(kafka: &KafkaSettings, keys: &Keys, posts: &[Post]) -> Vec<JoinHandle<()>> {
    let members: Vec<String> = posts.iter().map(|post| post.member.clone()).collect();
    loop {
        let (kafka, keys_of, members) = (kafka.clone(), keys.clone(), members.clone());
        let read = move || {
            // By ourselves, most likely, if we were killed as we made one: nobody else will end that before it times out.
            if let Some(topic) = keys_of.held_up()? {
                let end = |member: &String| end_what_is_open(&kafka, member);
                let ended = members.iter().try_for_each(end);
                ended.map_err(|source| kafka_error(&topic, source))?;
            }
            keys_of.make_ready()
        };
        let read = tokio::task::spawn_blocking(read).await;
        match read.expect("reading keys does not panic") {
            Ok(()) => return keys.follow(),
            Err(error) => tracing::warn!(%error, "cannot read the keys; trying again"),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn open_store(settings: &EngineSettings, catalog: &Arc<Catalog>) -> Result<Store, StoreError> {
    let (folder, catalog) = (settings.state_dir.clone(), Arc::clone(catalog));
    let opened = tokio::task::spawn_blocking(move || Store::open(&folder, &catalog));
    opened.await.expect("opening the store does not panic")
}

async fn load_catalog(kafka: &KafkaSettings, domains: &Domains) -> Result<Catalog, EngineError> {
    loop {
        let error = match check_topics(kafka, domains).await {
            Err(error @ TopicsError::Unavailable { .. }) => EngineError::from(error),
            Err(error) => return Err(error.into()),
            Ok(cluster) => match Catalog::load(kafka, domains, &cluster).await {
                Ok(catalog) => return Ok(catalog),
                Err(error @ RegistryError::Unavailable { .. }) => error.into(),
                Err(error) => return Err(error.into()),
            },
        };
        tracing::warn!(%error, "cannot start yet; trying again");
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

fn report(fail: &watch::Sender<Option<Arc<EngineError>>>, error: EngineError) {
    tracing::error!(%error, "the write side cannot go on");
    fail.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert_with(|| Arc::new(error));
        is_first
    });
}
