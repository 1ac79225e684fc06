//! A transactional producer that commits in milliseconds, and knows when it can no longer be trusted.

mod polled;

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use self::polled::PolledProducer;
use crate::KafkaSettings;
use crate::failpoints::reached;
use crate::security::token;
use crate::seldom::Seldom;

/// How long a writer that has died may hold readers back. Kafka Streams' choice too (KIP-447).
pub(crate) const TRANSACTION_MAX: Duration = Duration::from_secs(10);
const INIT_MAX: Duration = Duration::from_secs(30);
/// By then Kafka has given the transaction up, so no call about it can succeed any more.
const CALL_MAX: Duration = Duration::from_secs(15);
/// To end a transaction takes milliseconds. librdkafka 2.12 was seen to wait for a commit, and for an abort, as long as it was
/// watched (50 s), when another broker had taken the coordinator's place; a new producer settles it as well.
const END_MAX: Duration = Duration::from_secs(5);

/// What a transaction writes is either visible as a whole or never.
pub(crate) struct TransactionalProducer {
    config: rdkafka::ClientConfig,
    /// Whether it is renewed when a connection has broken. Only one test says no: that of why it must be.
    is_careful: bool,
    producer: PolledProducer<Deliveries>,
    state: Arc<State>,
}

/// Why a transaction was not committed, and what that means for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransactionError {
    /// It was aborted, or nothing of it was ever written.
    #[error("the transaction was aborted: {0}")]
    Aborted(KafkaError),
    /// It may have been committed. Only the log can tell, once a new producer has fenced this one.
    #[error("the transaction's outcome is unknown: {0}")]
    Unknown(KafkaError),
    /// Another process writes under our id, or Kafka gave the transaction up while this process slept.
    #[error("Kafka has fenced this producer: {0}")]
    Fenced(KafkaError),
}

/// What the delivery reports say of the open transaction.
#[derive(Default)]
struct State {
    deliveries: Mutex<Delivered>,
    settled: Condvar,
    /// A connection broke: an EndTxn of ours may still be on its way (KAFKA-17754).
    is_troubled: AtomicBool,
    seldom: Seldom,
}

#[derive(Default)]
struct Delivered {
    outstanding: usize,
    /// By the number that was given with the record, the highest offset.
    offsets: HashMap<usize, i64>,
    error: Option<KafkaError>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Delivered> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Deliveries(Arc<State>);

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token::fresh(file)
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.is_troubled.store(true, Ordering::SeqCst);
        self.0.seldom.tell("transactional producer", &error, reason);
    }

    /// Where a broken connection is heard of: librdkafka reports it as an error only if it was the last one to
    /// Kafka, and as a warning only if it differs from the last one. It is told by the thread of the connection,
    /// before what was sent on it is sent again.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == CONNECTION_FAILED {
            self.0.is_troubled.store(true, Ordering::SeqCst);
        }
        if level as i32 <= RDKafkaLogLevel::Warning as i32 {
            tracing::warn!(facility, message, "transactional producer");
        }
    }
}

/// What librdkafka calls it when a connection ends, for whatever reason.
const CONNECTION_FAILED: &str = "FAIL";

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, number: usize) {
        let mut deliveries = self.0.lock();
        deliveries.outstanding = deliveries.outstanding.saturating_sub(1);
        match delivered {
            Ok(message) => {
                let offset = deliveries.offsets.entry(number).or_insert(-1);
                *offset = message.offset().max(*offset);
            }
            Err((error, _)) => {
                deliveries.error.get_or_insert_with(|| error.clone());
            }
        }
        if deliveries.outstanding == 0 {
            self.0.settled.notify_all();
        }
    }
}

impl TransactionalProducer {
    /// Fences whoever used `id` before: an open transaction of theirs is aborted.
    pub(crate) fn new(kafka: &KafkaSettings, id: &str, is_careful: bool) -> Result<Self, KafkaError> {
        let mut config = kafka.client();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", TRANSACTION_MAX.as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Batches are as large as what came while the last one was committed: waiting adds nothing.
            .set("linger.ms", "0")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            .set("queue.buffering.max.messages", "1000000")
            .set("compression.codec", "lz4")
            // The next transaction meets the markers of the last one, and with the default of 100 ms would
            // wait for 88 ms of them; see the reference's table.
            .set("retry.backoff.ms", "1")
            .set("retry.backoff.max.ms", "50")
            // To hear of each broken connection: see `Deliveries::log`. It says little else while all is well.
            .set("debug", "broker")
            .set_log_level(RDKafkaLogLevel::Debug);
        Self::create(config, is_careful)
    }

