//! A transactional producer, of whose transactions Kafka itself keeps the borders (KIP-890).
//!
//! Its client is krafka, as that of single records is (`broker/appender.rs`), where the rest of this crate has librdkafka. That
//! one speaks the first version of Kafka's transaction protocol alone: it names each partition to the coordinator before it
//! writes to it, each of them is then asked for once more by the broker, and each is a request of its own. krafka speaks the
//! second: a request has all partitions of a broker, and a transaction of 128 records for 24 partitions takes a quarter of the
//! time (`docs/performance.md`). And each transaction has an epoch of its own, so that what is late of one cannot end the next
//! (KAFKA-17754).

mod client;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use krafka::consumer::ConsumerGroupMetadata;
use krafka::error::{ErrorCode, KrafkaError};
use krafka::producer::{DeliveryHandle, TopicPartitionOffset, TransactionState, TransactionVersion};
use krafka::{CloseOptions, Compression};
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::client::{ClientError, connect};
use crate::KafkaSettings;
use crate::broker::Record;
use crate::failpoints::reached;

/// How long a writer that has died may hold readers back. Kafka Streams' choice too (KIP-447).
pub(crate) const TRANSACTION_MAX: Duration = Duration::from_secs(10);
/// By then Kafka has given the transaction up, so no call about it can succeed any more.
const CALL_MAX: Duration = TRANSACTION_MAX;
/// Who is asked again meets what it waits for: the markers of an earlier transaction, or a broker that comes back. It doubles.
const RETRY_AFTER: Duration = Duration::from_millis(1);
/// Less than what a broker takes by default (`message.max.bytes`).
const BATCH_BYTES: usize = 1_000_000;
const BUFFER_BYTES: usize = 64 << 20;
/// Several requests, of which each may be sent again.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a producer that is let go of may take to end what is open, which whoever has its name next does as well.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What the client works in. Apart from that of HTTP, so that no commit waits for a place among requests.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("transactions")
        .enable_all()
        .build()
        .expect("the operating system gives us a thread")
});

/// What a transaction writes is either visible as a whole or never.
///
/// Its calls block, and must not be made in an asynchronous task.
pub(crate) struct TransactionalProducer {
    client: Arc<krafka::producer::TransactionalProducer>,
    /// By the number that was given with the record, what becomes of the last one. Those before it lie before it: a
    /// partition's records keep their order.
    sent: HashMap<usize, DeliveryHandle>,
    /// By the same number, the offset of the last record.
    offsets: HashMap<usize, i64>,
}

/// Why a transaction was not committed, and what that means for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransactionError {
    /// It was aborted, or nothing of it was ever written.
    #[error("the transaction was aborted: {0}")]
    Aborted(KrafkaError),
    /// It may have been committed, or is still open. Only the log can tell, once a new producer has fenced this one.
    #[error("the transaction's outcome is unknown: {0}")]
    Unknown(KrafkaError),
    /// Another process writes under our id, or Kafka gave the transaction up while this process slept.
    #[error("Kafka has fenced this producer: {0}")]
    Fenced(KrafkaError),
}

/// Waits for what is asked outside of a transaction. Each request has its limit in the client, all of them together have none.
pub(crate) fn answered<T>(asking: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    let asked = RUNTIME.block_on(async { tokio::time::timeout(ANSWER_MAX, asking).await });
    asked.unwrap_or_else(|_| Err(KrafkaError::timeout("what a transaction needs to know").into()))
}

impl TransactionalProducer {
    /// Fences whoever used `id` before: an open transaction of theirs is aborted.
    pub(crate) fn new(kafka: &KafkaSettings, id: &str) -> Result<Self, ClientError> {
        answered(async {
            let client = connect(kafka).await?;
            let producer = client
                .producer()
                // Batches are as large as what came while the last one was committed: waiting adds nothing.
                .linger(Duration::ZERO)
                .batch_size(BATCH_BYTES)
                .buffer_memory(BUFFER_BYTES)
                .compression(Compression::Lz4)
                .retry_backoff(RETRY_AFTER)
                .max_block(CALL_MAX)
                .delivery_timeout(CALL_MAX)
                .transaction_timeout(TRANSACTION_MAX)
                .metrics_push(false)
                .build_transactional(id)
                .await?;
            if producer.transaction_version() < TransactionVersion::V2 {
                tracing::warn!(
                    "the cluster's transaction.version is less than 2: each transaction takes more requests there, and \
                     its epoch changes only when something has gone wrong"
                );
            }
            Ok(Self {
                client: Arc::new(producer),
                sent: HashMap::new(),
                offsets: HashMap::new(),
            })
        })
    }

