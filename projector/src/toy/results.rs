#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use foldline_core::{CommandResult, Timestamp};
use foldline_kafka::{EventLogError, ResultBatch, ResultRecord, Results};
use uuid::Uuid;

/// Of a command that another one has caused.
pub fn caused(id: &str, at: i64) -> CommandResult {
    CommandResult {
        command_id: Uuid::from_u128(u128::try_from(at).unwrap() + 1),
        command_type: "Open".to_owned(),
        aggregate_id: id.parse().unwrap(),
        outcome: CommandResult::ACCEPTED.to_owned(),
        sequence: 1,
        events: Vec::new(),
        refusal: None,
        decided_at: Timestamp(2),
        correlation_id: "c".to_owned(),
        command_offset: at,
        fingerprint: Uuid::nil(),
        replayed: false,
        consistency_token: String::new(),
        dry_run: false,
        last_event_hash: None,
        actor: None,
        causation_id: Some("another".to_owned()),
        issued_at: None,
    }
}

/// A log in which one result lies.
#[derive(Default)]
pub struct OneResult {
    is_read: bool,
}

impl Results for OneResult {
    fn poll(&mut self, _: usize) -> Result<ResultBatch, EventLogError> {
        if std::mem::replace(&mut self.is_read, true) {
            return Ok(ResultBatch::default());
        }
        let (aggregate, partition, offset) = ("bar.tabs".to_owned(), 1, 0);
        Ok(ResultBatch {
            next: [((aggregate.clone(), partition), offset + 1)].into(),
            seen: 1,
            results: vec![ResultRecord {
                aggregate,
                partition,
                offset,
                result: caused("a", offset),
            }],
        })
    }
}
