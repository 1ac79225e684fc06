//! Foldline on Apache Kafka: the only crate that names a Kafka client.
//!
//! In reading order:
//! - [`KafkaSettings`], [`TopicNames`], [`apply_topics`], [`check_topics`]: the cluster and what is on it.
//! - [`apply_acls`], [`compare_acls`]: who may do what, the one table of roles.
//! - [`register_schemas`], [`RecordReader`]: the registry, and records in its wire format.
//! - [`EventLog`]: the events, for projectors, who know [`Logs`] alone.
//! - [`DeadLetters`]: what was no command, and what became of it.
//! - [`Scan`]: a partition, read once up to a fixed end.
//! - [`read_snapshots`]: the current snapshots of a type.
//! - [`erase()`]: throws away the key of all that is sealed about a person.
//! - [`verify_logs`]: whether the log is what was written.
//! - [`Engine`]: the write side of one process. Behind it:
//!   - `worker`: takes commands, decides, commits. *The* write path.
//!   - `follower`: folds what somebody else has written.
//!   - [`Keys`]: of the people whom personal values are about.
//!   - `store`: what both know, on local disk; `kept`: an outcome in it.
//!   - `broker` and `runtime`: what all of these need of Kafka, and of time and threads.
//!   - [`Gateway`]: hands commands in and answers out. `status` and `lookout`: what became of a command.

mod acls;
mod broker;
mod catalog;
mod catch_up;
mod dead_letters;
mod engine;
mod erase;
mod event_log;
pub mod failpoints;
mod fold;
mod follower;
mod gateway;
mod kept;
mod keys;
mod logs;
mod lookout;
mod outcomes;
mod producer;
mod progress;
mod registry;
mod result_log;
mod runtime;
mod scan;
mod security;
mod seldom;
mod settings;
mod settled;
#[cfg(test)]
mod sim;
mod snapshots;
mod status;
mod store;
mod topics;
mod unread;
mod verify;
mod waiters;
mod worker;

pub use acls::{
    AclDifference, AclError, Appointment, Binding, Operation, Pattern, Permission, Resource, Role, TopicKind,
    apply_acls, compare_acls,
};
pub use dead_letters::{Content, DeadLetter, DeadLetterError, DeadLetters, Done, Headers, Note};
pub use engine::{Engine, EngineError, EngineSettings};
pub use erase::{EraseError, Offsets, Person, Receipt, Released, Removed, erase};
pub use event_log::{EventLog, EventLogError, LogRecord, Progress, Unreadable};
pub use follower::FollowError;
pub use gateway::{Gateway, Pending, SubmitError};
pub use keys::{Keys, subject_name};
pub use logs::{Events, KafkaLogs, Logs, Results, Start};
pub use lookout::{DeadLettered, LookError};
pub use registry::{
    Accepts, Compatibility, Inspected, ReadError, RecordReader, Registered, Registry, RegistryError, Subject,
    register_schemas, subjects, wire_format,
};
pub use result_log::{ResultBatch, ResultLog, ResultRecord};
pub use scan::{Scan, ScanError, ScannedRecord};
pub use security::{Secret, SecuritySettings};
pub use settings::{KafkaSettings, KafkaSettingsError};
pub use snapshots::{CurrentSnapshots, DamagedSnapshot, SnapshotsError, read_snapshots};
pub use status::{CommandStatus, StatusError};
pub use store::StoreError;
pub use topics::{Cluster, TopicNames, TopicPlan, TopicsError, apply_topics, check_topics, find_topics};
pub use verify::{LogReport, TypeReport, VerifyError, VerifyProgress, verify_logs};
pub use worker::{Rehearsed, WorkerError};
