//! Two transactional producers that take turns.
//!
//! Kafka answers a commit before the transaction's markers stand in every partition. Until they do, it tells the next
//! transaction of the same producer to come later, and librdkafka then waits for 20 ms, which under load is longer than
//! all the rest. The next transaction of another producer is not held up. Nothing runs beside anything else: a
//! transaction begins when the one before it has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::KafkaError;

use crate::KafkaSettings;
use crate::producer::TransactionalProducer;

pub(super) struct Turns {
    producers: [Shared; 2],
    turn: usize,
}

/// A producer that its member and the thread that commits have by turns; nobody ever waits for the other.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<TransactionalProducer>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, TransactionalProducer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Settles what an earlier self has left open under either of the two ids.
    pub(super) fn new(kafka: &KafkaSettings, id: &str, is_careful: bool) -> Result<Self, KafkaError> {
        let of = |id: &str| {
            let producer = TransactionalProducer::new(kafka, id, is_careful)?;
            Ok::<_, KafkaError>(Shared(Arc::new(Mutex::new(producer))))
        };
        // Both at once: where something is open, librdkafka asks again only after half a second.
        let (one, other) = std::thread::scope(|threads| {
            let other = threads.spawn(|| of(&format!("{id}-b")));
            (of(id), other.join())
        });
        let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Self {
            producers: [one?, other?],
            turn: 0,
        })
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
