//! An outcome, as the local store keeps it. There is one for every command that was ever decided, so ids are bytes,
//! and what follows from the rest is left out.

use foldline_core::{
    AggregateId, CommandResult, EventHash, EventMeta, RecordedEvent, RefusalRecord, Sequence, Timestamp,
    Token,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Where an outcome lies: its token and its id say the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) aggregate: &'a str,
    pub(crate) partition: i32,
    pub(crate) command_id: Uuid,
}

/// `None` stands for what is nearly always there, and can be told from the rest.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    command_type: &'a str,
    #[serde(borrow)]
    aggregate_id: Name<'a>,
    sequence: Sequence,
    #[serde(borrow)]
    events: Vec<KeptEvent<'a>>,
    refusal: Option<RefusalRecord>,
    decided_at: Timestamp,
    /// Else the command's own id.
    correlation_id: Option<Name<'a>>,
    command_offset: i64,
    fingerprint: Uuid,
    /// Else that of the command's own offset.
    consistency_token: Option<&'a str>,
    last_event_hash: Option<EventHash>,
    actor: Option<&'a str>,
    causation_id: Option<Name<'a>>,
    issued_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct KeptEvent<'a> {
    event_type: &'a str,
    /// Else the one that is made from the command's id.
    event_id: Option<Uuid>,
    /// Else counted back from the result's.
    sequence: Option<Sequence>,
}

/// A text that is mostly a UUID.
#[derive(Serialize, Deserialize)]
enum Name<'a> {
    Uuid(Uuid),
    Text(&'a str),
}

impl<'a> Name<'a> {
    fn of(text: &'a str) -> Self {
        let mut buffer = [0; Hyphenated::LENGTH];
        match Uuid::try_parse(text) {
            // It has other spellings too, and each must come back as it was.
            Ok(id) if id.hyphenated().encode_lower(&mut buffer) == text => Self::Uuid(id),
            _ => Self::Text(text),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Uuid(id) => id.to_string(),
            Self::Text(text) => text.to_owned(),
        }
    }

