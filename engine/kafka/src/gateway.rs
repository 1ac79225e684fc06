//! Hands commands in, and answers out.

use std::sync::Arc;
use std::time::Duration;

use foldline_core::{
    AggregateId, AggregateType, AnyCommand, CommandMeta, CommandResult, DecodeError, EncodeError, Sequence,
    State,
};
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::broker::{Appender, Broker};
use crate::catalog::{Catalog, Installed};
use crate::registry::begin_wire_format;
use crate::seldom::Seldom;
use crate::store::StoreError;
use crate::waiters::{Asked, Waiters};
use crate::worker::{Rehearsed, Shared, rehearse};

/// The way in for commands, and the way to what this process knows. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

/// Appends commands to their topics.
pub(crate) struct Sender {
    catalog: Arc<Catalog>,
    waiters: Arc<Waiters>,
    appender: Box<dyn Appender>,
    seldom: Seldom,
}

/// A command that is in the log and will be decided.
#[must_use]
pub struct Pending {
    command_id: Uuid,
    pub(crate) answer: oneshot::Receiver<CommandResult>,
    waiters: Arc<Waiters>,
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
    /// Its worker could not read it, and would set it aside as a dead letter after it was acknowledged.
    #[error("the command could not be read from its topic: {0}")]
    Unreadable(#[from] DecodeError),
}

impl Sender {
    pub(crate) fn new(
        broker: &dyn Broker,
        catalog: Arc<Catalog>,
        waiters: Arc<Waiters>,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            catalog,
            waiters,
            appender: broker.appender()?,
            seldom: Seldom::default(),
        })
    }

    /// See [`Gateway::submit`].
    pub(crate) async fn submit(
        &self,
        aggregate: &dyn AggregateType,
        mut meta: CommandMeta,
        command: &AnyCommand,
        traceparent: Option<&str>,
    ) -> Result<Pending, SubmitError> {
        let installed = installed(&self.catalog, aggregate)?;
        let mut value = Vec::with_capacity(256);
        begin_wire_format(installed.commands.reader.own_id(), &mut value);
        let begun = value.len();
        aggregate.encode_command(&mut meta, command, &mut value)?;
        // What its worker will read. What that could not read is refused here: in the log, it would have no outcome.
        let read = aggregate.decode_command(&value[begun..])?;
        let asked = Asked {
            command_type: meta.command_type.clone(),
            aggregate_id: meta.aggregate_id.clone(),
            fingerprint: read.fingerprint,
            dry_run: meta.dry_run,
        };
        let answer = match aggregate.info().is_internal() {
            true => Some(self.waiters.wait_in_the_engine(meta.command_id, asked)),
            false => self.waiters.wait(meta.command_id, Some(asked)),
        };
        let answer = answer.ok_or_else(|| SubmitError::Full {
            waiting: self.waiters.count(),
        })?;
        // Before the first await: whoever drops this future waits no longer.
        let pending = Pending::new(&self.waiters, meta.command_id, answer);
        let trace = traceparent.map(|value| ("traceparent".to_owned(), Some(value.to_owned().into())));
        let headers = trace.into_iter().collect();
        let place = self.catalog.commands(installed.slice_of(&meta.aggregate_id));
        let appended = self
            .appender
            .append(place, meta.aggregate_id.as_str(), &value, headers);
        appended.await.map_err(|error| {
            // Its client is told too, and an operator has no other place to look.
            self.seldom
                .tell("command producer", &error, "a command was not taken");
            SubmitError::Unavailable(error.to_string())
        })?;
        Ok(pending)
    }

    /// Asks Kafka for something small. Blocks until it has answered, or has not for too long.
    pub(crate) fn is_kafka_there(&self, at_most: Duration) -> bool {
        let first = self.catalog.types().first();
        let topic = first.map(|installed| installed.commands.name.as_str());
        self.appender.is_there(topic, at_most)
    }
}

impl Gateway {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Appends the command to its topic, and returns when Kafka has it for good. `traceparent` (W3C trace context)
    /// goes with it, and with what it makes.
    pub async fn submit(
        &self,
        aggregate: &Arc<dyn AggregateType>,
        meta: CommandMeta,
        command: &AnyCommand,
        traceparent: Option<&str>,
    ) -> Result<Pending, SubmitError> {
        self.shared
            .sender
            .submit(aggregate.as_ref(), meta, command, traceparent)
            .await
    }

    /// What would become of the command at the sequence that its aggregate is at here. Nothing is written anywhere.
    /// On several instances, an aggregate that another one leads may be further on there by some milliseconds; the
    /// answer says at which sequence it was given.
    pub async fn rehearse(
        &self,
        aggregate: &Arc<dyn AggregateType>,
        meta: CommandMeta,
        command: &AnyCommand,
    ) -> Result<Rehearsed, SubmitError> {
        let installed = Arc::clone(installed(&self.shared.catalog, aggregate.as_ref())?);
        let mut meta = CommandMeta {
            dry_run: true,
            ..meta
        };
        let mut datum = Vec::with_capacity(256);
        aggregate.encode_command(&mut meta, command, &mut datum)?;
        let command = installed.aggregate.decode_command(&datum)?;
        let shared = Arc::clone(&self.shared);
        let rehearsed = tokio::task::spawn_blocking(move || rehearse(&shared, &installed, command)).await;
        rehearsed
            .expect("a decision's panic is caught")
            .map_err(SubmitError::Unavailable)
    }

