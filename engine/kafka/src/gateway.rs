//! Hands commands in, and answers out.

use std::sync::Arc;
use std::time::Duration;

use foldline_core::{
    AggregateId, AggregateType, AnyCommand, CommandMeta, CommandResult, EncodeError, Sequence, State,
};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::KafkaSettings;
use crate::catalog::{Catalog, Installed};
use crate::registry::begin_wire_format;
use crate::store::{Store, StoreError};
use crate::waiters::Waiters;

/// How long Kafka may take to take a command. Below the time that HTTP clients wait.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// The way in for commands, and the way to what this process knows. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    catalog: Arc<Catalog>,
    store: Store,
    waiters: Arc<Waiters>,
    producer: FutureProducer,
}

/// A command that is in the log and will be decided.
#[must_use]
pub struct Pending {
    command_id: Uuid,
    answer: oneshot::Receiver<CommandResult>,
    waiters: Arc<Waiters>,
}

/// What is known of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandStatus {
    /// Nothing.
    Unknown,
    /// It was handed in here and is not decided yet.
    Pending,
    /// It is decided.
    Decided(Box<CommandResult>),
}

/// A command that was not handed in.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// As many commands are waited for as may be.
    #[error("{waiting} commands are waiting for their outcome already")]
    Full {
        /// How many.
        waiting: usize,
    },
    /// Kafka does not take it, or its answer was lost. It may be in the log all the same: send it again under
    /// the same id.
    #[error("Kafka did not acknowledge the command: {0}")]
    Unavailable(String),
    /// The aggregate type is not one of those that the engine was started with.
    #[error("{0} is not installed")]
    NotInstalled(String),
    /// A bug: a command of the type cannot be written by its schema.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Gateway {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        catalog: Arc<Catalog>,
        store: Store,
        waiters: Arc<Waiters>,
    ) -> Result<Self, KafkaError> {
        let producer = kafka
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("compression.codec", "lz4")
            .set("message.timeout.ms", ACKNOWLEDGED_MAX.as_millis().to_string())
            .create()?;
        Ok(Self {
            shared: Arc::new(Shared {
                catalog,
                store,
                waiters,
                producer,
            }),
        })
    }

    /// Appends the command to its topic, and returns when Kafka has it for good.
    pub async fn submit(
        &self,
        aggregate: &Arc<dyn AggregateType>,
        mut meta: CommandMeta,
        command: &AnyCommand,
    ) -> Result<Pending, SubmitError> {
        let shared = &self.shared;
        let installed = self.installed(aggregate.as_ref())?;
        let mut value = Vec::with_capacity(256);
        begin_wire_format(installed.commands.reader.own_id(), &mut value);
        aggregate.encode_command(&mut meta, command, &mut value)?;
        let command_id = meta.command_id;
        let answer = shared.waiters.wait(command_id);
        let answer = answer.ok_or_else(|| SubmitError::Full {
            waiting: shared.waiters.count(),
        })?;
        // Before the first await: whoever drops this future waits no longer.
        let pending = Pending {
            command_id,
            answer,
            waiters: Arc::clone(&shared.waiters),
        };
        let record = FutureRecord::to(&installed.commands.name)
            .partition(installed.slice_of(&meta.aggregate_id).partition)
            .key(meta.aggregate_id.as_str())
            .payload(&value);
        let sent = shared.producer.send(record, Duration::ZERO).await;
        sent.map_err(|(error, _)| SubmitError::Unavailable(error.to_string()))?;
        Ok(pending)
    }

    /// What is known here of a command.
    pub fn status(&self, command_id: Uuid) -> Result<CommandStatus, StoreError> {
        let shared = &self.shared;
        for installed in shared.catalog.types() {
            for slice in installed.slices() {
                if let Some(result) = shared.store.result(installed, slice, command_id)? {
                    return Ok(CommandStatus::Decided(Box::new(result)));
                }
            }
        }
        let waiting = shared.waiters.is_waiting(command_id);
        Ok(if waiting {
            CommandStatus::Pending
        } else {
            CommandStatus::Unknown
        })
    }

    /// An aggregate's state and sequence, as this process knows them; `None` if it does not exist.
    pub fn state(
        &self,
        aggregate: &Arc<dyn AggregateType>,
        id: &AggregateId,
    ) -> Result<Option<(State, Sequence)>, StoreError> {
        match self.shared.catalog.of(aggregate.as_ref()) {
            Some(installed) => self.shared.store.state(installed, id),
            None => Ok(None),
        }
    }

    /// Asks Kafka for something small. Blocks until it has answered, or has not for too long.
    pub(crate) fn is_kafka_there(&self, at_most: Duration) -> bool {
        let topic = self
            .shared
            .catalog
            .types()
            .first()
            .map(|installed| installed.commands.name.as_str());
        self.shared
            .producer
            .client()
            .fetch_metadata(topic, at_most)
            .is_ok()
    }

    /// The cluster that tokens must come from.
    pub fn cluster_id(&self) -> &str {
        &self.shared.catalog.cluster_id
    }

    fn installed(&self, aggregate: &dyn AggregateType) -> Result<&Arc<Installed>, SubmitError> {
        let name = || SubmitError::NotInstalled(aggregate.info().qualified_name());
        self.shared.catalog.of(aggregate).ok_or_else(name)
    }
}

impl Pending {
    /// The command.
    pub fn command_id(&self) -> Uuid {
        self.command_id
    }

    /// Waits for the outcome. `None` if it has not come by then: it will, and can be asked for by its id.
    pub async fn wait(mut self, at_most: Duration) -> Option<CommandResult> {
        tokio::time::timeout(at_most, &mut self.answer).await.ok()?.ok()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer.close();
        self.waiters.give_up(self.command_id);
    }
}
