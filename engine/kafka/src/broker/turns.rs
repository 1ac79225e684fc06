//! Two transactional producers that take turns.
//!
//! Kafka answers a commit before the transaction's markers stand in every partition. Until they do, it tells the next
//! transaction of the same producer to come later, and librdkafka then waits for 20 ms, which under load is longer than
//! all the rest. The next transaction of another producer is not held up. Nothing runs beside anything else: a
//! transaction begins when the one before it has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::KafkaError;

use crate::KafkaSettings;
use crate::producer::{ClientError, TransactionalProducer};

/// What the second of a member's transactional ids ends with; the first is its name.
const OTHER: &str = "-b";

pub(super) struct Turns {
    kafka: KafkaSettings,
    ids: [String; 2],
    producers: [Shared; 2],
    turn: usize,
}

/// A producer that its member and the thread that commits have by turns; nobody ever waits for the other.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<TransactionalProducer>>);

impl Shared {
    /// What was open under this id is settled when this returns.
    fn new(kafka: &KafkaSettings, id: &str) -> Result<Self, KafkaError> {
        let producer = TransactionalProducer::new(kafka, id).map_err(unavailable)?;
        Ok(Self(Arc::new(Mutex::new(producer))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TransactionalProducer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Settles what an earlier self has left open under either of the two ids.
    pub(super) fn new(kafka: &KafkaSettings, id: &str) -> Result<Self, KafkaError> {
        let ids = [id.to_owned(), format!("{id}{OTHER}")];
        let of = |id: &str| Shared::new(kafka, id);
        // Both at once: where something is open, each waits until that has ended.
        let (one, other) = std::thread::scope(|threads| {
            let other = threads.spawn(|| of(&ids[1]));
            (of(&ids[0]), other.join())
        });
        let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Self {
            kafka: kafka.clone(),
            producers: [one?, other?],
            ids,
            turn: 0,
        })
    }

    /// Puts another producer in the place of that of the last transaction, which is settled when this returns. The old one
    /// may still be held, by a commit that does not come back: it goes with its thread.
    pub(super) fn renew(&mut self) -> Result<(), KafkaError> {
        let id = &self.ids[self.turn];
        self.producers[self.turn] = Shared::new(&self.kafka, id)?;
        Ok(())
    }

    /// The one whose turn it is for the next transaction.
    pub(super) fn next(&mut self) -> &Shared {
        self.turn = 1 - self.turn;
        self.current()
    }

    /// That of the last transaction.
    pub(super) fn current(&self) -> &Shared {
        &self.producers[self.turn]
    }
}

/// Whose transactional id this is.
pub(super) fn member_of(id: &str) -> &str {
    id.strip_suffix(OTHER).unwrap_or(id)
}

pub(super) fn unavailable(error: ClientError) -> KafkaError {
    KafkaError::ClientCreation(error.to_string())
}
