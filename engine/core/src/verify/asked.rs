use std::collections::HashMap;

use uuid::Uuid;

use super::{Finding, FindingKind, LogKind};
use crate::{AggregateId, CommandResult, EventHash, EventMeta, RecordedEvent, Sequence};

/// Commands of which the result, or some events, have not been read yet.
#[derive(Default)]
pub(super) struct Asked(HashMap<Uuid, Settled>);

/// A command with what was read of it.
pub(super) struct Settled {
    pub(super) aggregate_id: AggregateId,
    pub(super) result_offset: i64,
    named: Option<Named>,
    seen: Vec<Seen>,
}

/// What a result says of its events.
struct Named {
    events: Vec<RecordedEvent>,
    last_hash: Option<EventHash>,
    is_covered: bool,
}

/// An event of a command.
pub(super) struct Seen {
    pub(super) event_id: Uuid,
    pub(super) offset: i64,
    pub(super) sequence: Sequence,
    pub(super) hash: EventHash,
    /// What the event after it says of its hash, if it has said it.
    pub(super) is_followed: Option<bool>,
}

impl Asked {
    /// An event; returns the command if nothing of it is missing any more.
    pub(super) fn event(&mut self, meta: &EventMeta, seen: Seen) -> Option<Settled> {
        let asked = self
            .0
            .entry(meta.command_id)
            .or_insert_with(|| Settled::new(&meta.aggregate_id));
        asked.seen.push(seen);
        self.take_whole(meta.command_id)
    }

    /// A result that names events, likewise.
    pub(super) fn result(
        &mut self,
        result: &CommandResult,
        offset: i64,
        is_covered: bool,
    ) -> Option<Settled> {
        let id = result.command_id;
        let asked = self
            .0
            .entry(id)
            .or_insert_with(|| Settled::new(&result.aggregate_id));
        asked.result_offset = offset;
        asked.named = Some(Named {
            events: result.events.clone(),
            last_hash: result.last_event_hash,
            is_covered,
        });
        self.take_whole(id)
    }

    /// What an event says of the one before it, whose result has not been read.
    pub(super) fn followed(&mut self, command: Uuid, offset: i64, is_same: bool) {
        let seen = self
            .0
            .get_mut(&command)
            .and_then(|asked| asked.seen.iter_mut().find(|seen| seen.offset == offset));
        if let Some(seen) = seen {
            seen.is_followed = Some(is_same);
        }
    }

    fn take_whole(&mut self, command: Uuid) -> Option<Settled> {
        let asked = self.0.get(&command)?;
        let is_whole = asked
            .named
            .as_ref()
            .is_some_and(|named| asked.seen.len() >= named.events.len());
        is_whole.then(|| self.0.remove(&command)).flatten()
    }

    /// Those of which something is missing.
    pub(super) fn leftover(self) -> impl Iterator<Item = Settled> {
        self.0.into_values()
    }
}

impl Settled {
    fn new(aggregate_id: &AggregateId) -> Self {
        Self {
            aggregate_id: aggregate_id.clone(),
            result_offset: 0,
            named: None,
            seen: Vec::new(),
        }
    }

    /// The last event, and whether the result names its hash.
    pub(super) fn last_hash(&self) -> Option<(&Seen, bool)> {
        let named = self.named.as_ref()?;
        let last = named.events.last()?;
        let seen = self.seen.iter().find(|seen| seen.sequence == last.sequence)?;
        Some((seen, named.last_hash? == seen.hash))
    }

    /// Where the result and the events do not fit. `is_there` knows which events have been read.
    pub(super) fn findings(
        &self,
        partition: i32,
        is_there: impl Fn(&AggregateId, Sequence) -> bool,
    ) -> Vec<Finding> {
        let of = |kind, log, offset, sequence, detail| Finding {
            kind,
            log,
            partition,
            offset,
            aggregate_id: Some(self.aggregate_id.clone()),
            sequence,
            detail,
        };
        let Some(named) = &self.named else {
            let unasked = self.seen.iter().map(|seen| {
                let detail = "no accepted result names it".to_owned();
                of(
                    FindingKind::Unasked,
                    LogKind::Events,
                    seen.offset,
                    Some(seen.sequence),
                    detail,
                )
            });
            return unasked.collect();
        };
        let mut findings = Vec::new();
        for event in &named.events {
            let seen = self.seen.iter().find(|seen| seen.sequence == event.sequence);
            match seen {
                Some(seen) if seen.event_id == event.event_id => {}
                Some(seen) => {
                    let detail = format!(
                        "it names event {} as {}, and that is {}",
                        event.sequence, event.event_id, seen.event_id
                    );
                    findings.push(of(
                        FindingKind::Changed,
                        LogKind::Results,
                        self.result_offset,
                        None,
                        detail,
                    ));
                }
                None if !named.is_covered || is_there(&self.aggregate_id, event.sequence) => {}
                None => {
                    let detail = "this result names it, and it is not there".to_owned();
                    findings.push(of(
                        FindingKind::Missing,
                        LogKind::Results,
                        self.result_offset,
                        Some(event.sequence),
                        detail,
                    ));
                }
            }
        }
        let is_named = |seen: &&Seen| named.events.iter().any(|event| event.sequence == seen.sequence);
        findings.extend(self.seen.iter().filter(|seen| !is_named(seen)).map(|seen| {
            let detail = "the result of its command does not name it".to_owned();
            of(
                FindingKind::Unasked,
                LogKind::Events,
                seen.offset,
                Some(seen.sequence),
                detail,
            )
        }));
        findings
    }
}