    /// An aggregate's state and sequence, as this process knows them; `None` if it does not exist.
    pub fn state(
        &self,
        aggregate: &Arc<dyn AggregateType>,
        id: &AggregateId,
    ) -> Result<Option<(State, Sequence)>, StoreError> {
        match self.shared.catalog.of(aggregate.as_ref()) {
            Some(installed) => {
                let known = self.shared.store.state(installed, id)?;
                Ok(known.map(|known| (known.state, known.sequence)))
            }
            None => Ok(None),
        }
    }

    /// The cluster that tokens must come from.
    pub fn cluster_id(&self) -> &str {
        &self.shared.catalog.cluster_id
    }
}

fn installed<'a>(
    catalog: &'a Catalog,
    aggregate: &dyn AggregateType,
) -> Result<&'a Arc<Installed>, SubmitError> {
    let name = || SubmitError::NotInstalled(aggregate.info().qualified_name());
    catalog.of(aggregate).ok_or_else(name)
}

impl Pending {
    /// Waits with all others for whatever has this id; `None` if too many commands are waited for.
    pub(crate) fn join(waiters: &Arc<Waiters>, command_id: Uuid) -> Option<Self> {
        Some(Self::new(waiters, command_id, waiters.wait(command_id, None)?))
    }

    fn new(waiters: &Arc<Waiters>, command_id: Uuid, answer: oneshot::Receiver<CommandResult>) -> Self {
        Self {
            command_id,
            answer,
            waiters: Arc::clone(waiters),
        }
    }

    /// The command.
    pub fn command_id(&self) -> Uuid {
        self.command_id
    }

    /// Waits for the outcome. `None` if it has not come by then: it will, and can be asked for by its id.
    pub async fn wait(self, at_most: Duration) -> Option<CommandResult> {
        tokio::time::timeout(at_most, self.answered()).await.ok()?
    }

    /// Waits for the outcome for as long as it takes. `None` if this process ends before.
    pub(crate) async fn answered(mut self) -> Option<CommandResult> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer.close();
        self.waiters.give_up(self.command_id);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    use foldline_core::{AnyCommand, Claim, ClaimCommand, CommandMeta, Domain, Domains, Timestamp};
    use foldline_domains::restaurant::customers::{Customer, CustomerCommand};
    use uuid::Uuid;

    use super::{Pending, Sender, SubmitError};
    use crate::Registry;
    use crate::catalog::Catalog;
    use crate::sim::{alone, nowhere};
    use crate::waiters::Waiters;

    const WAIT_MAX: Duration = Duration::from_secs(60);

    fn catalog() -> Arc<Catalog> {
        let domains = Domains::new([Domain::new("restaurant").aggregate::<Customer>()]).unwrap();
        Arc::new(Catalog::offline(
            &Registry::new(&nowhere()).unwrap(),
            &domains,
            2,
            0,
        ))
    }

    #[tokio::test]
    async fn what_the_engine_asks_itself_takes_no_place_of_a_client_and_needs_none() {
        let catalog = catalog();
        alone(move |broker, runtime| {
            let waiters = Arc::new(Waiters::new(1));
            let sender = Sender::new(broker.as_ref(), Arc::clone(&catalog), waiters).unwrap();
            let submit = |id: u128, aggregate: &str, command: AnyCommand| {
                let meta = CommandMeta::new(Uuid::from_u128(id), "7".parse().unwrap(), Timestamp(0));
                let aggregate = catalog.by_name(aggregate).unwrap().aggregate.as_ref();
                let mut submitted = None;
                let submit = async { submitted = Some(sender.submit(aggregate, meta, &command, None).await) };
                runtime.block_on(WAIT_MAX, pin!(submit));
                submitted.unwrap()
            };
            let client = |id| {
                let email = "7@example.org".into();
                let command = AnyCommand::new::<Customer>(CustomerCommand::SignUp { email });
                submit(id, "restaurant.customers", command)
            };
            let engine = |id| {
                let (value, holder) = ("7@example.org".to_owned(), "7".to_owned());
                let command = AnyCommand::new::<Claim>(ClaimCommand::ReserveValue { value, holder });
                submit(id, "restaurant.customers-email", command)
            };
            let first: Result<Pending, SubmitError> = engine(1);
            assert!(first.is_ok());
            let waiting = client(2);
            assert!(waiting.is_ok());
            assert!(matches!(client(3), Err(SubmitError::Full { waiting: 1 })));
            assert!(engine(4).is_ok());
            drop(waiting);
            assert!(client(5).is_ok());
        });
    }

    #[tokio::test]
    async fn what_its_worker_could_not_read_is_not_handed_in() {
        let catalog = catalog();
        alone(move |broker, runtime| {
            let waiters = Arc::new(Waiters::new(1));
            let sender = Sender::new(broker.as_ref(), Arc::clone(&catalog), Arc::clone(&waiters)).unwrap();
            let customers = catalog.by_name("restaurant.customers").unwrap();
            let email = "7@example.org".into();
            let command = AnyCommand::new::<Customer>(CustomerCommand::SignUp { email });
            let meta = CommandMeta {
                // What begins a sealed value, which no command may hold.
                correlation_id: Some("enc1.talk".to_owned()),
                ..CommandMeta::new(Uuid::from_u128(1), "7".parse().unwrap(), Timestamp(0))
            };
            let mut submitted = None;
            let submit = async {
                let submit = sender.submit(customers.aggregate.as_ref(), meta, &command, None);
                submitted = Some(submit.await);
            };
            runtime.block_on(WAIT_MAX, pin!(submit));
            assert!(matches!(submitted, Some(Err(SubmitError::Unreadable(_)))));
            assert_eq!(waiters.count(), 0);
        });
    }
}
