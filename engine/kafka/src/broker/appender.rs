//! Appends single records as they come.
//!
//! By the client of transactions, see [`producer`](crate::producer): a request has what has come since the last one, for all
//! partitions of a broker, where librdkafka makes one for each partition.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use krafka::producer::Producer;
use krafka::{Compression, Headers, KrafkaError, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::sync::OnceCell;

use super::{AppendError, Appender, Place};
use crate::KafkaSettings;
use crate::producer::{ClientError, RUNTIME, connect};
use crate::security::token::{self, Plain};

/// How long Kafka may take to take a command. Below the time that HTTP clients wait.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// Connected when it is first asked for.
type Connection = Arc<OnceCell<Producer>>;

pub(super) struct KafkaAppender {
    kafka: KafkaSettings,
    connection: Mutex<Connection>,
    /// Only asks whether Kafka is there: krafka would answer from what it knows.
    asking: BaseConsumer<Plain>,
}

impl KafkaAppender {
    pub(super) fn new(kafka: &KafkaSettings) -> Result<Self, KafkaError> {
        Ok(Self {
            kafka: kafka.clone(),
            connection: Mutex::default(),
            asking: token::consumer(&kafka.client(), Plain)?,
        })
    }

    fn connection(&self) -> Connection {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&connection)
    }

    async fn send(&self, connection: &Connection, record: Record) -> Result<(), ClientError> {
        let producer = connection
            .get_or_try_init(|| producer(self.kafka.clone()))
            .await?;
        let _ = producer.enqueue(record).await?.await?;
        Ok(())
    }

    /// Whatever is wrong with a connection, the next record has another one.
    fn give_up(&self, failed: &Connection) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&connection, failed) {
            *connection = Arc::default();
        }
    }
}

async fn producer(kafka: KafkaSettings) -> Result<Producer, ClientError> {
    let connected = RUNTIME.spawn(async move {
        let producer = connect(&kafka).await?.producer();
        let producer = producer
            .idempotent(true)
            .linger(Duration::ZERO)
            .compression(Compression::Lz4)
            .max_block(ACKNOWLEDGED_MAX)
            .delivery_timeout(ACKNOWLEDGED_MAX)
            .metrics_push(false);
        Ok(producer.build().await?)
    });
    connected
        .await
        .unwrap_or_else(|_| Err(KrafkaError::closed("a connection").into()))
}

impl Appender for KafkaAppender {
    fn append<'a>(
        &'a self,
        (topic, partition): Place<'a>,
        key: &'a str,
        value: &'a [u8],
        headers: Headers,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        let mut record = Record::new(topic, Bytes::copy_from_slice(value)).partition(partition);
        record.key = Some(Bytes::copy_from_slice(key.as_bytes()));
        record.headers = headers;
        Box::pin(async move {
            let connection = self.connection();
            let sent = self.send(&connection, record);
            let sent = tokio::time::timeout(ACKNOWLEDGED_MAX, sent).await;
            let sent = sent.unwrap_or_else(|_| Err(KrafkaError::timeout("a command").into()));
            sent.map_err(|error| {
                self.give_up(&connection);
                error.into()
            })
        })
    }

    fn is_there(&self, topic: Option<&str>, at_most: Duration) -> bool {
        // Nothing is read: it is looked after, for its token.
        drop(self.asking.poll(Duration::ZERO));
        self.asking.fetch_metadata(topic, at_most).is_ok()
    }
}
