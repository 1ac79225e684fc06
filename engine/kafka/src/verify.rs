//! Reads the events and results of whole topics, and has them verified: from the topics alone, up to an end that is
//! fixed when a partition is begun, so that the system may write meanwhile.

mod ends;
mod partition;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use foldline_core::{AggregateType, Anchor, EventHash, Finding, PartitionReport, RecordCodec, result_codec};
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use self::ends::Offsets;
use self::partition::Pair;
use crate::{KafkaSettings, RecordReader, Registry, RegistryError};

/// What verifying the logs of some aggregate types has come to. Kept elsewhere, it is what a later one is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReport {
    /// One for each aggregate type.
    pub types: Vec<TypeReport>,
}

/// What there is to say of an aggregate type's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeReport {
    /// Its qualified name, `restaurant.orders`.
    pub aggregate_type: String,
    /// How many aggregates there are.
    pub aggregates: u64,
    /// How many events were read.
    pub events: u64,
    /// How many results were read.
    pub results: u64,
    /// Events that name no event before them, because their writers were older than the chain.
    pub unchained: u64,
    /// All of it in one hash: of what the anchors say, partition by partition, first the events.
    pub digest: EventHash,
    /// The events, partition by partition.
    pub event_anchors: Vec<Anchor>,
    /// The results, partition by partition.
    pub result_anchors: Vec<Anchor>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct VerifyProgress {
    /// Events that were read.
    pub events: u64,
    /// Results that were read.
    pub results: u64,
    /// How many offsets all partitions had at the beginning; those of transactions count too.
    pub offsets: u64,
    /// Since the beginning.
    pub elapsed: Duration,
}

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Kafka does not answer, or has no such topic.
    #[error("reading {topic}: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// What is wrong.
        source: KafkaError,
    },
    /// Nothing came for a long time.
    #[error("{topic}/{partition} does not come any further than offset {offset}: a transaction may be open")]
    Stuck {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Up to where it was read.
        offset: i64,
    },
    /// See [`RegistryError`].
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// An aggregate type's log.
struct Topics {
    aggregate: Arc<dyn AggregateType>,
    result_codec: RecordCodec,
    events: Topic,
    results: Topic,
    partitions: i32,
    expected: Option<TypeReport>,
}

struct Topic {
    name: String,
    reader: RecordReader,
}

/// What all threads share.
struct Work {
    kafka: KafkaSettings,
    topics: Vec<Topics>,
    /// The partitions that nobody has begun: the type's place, and the partition.
    open: Mutex<VecDeque<(usize, i32)>>,
    counts: Counts,
    is_failed: AtomicBool,
}

#[derive(Default)]
struct Counts {
    events: AtomicU64,
    results: AtomicU64,
}

const SAY_EVERY: Duration = Duration::from_millis(500);

/// Verifies the logs of these types. `expected` is an earlier report, which says what must not have changed. Progress
/// is told twice a second, on a thread of its own.
pub async fn verify_logs(
    kafka: &KafkaSettings,
    aggregates: &[Arc<dyn AggregateType>],
    expected: Option<&LogReport>,
    progress: impl Fn(VerifyProgress) + Send + Sync + 'static,
) -> Result<LogReport, VerifyError> {
    let registry = Registry::new(kafka)?;
    let mut topics = Vec::new();
    for aggregate in aggregates {
        let name = aggregate.info().qualified_name();
        let of = |report: &&TypeReport| report.aggregate_type == name;
        let expected = expected.and_then(|report| report.types.iter().find(of));
        topics.push(Topics::open(kafka, &registry, aggregate, expected.cloned()).await?);
    }
    let kafka = kafka.clone();
    let work = move || Work::new(kafka, topics)?.run(&progress);
    spawn_blocking(work).await.expect("verifying does not panic")
}

impl Topics {
    async fn open(
        kafka: &KafkaSettings,
        registry: &Registry,
        aggregate: &Arc<dyn AggregateType>,
        expected: Option<TypeReport>,
    ) -> Result<Self, RegistryError> {
        let (info, names) = (aggregate.info(), kafka.topics());
        let topic = async |name: String, codec: &RecordCodec| {
            let reader = RecordReader::registered(registry, &name, codec).await?;
            Ok::<_, RegistryError>(Topic { name, reader })
        };
        let result_codec = result_codec(info);
        Ok(Self {
            events: topic(names.events(info), aggregate.event_codec()).await?,
            results: topic(names.results(info), &result_codec).await?,
            aggregate: Arc::clone(aggregate),
            result_codec,
            partitions: 0,
            expected,
        })
    }

