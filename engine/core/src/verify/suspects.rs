use std::collections::BTreeMap;

use super::asked::Seen;
use super::stream::Tip;
use super::{Finding, FindingKind, LogKind};
use crate::{AggregateId, Sequence};

/// Events whose hash is not what a witness says, by their offsets.
#[derive(Default)]
pub(super) struct Suspects(BTreeMap<i64, Suspect>);

struct Suspect {
    id: AggregateId,
    sequence: Sequence,
    /// The event after it: where it lies, its sequence; and whether it says the same.
    event: Option<(i64, Sequence)>,
    by_event: Option<bool>,
    /// Where the result lies; and whether it says the same.
    result: i64,
    by_result: Option<bool>,
}

impl Suspects {
    pub(super) fn accused_by_event(&mut self, id: &AggregateId, before: &Tip, event: (i64, Sequence)) {
        let suspect = self.of(id, before.offset, before.sequence);
        suspect.event = Some(event);
        suspect.by_event = Some(false);
        suspect.by_result = suspect.by_result.or(before.by_result);
    }

    pub(super) fn accused_by_result(&mut self, id: &AggregateId, event: &Seen, result: i64) {
        let suspect = self.of(id, event.offset, event.sequence);
        suspect.result = result;
        suspect.by_result = Some(false);
        suspect.by_event = suspect.by_event.or(event.is_followed);
    }

    pub(super) fn cleared_by_event(&mut self, offset: i64) {
        if let Some(suspect) = self.0.get_mut(&offset) {
            suspect.by_event = Some(true);
        }
    }

    pub(super) fn cleared_by_result(&mut self, offset: i64) {
        if let Some(suspect) = self.0.get_mut(&offset) {
            suspect.by_result = Some(true);
        }
    }

    fn of(&mut self, id: &AggregateId, offset: i64, sequence: Sequence) -> &mut Suspect {
        self.0.entry(offset).or_insert_with(|| Suspect {
            id: id.clone(),
            sequence,
            event: None,
            by_event: None,
            result: 0,
            by_result: None,
        })
    }

    /// Of two witnesses that disagree, the one that the event itself contradicts is wrong.
    pub(super) fn findings(self, partition: i32) -> impl Iterator<Item = Finding> {
        self.0.into_iter().map(move |(offset, suspect)| {
            let Suspect { sequence, event, .. } = suspect;
            let (log, offset, sequence, detail) = match (suspect.by_event, suspect.by_result, event) {
                (Some(false), Some(true), Some((at, after))) => {
                    let detail = format!(
                        "it names another event {sequence} than there is, and the result of that one does not"
                    );
                    (LogKind::Events, at, Some(after), detail)
                }
                (Some(true), _, _) => {
                    let detail = format!(
                        "it names another event {sequence} than there is, and the event after that does not"
                    );
                    (LogKind::Results, suspect.result, None, detail)
                }
                (Some(false), Some(false), _) => {
                    let detail = "the event after it and its result name another one".to_owned();
                    (LogKind::Events, offset, Some(sequence), detail)
                }
                (Some(false), _, _) => {
                    let detail = "the event after it names another one".to_owned();
                    (LogKind::Events, offset, Some(sequence), detail)
                }
                (None, _, _) => {
                    let detail = format!("its result, at offset {}, names another one", suspect.result);
                    (LogKind::Events, offset, Some(sequence), detail)
                }
            };
            Finding {
                kind: FindingKind::Changed,
                log,
                partition,
                offset,
                aggregate_id: Some(suspect.id),
                sequence,
                detail,
            }
        })
    }
}
