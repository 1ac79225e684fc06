//! The results of which no event tells: of refused commands, and of those that something else has caused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::{AggregateType, CommandResult, RecordCodec, result_codec};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message, OwnedMessage};
use tokio::task::spawn_blocking;

use crate::event_log::{LogContext, assign};
use crate::{Cluster, EventLogError, KafkaSettings, ReadError, RecordReader, Registry, RegistryError};

/// A header of each result: `accepted` or `refused`. So whoever wants only refusals need not decode the rest.
pub(crate) const OUTCOME: &str = "foldline_outcome";
/// A header of the result of a command that something else has caused: the cause.
pub(crate) const CAUSATION: &str = "foldline_causation";

/// The result topics of some aggregate types, read beside an [`EventLog`](crate::EventLog), and in the same way.
pub struct ResultLog {
    consumer: BaseConsumer<LogContext>,
    topics: HashMap<String, Topic>,
    /// A record that could not be read while the registry was away.
    waiting: Option<OwnedMessage>,
}

/// A result that tells what no event does.
pub struct ResultRecord {
    /// The aggregate type, by its qualified name.
    pub aggregate: String,
    /// The partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// The result.
    pub result: CommandResult,
}

/// What was read.
#[derive(Default)]
pub struct ResultBatch {
    /// The results that tell something.
    pub results: Vec<ResultRecord>,
    /// How far that is: for each aggregate type (qualified) and partition that was read, the offset to read next.
    pub next: HashMap<(String, i32), i64>,
    /// How many records were looked at.
    pub seen: usize,
}

struct Topic {
    qualified: String,
    reader: RecordReader,
    codec: RecordCodec,
}

impl ResultLog {
    /// Opens the topics; `start` is as in [`EventLog::open`](crate::EventLog::open).
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
            let (name, codec) = (names.results(aggregate.info()), result_codec(aggregate.info()));
            let reader = RecordReader::registered(&registry, &name, &codec).await?;
            let qualified = aggregate.info().qualified_name();
            let partitions = cluster.partitions.get(&qualified).copied().unwrap_or_default();
            starts.extend((0..partitions).map(|p| ((name.clone(), p), start(&qualified, p))));
            topics.insert(
                name,
                Topic {
                    qualified,
                    reader,
                    codec,
                },
            );
        }
        let kafka = kafka.clone();
        let (consumer, _) = spawn_blocking(move || assign(&kafka, &starts))
            .await
            .expect("asking for offsets does not panic")?;
        Ok(Self {
            consumer,
            topics,
            waiting: None,
        })
    }

    /// Takes what is there, at most `max_records`, and waits for nothing. Kafka or the registry being away is outlasted.
    pub fn poll(&mut self, max_records: usize) -> Result<ResultBatch, EventLogError> {
        let mut batch = ResultBatch::default();
        if let Some(message) = self.waiting.take()
            && self.take(&message, &mut batch).is_err()
        {
            self.waiting = Some(message);
            return Ok(batch);
        }
        while batch.seen < max_records {
            let message = match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(
                    error @ (KafkaError::MessageConsumptionFatal(_)
                    | KafkaError::MessageConsumption(
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                    )),
                )) => return Err(EventLogError::Client(error)),
                Some(Err(error)) => {
                    tracing::debug!(%error, "reading results is disturbed");
                    break;
                }
            };
            if let Err(away) = self.take(&message, &mut batch) {
                tracing::warn!(error = %away, "results cannot be read now");
                self.waiting = Some(message.detach());
                break;
            }
        }
        Ok(batch)
    }

    /// An error only if nothing can be said about the record now, because the registry is away.
    fn take(&self, message: &impl Message, batch: &mut ResultBatch) -> Result<(), RegistryError> {
        let topic = self
            .topics
            .get(message.topic())
            .expect("only our topics are read");
        if tells(message) {
            match topic.decode(message.payload()) {
                Ok(result) => batch.results.push(ResultRecord {
                    aggregate: topic.qualified.clone(),
                    partition: message.partition(),
                    offset: message.offset(),
                    result,
                }),
                Err(ReadError::Registry(away)) => return Err(away),
                // The engine alone writes here: it is somebody's tampering, and `foldline verify` says more.
                Err(error) => tracing::error!(
                    topic = message.topic(),
                    partition = message.partition(),
                    offset = message.offset(),
                    %error,
                    "a result cannot be read, and is not in the history"
                ),
            }
        }
        batch.seen += 1;
        let place = (topic.qualified.clone(), message.partition());
        batch.next.insert(place, message.offset() + 1);
        Ok(())
    }
}

impl Topic {
    fn decode(&self, value: Option<&[u8]>) -> Result<CommandResult, ReadError> {
        let datum = self.reader.datum(&self.codec, value.unwrap_or_default())?;
        self.codec.decode_meta(&datum).map_err(ReadError::from)
    }
}

/// Whether its events do not say it all. A result without our headers is looked into.
fn tells(message: &impl Message) -> bool {
    let Some(headers) = message.headers() else {
        return true;
    };
    let has = |key: &str, value: Option<&str>| {
        let mut headers = headers.iter();
        headers.any(|header| {
            header.key == key && value.is_none_or(|value| header.value == Some(value.as_bytes()))
        })
    };
    !has(OUTCOME, Some("accepted")) || has(CAUSATION, None)
}
