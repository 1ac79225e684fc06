//! Erasing a person: the key of all that is sealed about them is thrown away, and what was never sealed, because
//! producers wrote it, is removed.
//!
//! In this order: the mark in place of the key, from which on nobody opens anything and nothing new is kept (`mark`);
//! commands that came before it are waited for until they are decided (`decided`); what the log has about them, for the
//! receipt (`survey`); unique values are given up (`release`); commands that are decided, and dead letters, are removed
//! (`remove`); at last the key itself is compacted away, and looked for until it is gone (`forget`). Each step can be done
//! again, and so can all of it.

mod decided;
mod forget;
pub(crate) mod mark;
mod receipt;
pub(crate) mod release;
mod remove;
mod rows;
mod settings;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use foldline_core::{AggregateId, AggregateInfo, AggregateType, Domains};
use rdkafka::error::KafkaError;
use tokio::task::spawn_blocking;

pub use self::receipt::{Offsets, Receipt, Released, Removed};
use crate::broker::{AppendError, Broker, KafkaBroker};
use crate::failpoints::reached;
use crate::follower::FollowError;
use crate::keys::subject_name;
use crate::runtime::{Runtime, Threads};
use crate::{Cluster, KafkaSettings, RegistryError, TopicsError, find_topics};

/// How long Kafka, or a command handler, may take for a step.
const STEP_MAX: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Who is to be erased: an aggregate whose type others name as their `SUBJECT`, or its own.
#[derive(Clone)]
pub struct Person {
    /// The type.
    pub aggregate: Arc<dyn AggregateType>,
    /// Which one.
    pub id: AggregateId,
}

/// A person cannot be erased, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Not the path of a person.
    #[error("{given:?} names nobody of whom there are personal values; give a path, as in {example}")]
    NoSubject {
        /// What was given.
        given: String,
        /// What it could be.
        example: String,
    },
    /// Nothing is known of them.
    #[error("nothing is known of {0}: there is no key and no event of it")]
    Unknown(String),
    /// Nobody decides the commands that lie before the records that are to be removed.
    #[error(
        "commands of {topic}/{partition} are not decided yet, and cannot be removed: is a command handler running?"
    )]
    Undecided {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Nobody has given up a unique value.
    #[error("{claim} in {topic} is not given up: is a command handler running?")]
    NotReleased {
        /// The claims' topic of commands.
        topic: String,
        /// The claim.
        claim: AggregateId,
    },
    /// The key was not compacted away.
    #[error(
        "the key in {topic} is marked as erased, but still lies at offset {offset}: does Kafka's log cleaner run?"
    )]
    KeyStays {
        /// The topic.
        topic: String,
        /// Where it lies.
        offset: i64,
    },
    /// Kafka refuses.
    #[error("Kafka refuses to {doing}: {reason}")]
    Refused {
        /// What was asked.
        doing: String,
        /// Why not.
        reason: String,
    },
    /// Kafka does not answer.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// Kafka does not say that it has a record. It may have it: the erasure is to be asked for again.
    #[error("Kafka has not acknowledged a record: {0}")]
    NotTaken(String),
    /// See [`TopicsError`].
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// See [`RegistryError`].
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The log cannot be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A value does not fit its schema: a bug.
    #[error(transparent)]
    Encode(#[from] foldline_core::EncodeError),
}

/// What all steps need.
struct Work {
    kafka: KafkaSettings,
    broker: Arc<dyn Broker>,
    runtime: Arc<dyn Runtime>,
    cluster: Cluster,
    /// The types with personal values about such people, that one among them.
    types: Vec<Arc<dyn AggregateType>>,
    domains: Domains,
    subject: Person,
}

impl From<AppendError> for EraseError {
    fn from(error: AppendError) -> Self {
        Self::NotTaken(error.to_string())
    }
}

