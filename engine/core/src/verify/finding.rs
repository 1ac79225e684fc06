use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AggregateId, Sequence};

/// Something in the log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The topic of the record that is wrong, or of the one that says what is missing.
    pub log: LogKind,
    /// The partition of that record.
    pub partition: i32,
    /// The offset of that record.
    pub offset: i64,
    /// The aggregate, if that can be said.
    pub aggregate_id: Option<AggregateId>,
    /// The place of the event that is wrong or missing in its aggregate, if that can be said.
    pub sequence: Option<Sequence>,
    /// What was expected, and what is there.
    pub detail: String,
}

/// Which of an aggregate type's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// What has happened.
    Events,
    /// What became of what was asked.
    Results,
}

/// What can be wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// It is no record of its topic.
    Unreadable,
    /// It is not what was written: those that witness it say so.
    Changed,
    /// An event that must be there is not.
    Missing,
    /// It stands there a second time.
    Repeated,
    /// It does not stand where it was written.
    Reordered,
    /// Its key or its partition is not its aggregate's.
    Misplaced,
    /// No accepted result names the event.
    Unasked,
    /// The log is shorter than it was.
    Cut,
    /// The log up to some offset is not what it was.
    Rewritten,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Reordered => "reordered",
            Self::Misplaced => "misplaced",
            Self::Unasked => "unasked",
            Self::Cut => "cut",
            Self::Rewritten => "rewritten",
        })
    }
}

impl LogKind {
    /// The last part of the topic's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Results => "results",
        }
    }
}
