//! The events, as they stand on their topics: what projectors read.

mod consumer;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use foldline_core::{AggregateId, AggregateType, DecodedEvent};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message, OwnedMessage};
use tokio::task::spawn_blocking;

pub(crate) use self::consumer::{LogContext, assign};
use self::consumer::{check_range, range};
use crate::{Cluster, KafkaSettings, ReadError, RecordReader, Registry, RegistryError};

/// How often it is said that reading is disturbed.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// The event topics of some aggregate types, every partition of them, from given offsets on.
///
/// Without a consumer group: who reads keeps the offsets beside what it makes of the events, so that both
/// move together. Only what is committed is read. Blocking: it belongs on a thread of its own, and must not
/// be used on a thread of the async runtime.
pub struct EventLog {
    consumer: BaseConsumer<LogContext>,
    topics: HashMap<String, Topic>,
    /// A record that could not be read while the registry was away. It comes first once that is back.
    waiting: Option<OwnedMessage>,
    /// When it was last said that reading is disturbed; `None` if it is not.
    disturbed: Option<Instant>,
    /// Where reading began.
    starts: HashMap<Place, i64>,
    /// The partitions whose end, as it was at the start, has not been reached yet.
    ahead: HashMap<Place, i64>,
}

/// An event, or what stands where one should be.
pub struct LogRecord {
    /// The type whose topic it stands on.
    pub aggregate: Arc<dyn AggregateType>,
    /// The partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// The aggregate, by the record's key; `None` if the key is no id.
    pub id: Option<AggregateId>,
    /// When it was written, in milliseconds since 1970, by the clock of its writer.
    pub timestamp: Option<i64>,
    /// The trace that it belongs to (W3C trace context), if its command came with one.
    pub traceparent: Option<String>,
    /// The event.
    pub event: Result<DecodedEvent, Unreadable>,
    /// See [`text`](Self::text); empty until that is asked for.
    pub text: OnceLock<String>,
}

impl LogRecord {
    /// The event as the API shows it; `None` if there is none. It is written by the thread that asks first: whoever reads ahead
    /// of others has the time for it.
    pub fn text(&self) -> Option<&str> {
        let event = self.event.as_ref().ok()?;
        Some(self.text.get_or_init(|| self.aggregate.event_text(event)))
    }
}

/// A record that is no event of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Why it cannot be read.
    pub reason: String,
    /// Its key, as found.
    pub key: Option<Vec<u8>>,
    /// Its value, as found.
    pub value: Option<Vec<u8>>,
}

/// How far a partition has been read.
#[derive(Clone)]
pub struct Progress {
    /// The type whose topic it is.
    pub aggregate: Arc<dyn AggregateType>,
    /// The partition.
    pub partition: i32,
    /// The offset that is read next.
    pub position: i64,
    /// The end of what is committed, at most a second ago.
    pub end: i64,
}

/// The events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// Kafka does not answer.
    #[error("Kafka at {servers} does not answer: {source}")]
    Unavailable {
        /// Who was asked.
        servers: String,
        /// What is wrong.
        source: KafkaError,
    },
    /// See [`RegistryError`].
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Records that have not been read are gone, or there are fewer than have been read.
    #[error(
        "{topic} partition {partition} is to be read from offset {position} on, but holds {low} to {high}: \
         events were removed, or the topic was made anew; nothing that is built from here on could be right"
    )]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where we want to read.
        position: i64,
        /// The first offset that is there.
        low: i64,
        /// The first one that is not there any more.
        high: i64,
    },
    /// The client cannot go on.
    #[error("the Kafka client cannot go on: {0}")]
    Client(#[source] KafkaError),
}

type Place = (String, i32);

struct Topic {
    aggregate: Arc<dyn AggregateType>,
    reader: RecordReader,
}

/// Why a record was not read.
enum Failure {
    /// Nothing can be said now.
    Away(RegistryError),
    /// It is no event of ours.
    Bad(String),
}

impl EventLog {
    /// Opens the topics. `start` gives, for an aggregate type's qualified name and a partition, the offset to
    /// begin at; one that is not there is an error, never a silent jump to another place.
    pub async fn open(
        kafka: &KafkaSettings,
        aggregates: &[Arc<dyn AggregateType>],
        cluster: &Cluster,
        start: impl Fn(&str, i32) -> i64,
    ) -> Result<Self, EventLogError> {
        let names = kafka.topics();
        let registry = Registry::new(kafka)?;
        let (mut topics, mut starts) = (HashMap::new(), HashMap::new());
        for aggregate in aggregates {
            let name = names.events(aggregate.info());
            let reader = RecordReader::registered(&registry, &name, aggregate.event_codec()).await?;
            let qualified = aggregate.info().qualified_name();
            let partitions = cluster.partitions.get(&qualified).copied().unwrap_or_default();
            starts.extend((0..partitions).map(|p| ((name.clone(), p), start(&qualified, p))));
            let aggregate = Arc::clone(aggregate);
            topics.insert(name, Topic { aggregate, reader });
        }
        let (kafka, places) = (kafka.clone(), starts.clone());
        let (consumer, ahead) = spawn_blocking(move || assign(&kafka, &places))
            .await
            .expect("asking for offsets does not panic")?;
        Ok(Self {
            consumer,
            topics,
            waiting: None,
            disturbed: None,
            starts,
            ahead,
        })
    }

