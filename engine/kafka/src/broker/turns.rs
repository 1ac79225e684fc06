//! Two transactional producers that take turns.
//!
//! Kafka answers a commit before the transaction's markers stand in every partition. Until they do, it tells the next
//! transaction of the same producer to come later, and librdkafka then waits for 20 ms, which under load is longer than
//! all the rest. The next transaction of another producer is not held up. Nothing runs beside anything else: a
//! transaction begins when the one before it has ended.

use rdkafka::error::KafkaError;

use crate::KafkaSettings;
use crate::producer::TransactionalProducer;

pub(super) struct Turns {
    producers: [TransactionalProducer; 2],
    turn: usize,
}

impl Turns {
    /// Settles what an earlier self has left open under either of the two ids.
    pub(super) fn new(kafka: &KafkaSettings, id: &str, is_careful: bool) -> Result<Self, KafkaError> {
        let of = |id: &str| TransactionalProducer::new(kafka, id, is_careful);
        Ok(Self {
            producers: [of(id)?, of(&format!("{id}-b"))?],
            turn: 0,
        })
    }

    /// The one whose turn it is for the next transaction.
    pub(super) fn next(&mut self) -> &mut TransactionalProducer {
        self.turn = 1 - self.turn;
        self.current_mut()
    }

    /// That of the last transaction.
    pub(super) fn current(&self) -> &TransactionalProducer {
        &self.producers[self.turn]
    }

    pub(super) fn current_mut(&mut self) -> &mut TransactionalProducer {
        &mut self.producers[self.turn]
    }
}
