//! Dead letters: records of command topics that were no commands, for the person who settles them.
//!
//! What is done about one is noted in the dead-letter topic itself, by a record that names the letter: so everybody who
//! reads the topic sees what is still open, and nothing has to be deleted. A letter that is handed in again and its note
//! are one transaction.

mod reading;

use foldline_core::{AggregateId, AggregateInfo, AggregateType, Domains, Timestamp, partition_of};
use rdkafka::error::KafkaError;

pub use self::reading::Content;
use crate::broker::Record;
use crate::follower::FollowError;
use crate::producer::{TransactionError, TransactionalProducer};
use crate::worker::LEFT_OUT;
use crate::{Cluster, KafkaSettings, ReadError, RegistryError};

/// What begins the headers that say where and why a letter was set aside.
pub(crate) const ERRORS: &str = "__foldline.errors.";
/// In a note: the offset of the letter that it is about, in the same partition.
const NOTE_OF: &str = "__foldline.dlq.of";
/// In a note: what was done.
const NOTE_DONE: &str = "__foldline.dlq.done";
/// In a note: why.
const NOTE_REASON: &str = "__foldline.dlq.reason";

/// Headers, in their order.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record that was no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The aggregate type whose command topic it was on, by its qualified name.
    pub aggregate: String,
    /// The partition of the dead-letter topic.
    pub partition: i32,
    /// Where it lies there.
    pub offset: i64,
    /// When it was set aside.
    pub set_aside_at: Option<Timestamp>,
    /// Its key, as found.
    pub key: Option<Vec<u8>>,
    /// Its value, as found.
    pub value: Option<Vec<u8>>,
    /// Its headers, as found; then those that say where and why it was set aside.
    pub headers: Headers,
    /// What was done about it; `None` while it is open.
    pub note: Option<Note>,
}

/// What was done about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub done: Done,
    /// Why, if somebody said so.
    pub reason: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// What can be done about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was handed in again.
    Retried,
    /// It was given up.
    Dropped,
}

impl Done {
    /// `retried`, `dropped`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Dropped => "dropped",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Retried, Self::Dropped]
            .into_iter()
            .find(|done| done.name() == text)
    }
}

impl DeadLetter {
    /// Why it is no command.
    pub fn reason(&self) -> String {
        self.header("__foldline.errors.reason").unwrap_or_default()
    }

    /// The partition and the offset in the command topic, at which it was found.
    pub fn found_at(&self) -> Option<(i32, i64)> {
        let number = |name: &str| self.header(name);
        let partition = number("__foldline.errors.partition")?.parse().ok()?;
        Some((partition, number("__foldline.errors.offset")?.parse().ok()?))
    }

    /// What it lacks of the record that it was, if that had no room: of its value, headers and key.
    pub fn left_out(&self) -> Option<String> {
        self.header(LEFT_OUT)
    }

    /// The headers that it had before it was set aside.
    pub fn own_headers(&self) -> impl Iterator<Item = &(String, Option<Vec<u8>>)> {
        self.headers.iter().filter(|(name, _)| !name.starts_with(ERRORS))
    }

    fn header(&self, name: &str) -> Option<String> {
        // Ours come after whatever the record had.
        let found = self.headers.iter().rfind(|(known, _)| known == name)?;
        Some(String::from_utf8_lossy(found.1.as_deref()?).into_owned())
    }
}

/// Dead letters cannot be read, or nothing was done about one.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The program has no such aggregate type.
    #[error("there is no aggregate type {0:?}")]
    NoAggregate(String),
    /// Nothing lies there that could be settled.
    #[error("{topic} has no dead letter in partition {partition} at offset {offset}")]
    NotThere {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// It is not all that was found.
    #[error("its {0} had no room in a dead letter: send the record again from where it was found")]
    Cut(String),
    /// Something was done about it before.
    #[error("it was {} before{}", .0.done.name(), because(&.0.reason))]
    Settled(Note),
    /// Kafka does not answer.
    #[error("Kafka at {servers} does not answer: {source}")]
    Unavailable {
        /// Who was asked.
        servers: String,
        /// What is wrong.
        source: KafkaError,
    },
    /// Nothing was written.
    #[error("nothing was done: {0}")]
    NotDone(String),
    /// It may have been written.
    #[error("it is not known whether it was done, `foldline dlq list` tells: {0}")]
    Unknown(String),
    /// The schemas cannot be looked up.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
    /// See [`FollowError`].
    #[error(transparent)]
    Follow(#[from] FollowError),
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        return String::new();
    }
    format!(": {reason}")
}

/// The dead letters of every aggregate type. Blocking: not to be used on a thread of the runtime.
pub struct DeadLetters {
    kafka: KafkaSettings,
    domains: Domains,
    cluster: Cluster,
}

impl DeadLetters {
    /// On this cluster. Nothing is read yet.
    pub fn new(kafka: &KafkaSettings, domains: &Domains, cluster: Cluster) -> Self {
        Self {
            kafka: kafka.clone(),
            domains: domains.clone(),
            cluster,
        }
    }