    fn into_id(self) -> Option<AggregateId> {
        match self {
            Self::Uuid(id) => Some(id.into()),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// Writes an outcome that is for ever: no repetition, and no dry run.
pub(crate) fn write(place: Place<'_>, result: &CommandResult) -> Vec<u8> {
    let own_token = Token::text_at(
        place.cluster,
        place.aggregate,
        place.partition,
        result.command_offset,
    );
    let events = (0..).zip(&result.events).map(|(index, event)| KeptEvent {
        event_type: &event.event_type,
        event_id: Some(event.event_id).filter(|id| *id != EventMeta::id_of(&place.command_id, index)),
        sequence: Some(event.sequence)
            .filter(|sequence| *sequence != sequence_of(result.sequence, &result.events, index)),
    });
    let own_id = place.command_id.to_string();
    let kept = Kept {
        command_type: &result.command_type,
        aggregate_id: Name::of(result.aggregate_id.as_str()),
        sequence: result.sequence,
        events: events.collect(),
        refusal: result.refusal.clone(),
        decided_at: result.decided_at,
        correlation_id: Some(&result.correlation_id)
            .filter(|id| **id != own_id)
            .map(|id| Name::of(id.as_str())),
        command_offset: result.command_offset,
        fingerprint: result.fingerprint,
        consistency_token: Some(result.consistency_token.as_str()).filter(|token| *token != own_token),
        last_event_hash: result.last_event_hash,
        actor: result.actor.as_deref(),
        causation_id: result.causation_id.as_deref().map(Name::of),
        issued_at: result.issued_at,
    };
    // Serialising to a vector fails only for types that postcard cannot hold, and this is none.
    postcard::to_stdvec(&kept).expect("an outcome has no part of unknown length")
}

/// Reads what [`write`] has written; `None` if that is damaged.
pub(crate) fn read(place: Place<'_>, bytes: &[u8]) -> Option<CommandResult> {
    let kept: Kept<'_> = postcard::from_bytes(bytes).ok()?;
    let Place {
        cluster,
        aggregate,
        partition,
        command_id,
    } = place;
    let events = (0..).zip(&kept.events).map(|(index, event)| RecordedEvent {
        event_id: event
            .event_id
            .unwrap_or_else(|| EventMeta::id_of(&command_id, index)),
        event_type: event.event_type.to_owned(),
        sequence: event
            .sequence
            .unwrap_or_else(|| sequence_of(kept.sequence, &kept.events, index)),
    });
    let outcome = match kept.refusal {
        None => CommandResult::ACCEPTED,
        Some(_) => CommandResult::REFUSED,
    };
    let own_token = || Token::text_at(cluster, aggregate, partition, kept.command_offset);
    Some(CommandResult {
        command_id,
        command_type: kept.command_type.to_owned(),
        outcome: outcome.to_owned(),
        sequence: kept.sequence,
        events: events.collect(),
        aggregate_id: kept.aggregate_id.into_id()?,
        refusal: kept.refusal,
        decided_at: kept.decided_at,
        correlation_id: kept
            .correlation_id
            .map_or_else(|| command_id.to_string(), Name::into_text),
        command_offset: kept.command_offset,
        fingerprint: kept.fingerprint,
        replayed: false,
        consistency_token: kept.consistency_token.map_or_else(own_token, str::to_owned),
        dry_run: false,
        last_event_hash: kept.last_event_hash,
        actor: kept.actor.map(str::to_owned),
        causation_id: kept.causation_id.map(Name::into_text),
        issued_at: kept.issued_at,
    })
}

/// The sequence of one of a result's events, if they are without gap and the result's is that of the last.
fn sequence_of<T>(last: Sequence, events: &[T], index: i32) -> Sequence {
    // A decision makes a handful of events.
    let count = Sequence::try_from(events.len()).unwrap_or(Sequence::MAX);
    last.wrapping_sub(count)
        .wrapping_add(Sequence::from(index))
        .wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use foldline_core::{
        AggregateId, CommandResult, EventHash, EventMeta, Outcome, RecordedEvent, Refusal, RefusalKind,
        Timestamp, Token,
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{Place, read, write};

    const PLACE: Place<'_> = Place {
        cluster: "MkU3OEVBNTcwNTJENDM2Qk",
        aggregate: "restaurant.orders",
        partition: 3,
        command_id: Uuid::from_u128(0xc1),
    };

    fn accepted() -> CommandResult {
        let event = RecordedEvent {
            event_id: EventMeta::id_of(&PLACE.command_id, 0),
            event_type: "ItemAddedToOrder".to_owned(),
            sequence: 7,
        };
        let result = CommandResult {
            command_id: PLACE.command_id,
            command_type: "AddItemToOrder".to_owned(),
            aggregate_id: AggregateId::from(Uuid::from_u128(0xa1)),
            outcome: String::new(),
            sequence: 7,
            events: Vec::new(),
            refusal: None,
            decided_at: Timestamp(1_490_442_531_250),
            correlation_id: PLACE.command_id.to_string(),
            command_offset: 1_000_000,
            fingerprint: Uuid::from_u128(9),
            replayed: false,
            consistency_token: Token::text_at(PLACE.cluster, PLACE.aggregate, PLACE.partition, 1_000_000),
            dry_run: false,
            last_event_hash: Some(EventHash::of(b"event 7")),
            actor: None,
            causation_id: None,
            issued_at: Some(Timestamp(1_490_442_531_000)),
        };
        result.with(Outcome::Accepted(vec![event]))
    }

    #[test]
    fn the_usual_outcome_takes_less_than_150_bytes() {
        let bytes = write(PLACE, &accepted());
        assert_eq!(read(PLACE, &bytes), Some(accepted()));
        assert!(bytes.len() < 150, "{} bytes", bytes.len());
    }

    #[test]
    fn what_is_damaged_is_no_outcome() {
        let bytes = write(PLACE, &accepted());
        assert_eq!(read(PLACE, &bytes[..bytes.len() - 1]), None);
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string()),
            any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string().to_uppercase()),
            any::<u128>().prop_map(|id| Uuid::from_u128(id).simple().to_string()),
            Just(PLACE.command_id.to_string()),
            "[a-z0-9.~-]{1,20}",
        ]
    }

    fn event() -> impl Strategy<Value = RecordedEvent> {
        let id = prop_oneof![
            (0..3).prop_map(|index| EventMeta::id_of(&PLACE.command_id, index)),
            any::<u128>().prop_map(Uuid::from_u128),
        ];
        (id, "[A-Za-z]{0,9}", -3..9i64).prop_map(|(event_id, event_type, sequence)| RecordedEvent {
            event_id,
            event_type,
            sequence,
        })
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        let refused = ("[a-z-]{0,9}", ".{0,9}", prop::option::of(name()), 0..3i32);
        prop_oneof![
            prop::collection::vec(event(), 0..4).prop_map(Outcome::Accepted),
            refused.prop_map(|(code, detail, field, step)| Outcome::Refused(Refusal {
                code,
                kind: RefusalKind::Value,
                detail,
                field,
                step,
            })),
        ]
    }

    prop_compose! {
        fn result()(
            outcome in outcome(),
            aggregate_id in name(),
            correlation_id in name(),
            causation_id in prop::option::of(name()),
            actor in prop::option::of(".{0,9}"),
            sequence in prop_oneof![-3..9i64, any::<i64>()],
            command_offset in any::<i64>(),
            consistency_token in prop_oneof![Just(accepted().consistency_token), ".{0,20}".boxed()],
            has_hash in any::<bool>(),
        ) -> CommandResult {
            let result = CommandResult {
                aggregate_id: aggregate_id.parse().unwrap(),
                correlation_id, causation_id, actor, sequence, command_offset, consistency_token,
                last_event_hash: accepted().last_event_hash.filter(|_| has_hash),
                ..accepted()
            };
            result.with(outcome)
        }
    }

    proptest! {
        #[test]
        fn every_lasting_outcome_comes_back_as_it_was(result in result()) {
            prop_assert_eq!(read(PLACE, &write(PLACE, &result)), Some(result));
        }
    }
}