    fn anchors(&self, partition: i32) -> (Option<Anchor>, Option<Anchor>) {
        let of = |anchors: &[Anchor]| {
            anchors
                .iter()
                .find(|anchor| anchor.partition == partition)
                .copied()
        };
        let report = self.expected.as_ref();
        (
            report.and_then(|report| of(&report.event_anchors)),
            report.and_then(|report| of(&report.result_anchors)),
        )
    }
}

impl Work {
    fn new(kafka: KafkaSettings, mut topics: Vec<Topics>) -> Result<Self, VerifyError> {
        let offsets = Offsets::open(&kafka)?;
        let mut open = VecDeque::new();
        for (index, topics) in topics.iter_mut().enumerate() {
            topics.partitions = offsets.partitions(&topics.events.name)?;
            open.extend((0..topics.partitions).map(|partition| (index, partition)));
        }
        Ok(Self {
            kafka,
            topics,
            open: Mutex::new(open),
            counts: Counts::default(),
            is_failed: AtomicBool::new(false),
        })
    }

    fn run(&self, progress: &(dyn Fn(VerifyProgress) + Sync)) -> Result<LogReport, VerifyError> {
        let (started_at, offsets) = (Instant::now(), self.offsets()?);
        let tell = || {
            progress(VerifyProgress {
                events: self.counts.events.load(Ordering::Relaxed),
                results: self.counts.results.load(Ordering::Relaxed),
                offsets,
                elapsed: started_at.elapsed(),
            });
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (running, ended) = mpsc::channel::<()>();
        let mut reports = std::thread::scope(|scope| {
            let worker = |running: mpsc::Sender<()>| {
                scope.spawn(move || {
                    let reports = self.work();
                    drop(running);
                    reports
                })
            };
            let workers: Vec<_> = (0..threads).map(|_| worker(running.clone())).collect();
            drop(running);
            while ended.recv_timeout(SAY_EVERY) == Err(RecvTimeoutError::Timeout) {
                tell();
            }
            let reports = workers
                .into_iter()
                .map(|worker| worker.join().expect("verifying does not panic"));
            reports.collect::<Result<Vec<_>, _>>()
        })?
        .concat();
        reports.sort_by_key(|(index, report)| (*index, report.events.partition));
        let of = |(index, topics): (usize, &Topics)| {
            let own = reports.iter().filter(|(of, _)| *of == index);
            TypeReport::of(topics, own.map(|(_, report)| report))
        };
        Ok(LogReport {
            types: self.topics.iter().enumerate().map(of).collect(),
        })
    }

    fn offsets(&self) -> Result<u64, VerifyError> {
        let offsets = Offsets::open(&self.kafka)?;
        let mut all = 0;
        for topics in &self.topics {
            for partition in 0..topics.partitions {
                for topic in [&topics.events, &topics.results] {
                    let (first, end) = offsets.written(&topic.name, partition)?;
                    all += u64::try_from(end - first).unwrap_or_default();
                }
            }
        }
        Ok(all)
    }

    /// Takes one partition after the other, until there is none left or something has failed.
    fn work(&self) -> Result<Vec<(usize, PartitionReport)>, VerifyError> {
        let worked = (|| {
            let (pair, mut reports) = (Pair::open(&self.kafka)?, Vec::new());
            while !self.is_failed.load(Ordering::Relaxed) {
                let next = self
                    .open
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some((index, partition)) = next else { break };
                reports.push((index, pair.verify(&self.topics[index], partition, &self.counts)?));
            }
            Ok(reports)
        })();
        if worked.is_err() {
            self.is_failed.store(true, Ordering::Relaxed);
        }
        worked
    }
}

impl TypeReport {
    fn of<'a>(topics: &Topics, partitions: impl Iterator<Item = &'a PartitionReport>) -> Self {
        let mut report = Self {
            aggregate_type: topics.aggregate.info().qualified_name(),
            aggregates: 0,
            events: 0,
            results: 0,
            unchained: 0,
            digest: EventHash::of(b""),
            event_anchors: Vec::new(),
            result_anchors: Vec::new(),
            findings: Vec::new(),
        };
        for partition in partitions {
            report.aggregates += partition.aggregates;
            report.events += partition.events.records;
            report.results += partition.results.records;
            report.unchained += partition.unchained;
            report.event_anchors.push(partition.events);
            report.result_anchors.push(partition.results);
            report.findings.extend_from_slice(&partition.findings);
        }
        let anchors = report.event_anchors.iter().chain(&report.result_anchors);
        let lines =
            anchors.map(|anchor| format!("{} {} {}\n", anchor.partition, anchor.records, anchor.digest));
        report.digest = EventHash::of(lines.collect::<String>().as_bytes());
        report
    }
}
