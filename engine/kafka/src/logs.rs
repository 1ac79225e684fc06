//! Where a projector reads: the seam behind which Kafka stands, or the simulated log of the projector's tests.

use std::sync::Arc;
use std::time::Duration;

use foldline_core::AggregateType;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::{Cluster, EventLog, EventLogError, KafkaSettings, LogRecord, Progress, ResultBatch, ResultLog};

/// For an aggregate type's qualified name and a partition, the offset to begin at.
pub type Start<'a> = &'a (dyn Fn(&str, i32) -> i64 + Sync);

/// The logs of a cluster.
pub trait Logs: Send + Sync {
    /// Opens the events of these types: see [`EventLog::open`].
    fn events<'a>(
        &'a self,
        aggregates: &'a [Arc<dyn AggregateType>],
        start: Start<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Events>, EventLogError>>;

    /// Opens the results of these types: see [`ResultLog::open`].
    fn results<'a>(
        &'a self,
        aggregates: &'a [Arc<dyn AggregateType>],
        start: Start<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Results>, EventLogError>>;
}

/// Committed events, as they come. Blocking.
pub trait Events: Send {
    /// See [`EventLog::poll`].
    fn poll(&mut self, max_records: usize, max_wait: Duration) -> Result<Vec<LogRecord>, EventLogError>;

    /// See [`EventLog::has_caught_up`].
    fn has_caught_up(&mut self) -> bool;

    /// See [`EventLog::progress`].
    fn progress(&self) -> Vec<Progress>;
}

/// Committed results of which no event tells, as they come.
pub trait Results: Send {
    /// See [`ResultLog::poll`].
    fn poll(&mut self, max_records: usize) -> Result<ResultBatch, EventLogError>;
}

impl Events for EventLog {
    fn poll(&mut self, max_records: usize, max_wait: Duration) -> Result<Vec<LogRecord>, EventLogError> {
        Self::poll(self, max_records, max_wait)
    }

    fn has_caught_up(&mut self) -> bool {
        Self::has_caught_up(self)
    }

    fn progress(&self) -> Vec<Progress> {
        Self::progress(self)
    }
}

impl Results for ResultLog {
    fn poll(&mut self, max_records: usize) -> Result<ResultBatch, EventLogError> {
        Self::poll(self, max_records)
    }
}

/// Kafka's.
pub struct KafkaLogs {
    /// Kafka and the registry.
    pub kafka: KafkaSettings,
    /// The cluster that the events are on, as it was checked.
    pub cluster: Cluster,
}

impl Logs for KafkaLogs {
    fn events<'a>(
        &'a self,
        aggregates: &'a [Arc<dyn AggregateType>],
        start: Start<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Events>, EventLogError>> {
        async move {
            let log = EventLog::open(&self.kafka, aggregates, &self.cluster, start).await?;
            Ok(Box::new(log) as Box<dyn Events>)
        }
        .boxed()
    }

    fn results<'a>(
        &'a self,
        aggregates: &'a [Arc<dyn AggregateType>],
        start: Start<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Results>, EventLogError>> {
        async move {
            let log = ResultLog::open(&self.kafka, aggregates, &self.cluster, start).await?;
            Ok(Box::new(log) as Box<dyn Results>)
        }
        .boxed()
    }
}
