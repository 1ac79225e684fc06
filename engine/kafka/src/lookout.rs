//! Looks for commands that have no outcome: in their topics, beyond what is decided, and among the dead letters.
//!
//! On demand, and at once for all who ask at the same time; nothing of it is on the path of a command. It goes by the
//! log alone, so every instance finds the same.

mod letters;
mod scan;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::oneshot;
use uuid::Uuid;

use self::letters::Letters;
use self::scan::{Scan, Span};
use crate::KafkaSettings;
use crate::catalog::{Catalog, Slice};
use crate::store::{Log, Store, StoreError};

/// A record of a command topic that could not be read as a command, though its id could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLettered {
    /// Where it lies.
    pub topic: String,
    /// Where it lies.
    pub partition: i32,
    /// Where it lies.
    pub offset: i64,
    /// Why it is no command.
    pub reason: String,
    /// The topic that it was set aside in, in the same partition.
    pub set_aside_in: String,
    /// Where it lies there.
    pub set_aside_at: i64,
}

/// Where a command was seen.
#[derive(Debug, Clone)]
pub(crate) enum Sighting {
    Nowhere,
    /// In its topic, beyond what is decided.
    Undecided,
    DeadLettered(Box<DeadLettered>),
}

/// The topics cannot be looked through now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookError {
    /// Kafka does not answer.
    #[error("the commands that are not decided cannot be read: {0}")]
    Kafka(#[from] KafkaError),
    /// More is undecided than can be looked through for a question.
    #[error("more than {looked} records are undecided, too many to look for one among them")]
    TooMany {
        /// How many were looked at.
        looked: usize,
    },
    /// What is decided cannot be told.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// The process is to end.
    #[error("the command handler is to end")]
    Ended,
}

impl From<StoreError> for LookError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

type Answer = Result<Sighting, LookError>;

/// Asks the thread that looks. It ends with this.
pub(crate) struct Lookout {
    questions: Sender<(Uuid, oneshot::Sender<Answer>)>,
}

impl Lookout {
    pub(crate) fn start(kafka: &KafkaSettings, catalog: &Arc<Catalog>, store: &Store) -> Self {
        let (questions, asked) = channel();
        let looker = Looker {
            kafka: kafka.clone(),
            catalog: Arc::clone(catalog),
            store: store.clone(),
            letters: Letters::default(),
            commands: None,
        };
        let thread = std::thread::Builder::new().name("lookout".to_owned());
        let thread = thread.spawn(move || looker.run(&asked));
        thread.expect("the operating system gives us a thread");
        Self { questions }
    }

    /// One that nobody answers.
    #[cfg(test)]
    pub(crate) fn closed() -> Self {
        Self {
            questions: channel().0,
        }
    }

    pub(crate) async fn look_for(&self, command_id: Uuid) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.questions.send((command_id, answer)).is_err() {
            return Err(LookError::Ended);
        }
        answered.await.unwrap_or(Err(LookError::Ended))
    }
}

struct Looker {
    kafka: KafkaSettings,
    catalog: Arc<Catalog>,
    store: Store,
    letters: Letters,
    /// Reads the command topics; made when it is first asked.
    commands: Option<Scan>,
}

impl Looker {
    fn run(mut self, asked: &Receiver<(Uuid, oneshot::Sender<Answer>)>) {
        while let Ok(first) = asked.recv() {
            let questions: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
            let ids: HashSet<Uuid> = questions.iter().map(|(id, _)| *id).collect();
            let found = self.look(&ids);
            for (id, answer) in questions {
                let seen = |found: &HashMap<Uuid, Sighting>| found.get(&id).cloned();
                let sighting = found
                    .as_ref()
                    .map(|found| seen(found).unwrap_or(Sighting::Nowhere));
                // Who does not wait any more need not be told.
                let _ = answer.send(sighting.map_err(Clone::clone));
            }
        }
    }

    /// Dead letters first: what is found in its topic afterwards, and is none of them, is not decided.
    fn look(&mut self, ids: &HashSet<Uuid>) -> Result<HashMap<Uuid, Sighting>, LookError> {
        self.letters.read_on(&self.kafka, &self.catalog)?;
        let mut found: HashMap<Uuid, Sighting> = self
            .letters
            .of(ids)
            .map(|(id, letter)| (id, Sighting::DeadLettered(Box::new(letter))))
            .collect();
        for id in self.undecided(ids)? {
            found.insert(id, Sighting::Undecided);
        }
        Ok(found)
    }

    /// Those that lie in their topics beyond the last command whose result is known here.
    fn undecided(&mut self, ids: &HashSet<Uuid>) -> Result<HashSet<Uuid>, LookError> {
        let mut spans = Vec::new();
        for installed in self.catalog.asked_by_others() {
            for slice in installed.slices() {
                let decided = self.store.position(installed, slice, Log::Results)?;
                spans.push(Span {
                    topic: installed.commands.name.clone(),
                    partition: slice.partition,
                    from: decided.command_offset + 1,
                });
            }
        }
        let scan = match &mut self.commands {
            Some(scan) => scan,
            none => none.insert(Scan::new(&self.kafka)?),
        };
        let (catalog, letters) = (&self.catalog, &self.letters);
        let mut found = HashSet::new();
        scan.read(spans, |message| {
            if let Some((slice, id)) = id_of(catalog, message)
                && ids.contains(&id)
                && !letters.is_one(slice, message.offset())
            {
                found.insert(id);
            }
        })?;
        Ok(found)
    }
}

/// `None` for what is no command: it will be a dead letter.
fn id_of(catalog: &Catalog, message: &BorrowedMessage<'_>) -> Option<(Slice, Uuid)> {
    let installed = catalog.by_command_topic(message.topic())?;
    let id = installed.command_id(message.payload()?)?;
    Some((installed.slice(message.partition()), id))
}