    /// Takes what is there, at most `max_records`; waits up to `max_wait` for the first one. The records of a
    /// partition come in order. Kafka or the registry being away is logged and outlasted: nothing comes then.
    pub fn poll(&mut self, max_records: usize, max_wait: Duration) -> Result<Vec<LogRecord>, EventLogError> {
        let deadline = Instant::now() + max_wait;
        let mut records = Vec::new();
        if let Some(message) = self.waiting.take() {
            match self.read(&message) {
                Ok(record) => records.push(record),
                Err(away) => {
                    self.waiting = Some(message);
                    self.say(&away);
                    std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
                    return Ok(records);
                }
            }
        }
        while records.len() < max_records {
            let wait = match records.is_empty() {
                true => in_milliseconds(deadline.saturating_duration_since(Instant::now())),
                false => Duration::ZERO,
            };
            let error = match self.consumer.poll(wait) {
                None => break,
                Some(Err(error)) => error,
                Some(Ok(message)) => match self.read(&message) {
                    Ok(record) => {
                        records.push(record);
                        continue;
                    }
                    Err(_) => {
                        self.waiting = Some(message.detach());
                        break;
                    }
                },
            };
            self.outlast(error)?;
        }
        if !records.is_empty() && self.disturbed.take().is_some() {
            tracing::info!("events are read again");
        }
        Ok(records)
    }

    /// Whether all that was there when the log was opened has been handed out.
    pub fn has_caught_up(&mut self) -> bool {
        if !self.ahead.is_empty() && self.waiting.is_none() {
            let positions = self.positions();
            self.ahead
                .retain(|place, end| positions.get(place).is_none_or(|position| position < end));
        }
        self.ahead.is_empty()
    }

    /// How far each partition has been read. Asks nobody.
    pub fn progress(&self) -> Vec<Progress> {
        let ends = self.consumer.context().ends();
        let of = |((topic, partition), position): (Place, i64)| {
            let end = ends.get(&(topic.clone(), partition)).copied();
            Some(Progress {
                aggregate: Arc::clone(&self.topics.get(&topic)?.aggregate),
                partition,
                position,
                end: end.unwrap_or_default().max(position),
            })
        };
        self.positions().into_iter().filter_map(of).collect()
    }

    /// The offset that is read next in each partition; transaction markers count as read.
    fn positions(&self) -> HashMap<Place, i64> {
        let mut positions = self.starts.clone();
        if let Ok(read) = self.consumer.position() {
            for (place, offset) in read.to_topic_map() {
                if let Offset::Offset(offset) = offset {
                    positions.insert(place, offset);
                }
            }
        }
        positions
    }

    /// An error only if nothing can be said about the record now, because the registry is away.
    fn read(&self, message: &impl Message) -> Result<LogRecord, RegistryError> {
        let topic = self
            .topics
            .get(message.topic())
            .expect("only our topics are read");
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        let id: Option<AggregateId> = key.and_then(|key| key.parse().ok());
        let event = match topic.decode(id.as_ref(), message.payload()) {
            Ok(event) => Ok(event),
            Err(Failure::Away(error)) => return Err(error),
            Err(Failure::Bad(reason)) => Err(Unreadable {
                reason,
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
            }),
        };
        Ok(LogRecord {
            aggregate: Arc::clone(&topic.aggregate),
            partition: message.partition(),
            offset: message.offset(),
            id,
            timestamp: message.timestamp().to_millis(),
            traceparent: traceparent(message),
            event,
            text: OnceLock::new(),
        })
    }

    /// Most errors pass: librdkafka connects again by itself, and tells of each try.
    fn outlast(&mut self, error: KafkaError) -> Result<(), EventLogError> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => Err(EventLogError::Client(error)),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => Err(self.out_of_range(error)),
            error => {
                self.say(&error);
                Ok(())
            }
        }
    }

    /// Says that reading is disturbed; not each time.
    fn say(&mut self, error: &dyn std::error::Error) {
        if self.disturbed.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
            tracing::warn!(%error, "reading events is disturbed, and goes on as soon as it can");
            self.disturbed = Some(Instant::now());
        }
    }

    /// Finds out where the log has been cut; the error itself does not say.
    fn out_of_range(&self, error: KafkaError) -> EventLogError {
        let cut = self.positions().into_iter().find_map(|(place, position)| {
            let range = range(&self.consumer, &place).ok()?;
            check_range(&place, position, range).err()
        });
        cut.unwrap_or(EventLogError::Client(error))
    }
}

/// Rounded up. librdkafka waits in whole milliseconds, and rdkafka asks for what is left of one without a pause: a reader of
/// which nothing is asked would have a hundredth of a core.
fn in_milliseconds(wait: Duration) -> Duration {
    let whole = wait.as_micros().div_ceil(1000);
    Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX))
}

fn traceparent(message: &impl Message) -> Option<String> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == "traceparent")?;
    String::from_utf8(header.value?.to_vec()).ok()
}

impl Topic {
    fn decode(&self, id: Option<&AggregateId>, value: Option<&[u8]>) -> Result<DecodedEvent, Failure> {
        let bad = |reason: String| Failure::Bad(reason);
        let id = id.ok_or_else(|| bad("its key is no aggregate id".to_owned()))?;
        let value = value.ok_or_else(|| bad("it has no value".to_owned()))?;
        let event = self.reader.event(self.aggregate.as_ref(), value);
        let event = event.map_err(|error| match error {
            ReadError::Registry(away) => Failure::Away(away),
            error => bad(error.to_string()),
        })?;
        if event.meta.aggregate_id != *id {
            return Err(bad(format!(
                "it is of {}, not of its key",
                event.meta.aggregate_id
            )));
        }
        Ok(event)
    }
}