    pub(crate) fn begin(&mut self) -> Result<(), TransactionError> {
        self.sent.clear();
        self.offsets.clear();
        self.client.begin().map_err(|error| self.failed(error))
    }

    /// Adds a record. Its number is that of [`delivered`](Self::delivered).
    pub(crate) fn send(&mut self, record: Record<'_>) -> Result<(), TransactionError> {
        let number = record.number;
        match RUNTIME.block_on(self.client.enqueue(record.into())) {
            Ok(handle) => {
                self.sent.insert(number, handle);
                Ok(())
            }
            Err(error) => Err(self.abort(error)),
        }
    }

    /// Commits the records together with the consumer's offsets.
    pub(crate) fn commit(
        &mut self,
        offsets: &[TopicPartitionOffset],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), TransactionError> {
        // Not beside the records, which would save next to nothing (`docs/performance.md`): both add a partition to the
        // transaction, and the coordinator takes one change at a time.
        self.settle()?;
        if let Err(error) = RUNTIME.block_on(self.client.send_offsets(offsets, group)) {
            return Err(self.abort(error));
        }
        reached("offsets-sent");
        self.end()
    }

    /// Commits the records, without offsets.
    pub(crate) fn commit_alone(&mut self) -> Result<(), TransactionError> {
        self.settle()?;
        self.end()
    }

    /// The highest offset of the records that were sent with this number.
    pub(crate) fn delivered(&self, number: usize) -> Option<i64> {
        self.offsets.get(&number).copied()
    }

    /// Waits until the last record of each number is there. Were one of those before it not, the commit would be refused.
    fn settle(&mut self) -> Result<(), TransactionError> {
        for (number, handle) in std::mem::take(&mut self.sent) {
            match RUNTIME.block_on(handle) {
                Ok(there) if there.is_success() => {
                    self.offsets.insert(number, there.offset);
                }
                // The store would note a wrong position by it.
                Ok(_) => {
                    let nowhere =
                        KrafkaError::transaction_abortable("Kafka does not say where a record lies");
                    return Err(self.abort(nowhere));
                }
                Err(error) => return Err(self.abort(error)),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TransactionError> {
        reached("before-commit");
        match RUNTIME.block_on(self.client.commit()) {
            Ok(()) => Ok(()),
            // Kafka has refused it, or was not asked: it is still open.
            Err(error) if self.client.state() == TransactionState::Open => Err(self.abort(error)),
            // Nothing may be aborted: Kafka may have committed it already.
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Ends the open transaction, of which nothing will be seen.
    pub(crate) fn abort(&mut self, cause: KrafkaError) -> TransactionError {
        // Who was not answered would wait as long for an abort, and might ask a broker that is not the one to ask any more: the
        // client looks for another only when it sends records. Whoever has the name next knows, and ends what is open.
        if self.client.state() == TransactionState::Fatal || is_fenced(&cause) || is_silence(&cause) {
            return self.failed(cause);
        }
        match RUNTIME.block_on(self.client.abort()) {
            Ok(()) => TransactionError::Aborted(cause),
            Err(error) => self.failed(error),
        }
    }

    /// This producer is of no more use.
    fn failed(&self, error: KrafkaError) -> TransactionError {
        // Also for what is fatal without another producer: whoever asks the group is told that there is none.
        if self.client.state() == TransactionState::Fatal || is_fenced(&error) {
            TransactionError::Fenced(error)
        } else {
            TransactionError::Unknown(error)
        }
    }
}

impl Drop for TransactionalProducer {
    /// Nobody waits for it: who has its name next ends what is open as well.
    fn drop(&mut self) {
        let client = Arc::clone(&self.client);
        RUNTIME.spawn(async move {
            let farewell = client.close_with(CloseOptions::new().timeout(FAREWELL_MAX)).await;
            if let Err(error) = farewell {
                tracing::debug!(%error, "a producer was let go of");
            }
        });
    }
}

fn is_silence(error: &KrafkaError) -> bool {
    matches!(
        error,
        KrafkaError::Network(_) | KrafkaError::Timeout { .. } | KrafkaError::DeliveryTimeout { .. }
    )
}

fn is_fenced(error: &KrafkaError) -> bool {
    match error {
        KrafkaError::Fenced { .. } => true,
        KrafkaError::Broker { code, .. } => matches!(
            code,
            ErrorCode::ProducerFenced
                | ErrorCode::InvalidProducerEpoch
                | ErrorCode::TransactionCoordinatorFenced
        ),
        _ => false,
    }
}