    /// Every letter of every aggregate type, with what was done about it, in the order of types and partitions.
    pub fn all(&self) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut all = Vec::new();
        for aggregate in self.domains.aggregates() {
            all.extend(self.of(aggregate.as_ref(), None)?);
        }
        Ok(all)
    }

    /// One of them.
    pub fn get(&self, aggregate: &str, partition: i32, offset: i64) -> Result<DeadLetter, DeadLetterError> {
        let kind = self.aggregate(aggregate)?;
        let letters = self.of(kind, Some(partition))?;
        let found = letters.into_iter().find(|letter| letter.offset == offset);
        found.ok_or_else(|| DeadLetterError::NotThere {
            topic: self.kafka.topics().dead_letters(kind.info()),
            partition,
            offset,
        })
    }

    /// Hands it in again, as it was found, to the partition of its key. Once: a second time it is refused.
    pub fn retry(&self, aggregate: &str, partition: i32, offset: i64) -> Result<(), DeadLetterError> {
        self.settle(aggregate, partition, offset, Done::Retried, "")
    }

    /// Gives it up.
    pub fn drop_letter(
        &self,
        aggregate: &str,
        partition: i32,
        offset: i64,
        reason: &str,
    ) -> Result<(), DeadLetterError> {
        self.settle(aggregate, partition, offset, Done::Dropped, reason)
    }

    fn settle(
        &self,
        aggregate: &str,
        partition: i32,
        offset: i64,
        done: Done,
        reason: &str,
    ) -> Result<(), DeadLetterError> {
        let info = self.aggregate(aggregate)?.info();
        let topic = self.kafka.topics().dead_letters(info);
        // Whoever is at the same partition is fenced by this, so that what is read next is all that there will be.
        let id = format!("{topic}-{partition}-settled");
        let producer = TransactionalProducer::new(&self.kafka, &id);
        let mut producer =
            producer.map_err(|error| self.away(KafkaError::ClientCreation(error.to_string())))?;
        let letter = self.get(aggregate, partition, offset)?;
        if let Some(note) = letter.note {
            return Err(DeadLetterError::Settled(note));
        }
        if let Some(left_out) = letter.left_out().filter(|_| done == Done::Retried) {
            return Err(DeadLetterError::Cut(left_out));
        }
        producer.begin().map_err(not_done)?;
        if done == Done::Retried {
            let command_topic = self.kafka.topics().commands(info);
            let record = Record {
                topic: &command_topic,
                partition: self.target(info, &letter),
                key: letter.key.clone().map(Into::into),
                value: letter.value.clone().map(Into::into),
                headers: headers(letter.own_headers()),
                number: 0,
            };
            producer.send(record).map_err(not_done)?;
        }
        let note = [
            (NOTE_OF, offset.to_string()),
            (NOTE_DONE, done.name().to_owned()),
            (NOTE_REASON, reason.to_owned()),
        ];
        let note = note.map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
        let record = Record {
            topic: &topic,
            partition,
            key: letter.key.clone().map(Into::into),
            value: None,
            headers: headers(note.iter()),
            number: 0,
        };
        producer.send(record).map_err(not_done)?;
        producer.commit_alone().map_err(not_done)
    }

    /// The partition that the letter's key belongs to; the one in which it was found if the key belongs nowhere.
    fn target(&self, info: &AggregateInfo, letter: &DeadLetter) -> i32 {
        let key = letter
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok());
        let id: Option<AggregateId> = key.and_then(|key| key.parse().ok());
        match (id, self.cluster.partitions.get(&info.qualified_name())) {
            (Some(id), Some(partitions)) => partition_of(&id, *partitions),
            _ => letter
                .found_at()
                .map_or(letter.partition, |(partition, _)| partition),
        }
    }

    fn aggregate(&self, qualified: &str) -> Result<&dyn AggregateType, DeadLetterError> {
        let mut known = self.domains.aggregates().iter();
        let found = known.find(|aggregate| aggregate.info().qualified_name() == qualified);
        match found {
            Some(found) => Ok(found.as_ref()),
            None => Err(DeadLetterError::NoAggregate(qualified.to_owned())),
        }
    }

    fn away(&self, source: KafkaError) -> DeadLetterError {
        DeadLetterError::Unavailable {
            servers: self.kafka.bootstrap_servers.clone(),
            source,
        }
    }
}

fn not_done(error: TransactionError) -> DeadLetterError {
    match error {
        TransactionError::Unknown(_) => DeadLetterError::Unknown(error.to_string()),
        TransactionError::Aborted(_) | TransactionError::Fenced(_) => {
            DeadLetterError::NotDone(error.to_string())
        }
    }
}

fn headers<'a>(all: impl Iterator<Item = &'a (String, Option<Vec<u8>>)>) -> krafka::Headers {
    all.map(|(key, value)| (key.clone(), value.clone().map(Into::into)))
        .collect()
}
