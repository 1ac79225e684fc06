//! A counter: the smallest domain, and the one to copy. It is started once, and then only goes up.

use foldline_core::{Aggregate, Context, Domain, Field, Projection, RefusalKind, Rejection, Source, from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a program installs.
pub fn domain() -> Domain {
    Domain::new("counter").aggregate::<Counter>().view::<Counters>()
}

/// What can be asked of a counter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum CounterCommand {
    /// Starts a counter at 0.
    StartCounter {},
    /// Counts.
    IncrementCounter {
        /// How many; more than 0.
        by: i32,
    },
}

/// What can have happened to a counter. Stored for ever: append, never edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum CounterEvent {
    /// It stands at 0.
    CounterStarted {},
    /// It has gone up.
    CounterIncremented {
        /// By how many.
        by: i32,
    },
}

/// How a counter says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CounterRejection {
    /// It counts already.
    #[error("the counter is already started")]
    AlreadyStarted,
    /// It only goes up.
    #[error("a counter goes up by 1 or more")]
    NotUp,
}

impl Rejection for CounterRejection {
    const CODES: &'static [&'static str] = &["counter-already-started", "increment-not-positive"];

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyStarted => "counter-already-started",
            Self::NotUp => "increment-not-positive",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::AlreadyStarted => RefusalKind::State,
            Self::NotUp => RefusalKind::Value,
        }
    }

    fn field(&self) -> Option<&'static str> {
        matches!(self, Self::NotUp).then_some("by")
    }
}

/// The fold of a counter's events: all that its decisions need.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counter {
    started: bool,
}

impl Aggregate for Counter {
    const NAME: &'static str = "counters";
    const PATH: &'static str = "/counters";
    const CREATE: &'static str = "StartCounter";

    type Command = CounterCommand;
    type Event = CounterEvent;
    type Rejection = CounterRejection;

    fn decide(
        &self,
        command: &CounterCommand,
        _: &Context<'_>,
    ) -> Result<Vec<CounterEvent>, CounterRejection> {
        match *command {
            CounterCommand::StartCounter {} if self.started => Err(CounterRejection::AlreadyStarted),
            CounterCommand::StartCounter {} => Ok(vec![CounterEvent::CounterStarted {}]),
            CounterCommand::IncrementCounter { by } if by <= 0 => Err(CounterRejection::NotUp),
            CounterCommand::IncrementCounter { by } => Ok(vec![CounterEvent::CounterIncremented { by }]),
        }
    }

    fn evolve(&mut self, event: &CounterEvent) {
        match event {
            CounterEvent::CounterStarted {} => self.started = true,
            CounterEvent::CounterIncremented { .. } => {}
        }
    }

    fn possible(&self) -> Vec<&'static str> {
        vec![if self.started {
            "IncrementCounter"
        } else {
            "StartCounter"
        }]
    }
}

/// Where each counter stands.
pub struct Counters;

/// A counter, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CounterView {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub value: i64,
}

impl Projection for Counters {
    const NAME: &'static str = "counters";
    const PATH: &'static str = "/counters";
    const FIELDS: &'static [Field] = &[Field::number("value")];

    type View = CounterView;

    fn sources() -> Vec<Source<CounterView>> {
        vec![from::<Counter, _>(
            |event| vec![event.meta.aggregate_id.clone()],
            |row, event, id| {
                let value = row.map_or(0, |row: CounterView| row.value);
                let id = id.to_string();
                Some(match event.event {
                    CounterEvent::CounterStarted {} => CounterView { id, value },
                    CounterEvent::CounterIncremented { by } => CounterView {
                        id,
                        value: value.saturating_add(by.into()),
                    },
                })
            },
        )]
    }
}

#[cfg(test)]
mod tests {
    use foldline_core::testing::{given, rows};

    use super::CounterCommand::{IncrementCounter, StartCounter};
    use super::CounterEvent::{CounterIncremented, CounterStarted};
    use super::{Counter, CounterRejection, Counters};

    #[test]
    fn a_counter_is_started_once() {
        given::<Counter>([])
            .when(StartCounter {})
            .then([CounterStarted {}]);
        given::<Counter>([CounterStarted {}])
            .when(StartCounter {})
            .then_rejects(CounterRejection::AlreadyStarted);
    }

    #[test]
    fn a_counter_goes_up_only() {
        given::<Counter>([CounterStarted {}])
            .when(IncrementCounter { by: 2 })
            .then([CounterIncremented { by: 2 }]);
        given::<Counter>([CounterStarted {}])
            .when(IncrementCounter { by: 0 })
            .then_rejects(CounterRejection::NotUp);
    }

    #[test]
    fn its_row_shows_the_sum() {
        let counted = [
            CounterStarted {},
            CounterIncremented { by: 2 },
            CounterIncremented { by: 3 },
        ];
        let rows = rows::<Counters>().after::<Counter>("7", counted);
        assert_eq!(rows.row("7").unwrap().value, 5);
    }
}
