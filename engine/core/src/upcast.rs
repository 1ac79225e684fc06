//! Revisions of events: what was written by an older one is made into today's while it is read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::DecodeError;
use crate::schema::Variant;

/// One step of an event's revisions. Steps are taken one after the other, so each is written once, and stays.
#[derive(Debug, Clone, Copy)]
pub struct Upcaster {
    /// The type of the event.
    pub event: &'static str,
    /// The revision that it makes into the next one.
    pub from: i32,
    /// Makes the payload of that revision into one of the next. Pure, and the same for ever.
    pub upcast: fn(&mut OldPayload) -> Result<(), UpcastError>,
}

/// The payload of an older revision, as its writer's schema has it.
#[derive(Debug, Clone, PartialEq)]
pub struct OldPayload(Map<String, Value>);

/// A payload that is not what its revision has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its field {field}: {problem}")]
pub struct UpcastError {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Revisions and upcasters that do not fit each other: a mistake in a domain's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// Something is said of an event that is none of the aggregate's.
    #[error("{event} is in its REVISIONS or UPCASTERS, and is none of its events")]
    UnknownEvent {
        /// The name.
        event: String,
    },
    /// Events of a revision could not be read.
    #[error("{event} is at revision {current}, and no upcaster makes its revision {from} into {}", from + 1)]
    MissingStep {
        /// The event.
        event: String,
        /// Its revision in REVISIONS; 1, if it is not there.
        current: i32,
        /// The revision from which no step leads on.
        from: i32,
    },
    /// Which of them would count?
    #[error("{event} has two upcasters from revision {from}")]
    TwoSteps {
        /// The event.
        event: String,
        /// The revision.
        from: i32,
    },
    /// An upcaster leads to a revision that REVISIONS does not know.
    #[error(
        "{event} has an upcaster from revision {from}, and is only at revision {current} by its REVISIONS"
    )]
    Beyond {
        /// The event.
        event: String,
        /// The revision from which it leads on.
        from: i32,
        /// The revision in REVISIONS.
        current: i32,
    },
    /// A field is newer than its event.
    #[error("{event}.{field} is there since revision {since}, and the event is only at revision {current}")]
    NewerField {
        /// The event.
        event: String,
        /// The field.
        field: String,
        /// Its `x-since-revision`.
        since: i64,
        /// The revision in REVISIONS.
        current: i32,
    },
}

impl OldPayload {
    pub(crate) fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// A field's value.
    pub fn get<T: DeserializeOwned>(&self, field: &str) -> Result<T, UpcastError> {
        let value = self
            .0
            .get(field)
            .cloned()
            .ok_or_else(|| wrong(field, "missing"))?;
        serde_json::from_value(value).map_err(|error| wrong(field, error))
    }

    /// Takes a field away. It is an error if it is not there.
    pub fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, UpcastError> {
        let value = self.get(field)?;
        self.0.shift_remove(field);
        Ok(value)
    }

    /// Adds a field, or replaces it.
    pub fn set(&mut self, field: &str, value: impl Serialize) -> Result<(), UpcastError> {
        let value = serde_json::to_value(value).map_err(|error| wrong(field, error))?;
        self.0.insert(field.to_owned(), value);
        Ok(())
    }
}

fn wrong(field: &str, problem: impl ToString) -> UpcastError {
    UpcastError {
        field: field.to_owned(),
        problem: problem.to_string(),
    }
}

/// The revisions of an aggregate type's events, checked.
pub(crate) struct Revisions(Vec<Revised>);

struct Revised {
    event: String,
    current: i32,
    /// From revision 1 on, without hole.
    steps: Vec<Upcaster>,
}

impl Revisions {
    pub(crate) fn new(
        events: &[Variant],
        revisions: &[(&str, i32)],
        upcasters: &[Upcaster],
    ) -> Result<Self, RevisionError> {
        let named = revisions.iter().map(|(event, _)| *event);
        let mut named = named.chain(upcasters.iter().map(|step| step.event));
        if let Some(event) = named.find(|name| !events.iter().any(|event| event.name == *name)) {
            let event = event.to_owned();
            return Err(RevisionError::UnknownEvent { event });
        }
        let of = |event: &Variant| {
            let current = revisions.iter().find(|(name, _)| *name == event.name);
            let current = current.map_or(1, |(_, revision)| *revision);
            check_fields(event, current)?;
            let steps = upcasters.iter().filter(|step| step.event == event.name).copied();
            Revised::new(event.name.clone(), current, steps.collect())
        };
        events.iter().map(of).collect::<Result<_, _>>().map(Self)
    }

    /// The revision that today's code writes; 1 for an unknown event.
    pub(crate) fn current(&self, event: &str) -> i32 {
        self.find(event).map_or(1, |revised| revised.current)
    }

    /// What makes an event of that revision into today's: nothing, if it is.
    pub(crate) fn steps(&self, event: &str, revision: i32) -> Result<&[Upcaster], DecodeError> {
        let revised = self.find(event).ok_or_else(|| DecodeError::UnknownType {
            found: event.to_owned(),
        })?;
        if revision > revised.current {
            return Err(DecodeError::FutureRevision {
                event: event.to_owned(),
                found: revision,
                known: revised.current,
            });
        }
        let from = usize::try_from(revision - 1).ok();
        let steps = from.and_then(|from| revised.steps.get(from..));
        steps.ok_or_else(|| DecodeError::OtherRecord(format!("{event} has no revision {revision}")))
    }

    fn find(&self, event: &str) -> Option<&Revised> {
        self.0.iter().find(|revised| revised.event == event)
    }
}

impl Revised {
    fn new(event: String, current: i32, mut steps: Vec<Upcaster>) -> Result<Self, RevisionError> {
        steps.sort_by_key(|step| step.from);
        if let Some(pair) = steps.windows(2).find(|pair| pair[0].from == pair[1].from) {
            let from = pair[0].from;
            return Err(RevisionError::TwoSteps { event, from });
        }
        if let Some(step) = steps.iter().find(|step| !(1..current).contains(&step.from)) {
            let from = step.from;
            return Err(RevisionError::Beyond { event, from, current });
        }
        match (1..current).find(|from| !steps.iter().any(|step| step.from == *from)) {
            Some(from) => Err(RevisionError::MissingStep { event, current, from }),
            None => Ok(Self {
                event,
                current,
                steps,
            }),
        }
    }
}

/// A field that is marked as newer than its event was never filled in by an upcaster.
fn check_fields(event: &Variant, current: i32) -> Result<(), RevisionError> {
    let newest = event.fields_since().max_by_key(|(_, since)| *since);
    match newest {
        Some((field, since)) if since > i64::from(current) => Err(RevisionError::NewerField {
            event: event.name.clone(),
            field: field.to_owned(),
            since,
            current,
        }),
        _ => Ok(()),
    }
}

/// Takes the steps, one after the other.
pub(crate) fn upcast(steps: &[Upcaster], mut payload: OldPayload) -> Result<OldPayload, DecodeError> {
    for step in steps {
        (step.upcast)(&mut payload).map_err(|source| DecodeError::Upcast {
            event: step.event,
            from: step.from,
            source,
        })?;
    }
    Ok(payload)
}

#[cfg(test)]
mod tests;
