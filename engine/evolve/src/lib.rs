//! The evolution gate: does a new version of a program still mean the same by what is in the log?
//!
//! A schema registry says whether old bytes can be read. It cannot say whether they are understood: a field that was
//! renamed without alias reads as absent, a changed fold makes other states of the same events, a changed rule refuses
//! what was accepted. So the gate runs both programs on the same log:
//!
//! 1. [`record`], with the version that is running, writes what it makes of the log to a file: every state after every
//!    event, every row, and which stored commands it would decide otherwise than the log says.
//! 2. [`check`], with the version that is to be deployed, makes the same of the same part of the log, and lists what
//!    comes out otherwise. Without a recording it compares decisions with the log alone.
//!
//! Both versions look at the same events and the same other aggregates. So a difference comes from the code, never from
//! what a decision happened to see at the time.
//!
//! In reading order: `refold` (events and commands of a partition), `rerun` (a command, decided once more), `past` (the
//! other aggregates as they were), `rows`; `shape` (which difference is one); `recording` (the file), `record`, `check`,
//! `findings`, `report`; `log` and `kafka` (where it all comes from).

mod check;
mod findings;
mod kafka;
mod log;
mod past;
mod progress;
mod record;
mod recording;
mod refold;
mod report;
mod rerun;
mod rows;
mod shape;

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use foldline_core::Domains;
use foldline_kafka::{
    FollowError, KafkaSettings, ReadError, RegistryError, ScanError, SnapshotsError, TopicsError,
};

use crate::kafka::KafkaLog;

pub use findings::{Example, Findings, Group, read_expected};
pub use progress::Progress;
pub use refold::Counts;
pub use report::{Compared, Report};

/// The log or the recording cannot be read, so nothing is said of the code.
#[derive(Debug, thiserror::Error)]
pub enum EvolveError {
    /// See [`TopicsError`].
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// See [`RegistryError`].
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// See [`ScanError`].
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The keys of personal values cannot be read.
    #[error(transparent)]
    Keys(#[from] FollowError),
    /// See [`SnapshotsError`].
    #[error(transparent)]
    Snapshots(#[from] SnapshotsError),
    /// A result that cannot be read.
    #[error("the result at offset {offset} cannot be read: {source}")]
    Result {
        /// Where it lies in its partition.
        offset: i64,
        /// Why not.
        source: ReadError,
    },
    /// The file cannot be read or written.
    #[error("the recording: {0}")]
    File(#[source] std::io::Error),
    /// The file is no recording, or not a whole one.
    #[error("the recording cannot be used, line {line}: {problem}")]
    Recording {
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The recording is of another log.
    #[error("the recording is of {recorded}, and this is {found}")]
    OtherLog {
        /// What was recorded.
        recorded: String,
        /// What is read.
        found: String,
    },
}

/// How a check is done.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Findings that are shown of each group, at most.
    pub examples: usize,
    /// The keys of findings that are meant: see [`read_expected`].
    pub expected: BTreeSet<String>,
}

/// Writes what this program makes of a log, up to where it ends now. Blocking: on a thread of a tokio runtime that may
/// block.
pub fn record(
    kafka: &KafkaSettings,
    domains: &Domains,
    out: impl Write,
    progress: Progress<'_>,
) -> Result<Counts, EvolveError> {
    record::record(&mut open(kafka, domains)?, domains, out, progress)
}

/// Compares what this program makes of a log with a recording of it, or, without one, with the log. Blocking as
/// [`record`] is.
pub fn check(
    kafka: &KafkaSettings,
    domains: &Domains,
    against: Option<&mut dyn BufRead>,
    options: &CheckOptions,
    progress: Progress<'_>,
) -> Result<Report, EvolveError> {
    check::check(&mut open(kafka, domains)?, domains, against, options, progress)
}

fn open(kafka: &KafkaSettings, domains: &Domains) -> Result<KafkaLog, EvolveError> {
    let log = tokio::runtime::Handle::current().block_on(KafkaLog::open(kafka, domains))?;
    log.read_keys()?;
    Ok(log)
}

#[cfg(test)]
mod tests;
