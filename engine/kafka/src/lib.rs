//! Foldline on Apache Kafka: the only crate that names a Kafka client.
//!
//! In reading order:
//! - [`KafkaSettings`], [`TopicNames`], [`apply_topics`], [`check_topics`]: the cluster and what is on it.
//! - [`register_schemas`], [`RecordReader`]: the registry, and records in its wire format.
//! - [`EventLog`]: the events, for projectors.
//! - [`Engine`]: the write side of one process. Behind it:
//!   - `worker`: takes commands, decides, commits. *The* write path.
//!   - `follower`: folds what somebody else has written.
//!   - `store`: what both know, on local disk.
//!   - [`Gateway`]: hands commands in and answers out.

mod event_log;
mod registry;
mod settings;
mod topics;

pub use event_log::{EventLog, EventLogError, LogRecord, Progress, Unreadable};
pub use registry::{
    Compatibility, ReadError, RecordReader, Registered, Registry, RegistryError, Subject, register_schemas,
    subjects, wire_format,
};
pub use settings::KafkaSettings;
pub use topics::{Cluster, TopicNames, TopicPlan, TopicsError, apply_topics, check_topics};
