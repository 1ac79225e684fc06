//! A small history in which all is well: an order is opened, filled by one command with two events, something is
//! refused, and the first command comes once more.

use std::time::Duration;

use foldline_core::{
    AggregateId, CommandMeta, CommandResult, EventMeta, Outcome, RecordedEvent, Refusal, RefusalKind,
    Sequence, Timestamp, partition_of,
};
use serde_json::json;
use uuid::Uuid;

use super::Placed;
use crate::load::{Answered, Asked, Entry, Expected, Verdict};

pub(super) const PARTITIONS: i32 = 4;
const OPEN: Uuid = Uuid::from_u128(1);
const FILL: Uuid = Uuid::from_u128(2);
pub(super) const REFUSED: Uuid = Uuid::from_u128(3);

pub(super) struct Sample {
    pub(super) commands: Vec<Placed<CommandMeta>>,
    pub(super) events: Vec<Placed<EventMeta>>,
    pub(super) results: Vec<Placed<CommandResult>>,
    pub(super) history: Vec<Entry>,
}

impl Sample {
    pub(super) fn good() -> Self {
        let asked = [OPEN, FILL, REFUSED, OPEN];
        let events = vec![
            event(0, OPEN, (0, 1), 1, 0),
            event(2, FILL, (0, 2), 2, 1),
            event(3, FILL, (1, 2), 3, 1),
        ];
        let named = |command| {
            let own = events.iter().filter(|event| event.record.command_id == command);
            own.map(|event| recorded(&event.record)).collect::<Vec<_>>()
        };
        let refusal = Refusal::engine("order-empty", RefusalKind::State, "nothing".to_owned());
        let outcomes = [
            (1, Outcome::Accepted(named(OPEN))),
            (3, Outcome::Accepted(named(FILL))),
            (3, Outcome::Refused(refusal)),
            (1, Outcome::Accepted(named(OPEN))),
        ];
        let results = (0..).zip(asked).zip(outcomes);
        let results: Vec<_> = results
            .map(|((offset, command), (sequence, outcome))| result(offset, command, sequence, outcome))
            .collect();
        Self {
            commands: (0..).zip(asked).map(|(offset, id)| command(offset, id)).collect(),
            history: [OPEN, FILL, REFUSED].map(|id| entry(id, &results)).to_vec(),
            events,
            results,
        }
    }
}

fn id() -> AggregateId {
    "order".parse().unwrap()
}

fn placed<T>(offset: i64, record: T) -> Placed<T> {
    Placed {
        partition: partition_of(&id(), PARTITIONS),
        offset,
        record,
    }
}

fn recorded(event: &EventMeta) -> RecordedEvent {
    RecordedEvent {
        event_id: event.event_id,
        event_type: event.event_type.clone(),
        sequence: event.sequence,
    }
}

fn command(offset: i64, command_id: Uuid) -> Placed<CommandMeta> {
    placed(
        offset,
        CommandMeta {
            command_type: "Do".to_owned(),
            ..CommandMeta::new(command_id, id(), Timestamp(1))
        },
    )
}

fn event(
    offset: i64,
    command_id: Uuid,
    (index, count): (i32, i32),
    sequence: Sequence,
    command_offset: i64,
) -> Placed<EventMeta> {
    placed(
        offset,
        EventMeta {
            event_id: EventMeta::id_of(&command_id, index),
            event_type: "Done".to_owned(),
            aggregate_id: id(),
            sequence,
            revision: 1,
            occurred_at: Timestamp(1),
            recorded_at: Timestamp(2),
            command_id,
            correlation_id: String::new(),
            causation_id: String::new(),
            actor: None,
            index,
            count,
            command_offset,
            previous_hash: None,
            written_revision: 1,
        },
    )
}

fn result(offset: i64, command_id: Uuid, sequence: Sequence, outcome: Outcome) -> Placed<CommandResult> {
    let result = CommandResult {
        command_id,
        command_type: "Do".to_owned(),
        aggregate_id: id(),
        outcome: String::new(),
        sequence,
        events: Vec::new(),
        refusal: None,
        decided_at: Timestamp(2),
        correlation_id: String::new(),
        command_offset: offset,
        fingerprint: Uuid::nil(),
        replayed: offset == 3,
        consistency_token: String::new(),
        dry_run: false,
        last_event_hash: None,
        actor: None,
        causation_id: None,
        issued_at: None,
    };
    placed(offset, result.with(outcome))
}

/// One command is sent when the one before it has been answered.
fn at(offset: i64) -> Duration {
    Duration::from_secs(2 * u64::try_from(offset).unwrap())
}

fn entry(key: Uuid, results: &[Placed<CommandResult>]) -> Entry {
    let own = results.iter().filter(|result| result.record.command_id == key);
    let answer = |result: &Placed<CommandResult>| Answered {
        command_id: key,
        aggregate: "/orders/order".to_owned(),
        verdict: match result.record.decided() {
            Outcome::Accepted(events) => Verdict::Accepted(events),
            Outcome::Refused(refusal) => Verdict::Refused(refusal.code),
        },
        sequence: result.record.sequence,
        replayed: result.record.replayed,
        token: None,
        at: at(result.offset) + Duration::from_secs(1),
    };
    let expected = match key {
        OPEN => Expected::Event("Done"),
        FILL => Expected::EventUnless("order-full"),
        _ => Expected::Refusal("order-empty"),
    };
    let asked = Asked {
        key,
        path: "/orders/order/commands".to_owned(),
        body: json!({}),
        expected,
    };
    Entry {
        asked,
        asked_at: results
            .iter()
            .find(|result| result.record.command_id == key)
            .map(|result| at(result.offset))
            .unwrap(),
        answers: own.map(answer).collect(),
    }
}
