//! A partition of events and one of results.

use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    Anchor, CommandResult, EventHash, EventMeta, Lying, Outcome, PartitionReport, RecordedEvent, Refusal,
    RefusalKind, Timestamp, Verifier,
};

/// For each command: on which aggregate, how many events it makes (none: it is refused), and whether its writer knows
/// the chain.
pub(super) type Script = Vec<(usize, usize, bool)>;

pub(super) fn script() -> impl Strategy<Value = Script> {
    prop::collection::vec((0..4_usize, 0..4_usize, prop::bool::weighted(0.8)), 1..16)
}

/// In which order the two partitions are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    EventsFirst,
    ResultsFirst,
    ByCommand,
}

impl Order {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop::sample::select(vec![Self::EventsFirst, Self::ResultsFirst, Self::ByCommand])
    }
}

#[derive(Debug, Clone)]
pub(super) struct Record<T> {
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) record: T,
    pub(super) is_readable: bool,
    is_chained: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) events: Vec<Record<EventMeta>>,
    pub(super) results: Vec<Record<CommandResult>>,
}

impl Log {
    pub(super) fn chained(script: &[(usize, usize, bool)]) -> Self {
        let script: Script = script
            .iter()
            .map(|(aggregate, events, _)| (*aggregate, *events, true))
            .collect();
        Self::written(&script)
    }

    pub(super) fn written(script: &[(usize, usize, bool)]) -> Self {
        let mut log = Self::default();
        let mut tips: [(i64, Option<EventHash>); 4] = Default::default();
        for (command, (aggregate, count, is_chained)) in (0..).zip(script) {
            let (sequence, tip) = &mut tips[*aggregate];
            let mut result = result(command, *aggregate);
            for index in 0..i32::try_from(*count).unwrap() {
                *sequence += 1;
                let mut event = event(command, *aggregate, index, *sequence);
                event.previous_hash = tip.filter(|_| *is_chained);
                result.events.push(RecordedEvent {
                    event_id: event.event_id,
                    event_type: "Done".into(),
                    sequence: *sequence,
                });
                // What a value holds does not matter, only that it differs.
                let value = format!("{event:?}").into_bytes();
                *tip = Some(EventHash::of(&value));
                log.events.push(record(event, value, *aggregate, *is_chained));
            }
            result.last_event_hash = tip.filter(|_| *count > 0 && *is_chained);
            let value = format!("{result:?}").into_bytes();
            log.results.push(record(result, value, *aggregate, *is_chained));
        }
        log.number();
        log
    }

    /// Gives the records the offsets of their places; every third one is a transaction's.
    pub(super) fn number(&mut self) {
        let offset = |at: i64| at + at / 2;
        (0..)
            .zip(&mut self.events)
            .for_each(|(at, event)| event.offset = offset(at));
        (0..)
            .zip(&mut self.results)
            .for_each(|(at, result)| result.offset = at);
    }

    pub(super) fn verify(&self, order: Order) -> PartitionReport {
        self.verified(Verifier::new(0, 1, None, None), order)
    }

    pub(super) fn verify_against(&self, order: Order, anchors: &(Anchor, Anchor)) -> PartitionReport {
        self.verified(Verifier::new(0, 1, Some(anchors.0), Some(anchors.1)), order)
    }

    fn verified(&self, mut verifier: Verifier, order: Order) -> PartitionReport {
        let (mut events, mut results) = (self.events.iter().peekable(), self.results.iter().peekable());
        loop {
            let is_event = match (events.peek(), results.peek(), order) {
                (None, None, _) => break,
                (None, Some(_), _) => false,
                (Some(_), None, _) => true,
                (Some(_), Some(_), Order::EventsFirst) => true,
                (Some(_), Some(_), Order::ResultsFirst) => false,
                (Some(event), Some(result), Order::ByCommand) => {
                    event.record.command_offset <= result.record.command_offset
                }
            };
            if is_event {
                let event = events.next().unwrap();
                verifier.event(event.lying(), event.is_chained);
            } else {
                verifier.result(results.next().unwrap().lying(), true);
            }
        }
        let end = |last: Option<i64>| last.map_or(0, |last| last + 1);
        verifier.finish(
            end(self.events.last().map(|event| event.offset)),
            end(self.results.last().map(|result| result.offset)),
        )
    }
}

impl PartitionReport {
    pub(super) fn anchors(&self) -> (Anchor, Anchor) {
        (self.events, self.results)
    }
}

impl<T> Record<T> {
    fn lying(&self) -> Lying<'_, T> {
        Lying {
            offset: self.offset,
            key: &self.key,
            hash: EventHash::of(&self.value),
            record: if self.is_readable {
                Ok(&self.record)
            } else {
                Err("it is broken")
            },
        }
    }
}

fn record<T>(record: T, value: Vec<u8>, aggregate: usize, is_chained: bool) -> Record<T> {
    Record {
        offset: 0,
        key: id(aggregate).into_bytes(),
        value,
        record,
        is_readable: true,
        is_chained,
    }
}

fn id(aggregate: usize) -> String {
    format!("a-{aggregate}")
}

fn command_id(command: i64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &command.to_be_bytes())
}

fn event(command: i64, aggregate: usize, index: i32, sequence: i64) -> EventMeta {
    let command_id = command_id(command);
    EventMeta {
        event_id: EventMeta::id_of(&command_id, index),
        event_type: "Done".into(),
        aggregate_id: id(aggregate).parse().unwrap(),
        sequence,
        revision: 1,
        occurred_at: Timestamp(1),
        recorded_at: Timestamp(2),
        command_id,
        correlation_id: String::new(),
        causation_id: String::new(),
        actor: None,
        index,
        count: 1,
        command_offset: command,
        previous_hash: None,
        written_revision: 1,
    }
}

fn result(command: i64, aggregate: usize) -> CommandResult {
    let result = CommandResult {
        command_id: command_id(command),
        command_type: "Do".into(),
        aggregate_id: id(aggregate).parse().unwrap(),
        outcome: String::new(),
        sequence: 0,
        events: vec![],
        refusal: None,
        decided_at: Timestamp(2),
        correlation_id: String::new(),
        command_offset: command,
        fingerprint: Uuid::nil(),
        replayed: false,
        consistency_token: String::new(),
        dry_run: false,
        last_event_hash: None,
        actor: None,
        causation_id: None,
        issued_at: None,
    };
    let refusal = Refusal::engine("no", RefusalKind::State, "no".into());
    result.with(Outcome::Refused(refusal))
}
