//! Events, read back from the JSON that [`EventMeta::to_json`] tells them in: histories keep it.

use serde::Deserialize;
use serde_json::Value;

use crate::{AggregateType, DecodeError, DecodedEvent, EventMeta, Timestamp};

/// JSON that is no event, as [`EventMeta::to_json`] tells one.
#[derive(Debug, thiserror::Error)]
pub enum ToldError {
    /// Not JSON, or a field that is missing or of another type.
    #[error("not an event as it is told: {0}")]
    Form(#[from] serde_json::Error),
    /// A payload that is no event, or of a revision that is not known.
    #[error(transparent)]
    Payload(#[from] DecodeError),
    /// A time that is none.
    #[error("{field} is no time: {text:?}")]
    Time {
        /// The field.
        field: &'static str,
        /// What stands in it.
        text: String,
    },
}

impl DecodedEvent {
    /// The event that was told so. It is the same as the one on the topic, so that a fold of what was told is exact;
    /// `command_offset` is the one thing that is not told.
    pub fn from_json(
        aggregate: &dyn AggregateType,
        json: &str,
        command_offset: i64,
    ) -> Result<Self, ToldError> {
        let mut told: Value = serde_json::from_str(json)?;
        let payload = told.get_mut("payload").map(Value::take).unwrap_or_default();
        for field in ["occurred_at", "recorded_at"] {
            let text = told[field].as_str().unwrap_or_default();
            let time: Timestamp = text.parse().map_err(|_| ToldError::Time {
                field,
                text: text.to_owned(),
            })?;
            told[field] = time.0.into();
        }
        told["command_offset"] = command_offset.into();
        let mut meta: EventMeta = serde_json::from_value(told)?;
        let event = aggregate.event_from_json(&meta.event_type, meta.revision, payload)?;
        if meta.written_revision == 0 {
            // Told before there was the field: as it was written.
            meta.written_revision = meta.revision;
        }
        meta.revision = aggregate.revision_of(&meta.event_type);
        Ok(Self { meta, event })
    }
}

/// An event as it is told today, from how it was told once: a history that was kept by older code has events as they
/// were then. What is told as today, or is no event, stays as it is.
pub fn told_today(aggregate: &dyn AggregateType, json: String) -> String {
    #[derive(Deserialize)]
    struct Head<'a> {
        event_type: &'a str,
        revision: i32,
    }
    let is_older = serde_json::from_str(&json)
        .is_ok_and(|head: Head<'_>| head.revision != aggregate.revision_of(head.event_type));
    match is_older.then(|| DecodedEvent::from_json(aggregate, &json, 0)) {
        Some(Ok(DecodedEvent { meta, event })) => meta.to_json(aggregate.event_json(&event)).to_string(),
        _ => json,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::{AnyEvent, Claim, ClaimEvent, DecodedEvent, Domain, Domains, Timestamp};

    #[test]
    fn an_event_is_read_back_from_what_is_told_of_it() {
        let domains = Domains::new([Domain::new("cloakroom").aggregate::<Claim>()]).unwrap();
        let aggregate = &domains.aggregates()[0];
        let event = ClaimEvent::ValueReserved {
            value: "ada@example.org".to_owned(),
            holder: "7".to_owned(),
        };
        for time in [0, 1_490_442_531_250, -1, i64::MAX] {
            let mut meta = crate::testing::event_meta("7", 3);
            meta.event_type = "ValueReserved".to_owned();
            meta.command_id = Uuid::from_u128(9);
            meta.occurred_at = Timestamp(time);
            meta.actor = Some("ada".to_owned());
            let payload = aggregate.event_json(&AnyEvent::new::<Claim>(event.clone()));
            let told = meta.to_json(payload).to_string();
            let read = DecodedEvent::from_json(&**aggregate, &told, meta.command_offset).unwrap();
            assert_eq!(read.meta, meta);
            assert_eq!(read.event.get::<Claim>(), Some(&event));
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let domains = Domains::new([Domain::new("cloakroom").aggregate::<Claim>()]).unwrap();
        let aggregate = &*domains.aggregates()[0];
        let told = crate::testing::event_meta("7", 3)
            .to_json(serde_json::json!({}))
            .to_string();
        for bad in ["", "{}", "7", &told, &told.replace("1970", "x")] {
            assert!(DecodedEvent::from_json(aggregate, bad, 0).is_err(), "{bad}");
        }
    }
}