impl Person {
    /// Finds the person at a path of the API, `/customers/8659a0d6`.
    pub fn at(domains: &Domains, path: &str) -> Result<Self, EraseError> {
        let subjects = || {
            domains
                .aggregates()
                .iter()
                .filter(|kind| kind.info().is_subject())
        };
        let found = subjects().find_map(|kind| {
            let id = path.strip_prefix(kind.info().path)?.strip_prefix('/')?;
            Some((Arc::clone(kind), id.parse().ok()?))
        });
        let example = || {
            subjects()
                .next()
                .map_or("none", |kind| kind.info().path)
                .to_owned()
                + "/{id}"
        };
        match found {
            Some((aggregate, id)) => Ok(Self { aggregate, id }),
            None => Err(EraseError::NoSubject {
                given: path.to_owned(),
                example: example(),
            }),
        }
    }

    fn info(&self) -> &AggregateInfo {
        self.aggregate.info()
    }

    /// As its key is called.
    fn name(&self) -> String {
        subject_name(self.info(), &self.id)
    }
}

/// Erases a person. `tell` is told what is being done. `done` has the receipt, from the mark on, also when it ends with an
/// error: what one run has given up and removed, no later one finds.
pub async fn erase(
    kafka: &KafkaSettings,
    domains: &Domains,
    subject: Person,
    done: &mut Option<Receipt>,
    tell: impl Fn(&str),
) -> Result<(), EraseError> {
    let work = Arc::new(Work::new(kafka, domains, subject).await?);
    tell("marking the key as erased");
    let mut key = work.mark().await?;
    let receipt = done.insert(Receipt::begun(&work, &key));
    reached("marked");
    tell("waiting until all commands from before are decided");
    work.wait_until_decided().await?;
    if key.keys_at.is_empty() {
        // Who had no key may have got one from a worker that had not heard of the mark; of both Kafka keeps the later one.
        key = work.mark().await?;
        receipt.names(&key);
    }
    tell("reading what the log has about the subject");
    let found = work.survey(&key).await?;
    found.told(receipt);
    reached("surveyed");
    tell("giving up unique values");
    work.release(&found, &mut receipt.released).await?;
    reached("released");
    tell("removing commands that are decided, and dead letters");
    work.remove(&mut receipt.removed).await?;
    reached("removed");
    tell("waiting until Kafka has compacted the key away");
    work.forget(&key).await?;
    reached("forgotten");
    receipt.gone_from_disk_by = work.gone_by().await?;
    receipt.is_complete = true;
    Ok(())
}

impl Work {
    async fn new(kafka: &KafkaSettings, domains: &Domains, subject: Person) -> Result<Self, EraseError> {
        let cluster = find_topics(kafka, domains).await?;
        let about = subject.info();
        let is_about = |info: &AggregateInfo| {
            info.is_personal && info.domain == about.domain && info.subject == about.name
        };
        let types = domains.aggregates().iter().filter(|kind| is_about(kind.info()));
        Ok(Self {
            kafka: kafka.clone(),
            broker: Arc::new(KafkaBroker::new(kafka)),
            runtime: Arc::new(Threads::current()),
            types: types.cloned().collect(),
            domains: domains.clone(),
            cluster,
            subject,
        })
    }

    fn seam(&self) -> (&dyn Broker, &dyn Runtime) {
        (&*self.broker, &*self.runtime)
    }

    fn partitions(&self, info: &AggregateInfo) -> i32 {
        let found = self.cluster.partitions.get(&info.qualified_name());
        found.copied().unwrap_or_default()
    }
}

/// Does what blocks where that is allowed.
async fn blocking<T: Send + 'static>(
    work: &Arc<Work>,
    run: impl FnOnce(&Work) -> Result<T, EraseError> + Send + 'static,
) -> Result<T, EraseError> {
    let work = Arc::clone(work);
    let done = spawn_blocking(move || run(&work)).await;
    done.expect("a step of an erasure does not panic")
}

#[cfg(test)]
mod tests;
