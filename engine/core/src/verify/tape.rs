use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Finding, FindingKind, LogKind};
use crate::EventHash;

/// A partition up to an offset, in one hash. Kept elsewhere, it shows later whether anything below it has changed:
/// a log that was cut at its end, or written anew with a chain of its own, is noticed by nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The partition.
    pub partition: i32,
    /// The offset up to which it goes, without it.
    pub end: i64,
    /// How many records lie below.
    pub records: u64,
    /// Of an empty partition 32 zero bytes; then, record by record in order, the SHA-256 of the digest before and
    /// the SHA-256 of the record's value.
    pub digest: EventHash,
}

/// One partition of one topic, as it is read.
pub(super) struct Tape {
    log: LogKind,
    read: Anchor,
    /// What it must be when it is read up to there.
    expected: Option<Anchor>,
}

impl Tape {
    pub(super) fn new(log: LogKind, partition: i32, expected: Option<Anchor>) -> Self {
        let read = Anchor {
            partition,
            end: 0,
            records: 0,
            digest: EventHash::from_bytes([0; 32]),
        };
        Self { log, read, expected }
    }

    /// Takes the next record, or finds that what lies before it is not what it was.
    pub(super) fn take(&mut self, offset: i64, value: EventHash) -> Option<Finding> {
        let found = self.compare(offset);
        let both = Sha256::new().chain_update(self.read.digest.as_bytes());
        let both = both.chain_update(value.as_bytes());
        self.read.digest = EventHash::from_bytes(both.finalize().into());
        self.read.records += 1;
        self.read.end = offset + 1;
        found
    }

    /// Compares once, at the first record that the expected ones do not cover.
    fn compare(&mut self, next: i64) -> Option<Finding> {
        let expected = self.expected.take_if(|expected| next >= expected.end)?;
        let same = (expected.records, expected.digest) == (self.read.records, self.read.digest);
        let (expected, found) = (expected.records, self.read.records);
        let detail = format!("the {expected} records below were others; now there are {found}");
        (!same).then(|| self.finding(FindingKind::Rewritten, next, detail))
    }

    /// Ends at this offset.
    pub(super) fn finish(mut self, end: i64) -> (Anchor, Option<Finding>) {
        let found = self.compare(end).or_else(|| {
            let expected = self.expected?;
            let detail = format!(
                "it has been seen up to offset {}, and ends at {end}: {} records are gone",
                expected.end,
                expected.records.saturating_sub(self.read.records)
            );
            Some(self.finding(FindingKind::Cut, end, detail))
        });
        (Anchor { end, ..self.read }, found)
    }

    fn finding(&self, kind: FindingKind, offset: i64, detail: String) -> Finding {
        Finding {
            kind,
            log: self.log,
            partition: self.read.partition,
            offset,
            aggregate_id: None,
            sequence: None,
            detail,
        }
    }
}