    fn create(config: rdkafka::ClientConfig, is_careful: bool) -> Result<Self, KafkaError> {
        let state = Arc::new(State::default());
        let producer = PolledProducer::new(&config, Deliveries(Arc::clone(&state)))?;
        producer.init_transactions(INIT_MAX)?;
        // Whatever broke before this call has been answered by it.
        state.is_troubled.store(false, Ordering::SeqCst);
        Ok(Self {
            config,
            is_careful,
            producer,
            state,
        })
    }

    /// Starts anew under the same id: what was open is settled when this returns.
    fn renew(&mut self) -> Result<(), KafkaError> {
        *self = Self::create(self.config.clone(), self.is_careful)?;
        Ok(())
    }

    pub(crate) fn begin(&mut self) -> Result<(), TransactionError> {
        if self.is_careful && self.state.is_troubled.load(Ordering::SeqCst) {
            // A new epoch: an EndTxn of the last transaction that is still on its way is refused, and cannot
            // end this one half-written.
            self.renew().map_err(TransactionError::Aborted)?;
        }
        *self.state.lock() = Delivered::default();
        self.producer
            .begin_transaction()
            .map_err(|error| self.failed(error))
    }

    /// Adds a record. `number` is that of [`delivered`](Self::delivered).
    pub(crate) fn send(&self, record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), TransactionError> {
        self.state.lock().outstanding += 1;
        self.producer.send(record).map_err(|error| {
            self.state.lock().outstanding -= 1;
            self.abort(error)
        })
    }

    /// Commits the records together with the consumer's offsets.
    pub(crate) fn commit(
        &mut self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), TransactionError> {
        // While this waits the records are already on their way. No limit that is given here is kept: see `Committer`.
        let sent = retried(CALL_MAX, || {
            self.producer
                .send_offsets_to_transaction(offsets, group, Timeout::Never)
        });
        if let Err(error) = sent {
            return Err(self.abort(error));
        }
        reached("offsets-sent");
        self.commit_alone()
    }

    /// Commits the records, without offsets.
    pub(crate) fn commit_alone(&mut self) -> Result<(), TransactionError> {
        if let Err(error) = self.settle() {
            return Err(self.abort(error));
        }
        reached("before-commit");
        // From here on nothing may be aborted: the broker may have it already.
        // Never would be never here, and not the rest of the transaction's time, as librdkafka says.
        match retried(END_MAX, || self.producer.commit_transaction(END_MAX)) {
            Ok(()) => Ok(()),
            Err(error) if requires_abort(&error) => Err(self.abort(error)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The highest offset of the records that were sent with this number.
    pub(crate) fn delivered(&self, number: usize) -> Option<i64> {
        self.state.lock().offsets.get(&number).copied()
    }

    /// Waits until every record has its report. Never `flush`: it sleeps in steps of 100 ms, and so does a
    /// commit while anything is in flight.
    fn settle(&self) -> Result<(), KafkaError> {
        let deliveries = self.state.lock();
        let waited = self
            .state
            .settled
            .wait_timeout_while(deliveries, CALL_MAX, |deliveries| deliveries.outstanding > 0);
        let (deliveries, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let error = deliveries.error.clone();
        drop(deliveries);
        let is_late = || KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        if timeout.timed_out() {
            return Err(error.unwrap_or_else(is_late));
        }
        let started_at = Instant::now();
        while self.producer.in_flight_count() > 0 {
            if started_at.elapsed() > CALL_MAX {
                return Err(is_late());
            }
            std::thread::yield_now();
        }
        error.map_or(Ok(()), Err)
    }

    /// Ends the open transaction, of which nothing will be seen.
    pub(crate) fn abort(&self, cause: KafkaError) -> TransactionError {
        if is_fatal(&cause) {
            return self.failed(cause);
        }
        match retried(END_MAX, || self.producer.abort_transaction(END_MAX)) {
            Ok(()) => TransactionError::Aborted(cause),
            Err(error) => self.failed(error),
        }
    }

    /// This producer is of no more use.
    fn failed(&self, error: KafkaError) -> TransactionError {
        self.state.is_troubled.store(true, Ordering::SeqCst);
        if is_fenced(&error) {
            TransactionError::Fenced(error)
        } else {
            TransactionError::Unknown(error)
        }
    }
}

/// Calls again what says that it may be called again; not for ever, because a client that has lost its broker can
/// say so for as long as it is asked.
fn retried(at_most: Duration, mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let started_at = Instant::now();
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && started_at.elapsed() < at_most => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}

fn is_fenced(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
    )
}
