use foldline_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Work;
use super::mark::Marked;

/// What an erasure has touched. It names the person by the id of their aggregate, and holds nothing else of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who: the type and the id, `restaurant.customers/8659a0d6`.
    pub subject: String,
    /// The name of the key that is gone. It stands in each value that was sealed by it.
    pub key_id: String,
    /// Other names that may stand there: who is erased while their key is made has a mark under another name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_key_ids: Vec<String>,
    /// Where the mark lies that stands in place of the key for ever.
    pub key_topic: String,
    /// When the subject was marked as erased.
    pub erased_at: String,
    /// Whether that had been done before.
    pub was_erased: bool,
    /// Whether all was done. If not, this has what was done by then, and says nothing of the rest.
    pub is_complete: bool,
    /// Records that hold values which nobody can read any more: they stay, because the log is never changed.
    pub sealed: Vec<Offsets>,
    /// Records that hold personal values in the clear, from before their fields were marked. These could NOT be erased.
    pub in_the_clear: Vec<Offsets>,
    /// Records that were removed: all up to an offset, of whomever they were, because they had been written in the clear.
    pub removed: Vec<Removed>,
    /// Unique values that were given up.
    pub released: Vec<Released>,
    /// The rows of views that hold values which nobody can read any more, as the query API serves them.
    pub rows: Vec<String>,
    /// Whether the query API was asked for each of these rows, and has shown it as erased.
    pub rows_were_asked_for: bool,
    /// From when on the removed records and the key are in no file of Kafka's any more.
    pub gone_from_disk_by: String,
    /// How many aggregates are about the subject.
    pub aggregates: u64,
    /// How many records of them there are, whether they hold personal values or not. All are still there.
    pub events: u64,
}

/// Records of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where each lies.
    pub offsets: Vec<i64>,
}

/// Records of a partition that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that was there.
    pub from: i64,
    /// The first that still is.
    pub to: i64,
}

/// A unique value that is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The type of the claims, `restaurant.customers-email`.
    pub claims: String,
    /// The claim.
    pub claim: String,
}

impl Receipt {
    pub(super) fn begun(work: &Work, key: &Marked) -> Self {
        let mut receipt = Self {
            subject: format!("{}/{}", work.subject.info().qualified_name(), work.subject.id),
            key_id: String::new(),
            other_key_ids: Vec::new(),
            key_topic: key.topic.clone(),
            erased_at: key.at.to_string(),
            was_erased: key.was_erased,
            is_complete: false,
            sealed: Vec::new(),
            in_the_clear: Vec::new(),
            removed: Vec::new(),
            released: Vec::new(),
            rows: Vec::new(),
            rows_were_asked_for: false,
            gone_from_disk_by: Timestamp(0).to_string(),
            aggregates: 0,
            events: 0,
        };
        receipt.names(key);
        receipt
    }

    pub(super) fn names(&mut self, key: &Marked) {
        self.key_id = key.id.to_string();
        self.other_key_ids = key.others.iter().map(ToString::to_string).collect();
    }
}
