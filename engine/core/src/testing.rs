//! Given / when / then on the pure decider, and the rows that a projection makes.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;

use uuid::Uuid;

mod rows;

pub use rows::{Rows, event_meta, rows};

use crate::{Aggregate, AggregateId, Context, References, Timestamp};

/// The events that have happened.
///
/// ```
/// # use foldline_core::{Claim, ClaimCommand::*, ClaimEvent::*, testing::given};
/// given::<Claim>([])
///     .when(ReserveValue { value: "ada@example.org".into(), holder: "7".into() })
///     .then([ValueReserved { value: "ada@example.org".into(), holder: "7".into() }]);
/// ```
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    events.into_iter().for_each(|event| state.evolve(&event));
    Given {
        state,
        others: Others::default(),
        command_id: COMMAND_ID,
    }
}

/// The id of the aggregate in all these tests.
pub fn aggregate_id() -> AggregateId {
    Uuid::nil().into()
}

/// The id of the command, if [`Given::command_id`] sets no other one.
pub const COMMAND_ID: Uuid = Uuid::from_u128(1);

/// The n-th id that the command [`COMMAND_ID`] makes; see [`Context::new_id`].
pub fn new_id(n: u32) -> Uuid {
    Uuid::new_v5(&COMMAND_ID, &n.to_be_bytes())
}

/// A state, and the other aggregates that there are.
#[must_use]
pub struct Given<A> {
    state: A,
    others: Others,
    command_id: Uuid,
}

/// A decision that is to be checked.
#[must_use]
pub struct When<A: Aggregate> {
    state: A,
    decided: Result<Vec<A::Event>, A::Rejection>,
}

type Key = (&'static str, AggregateId);

#[derive(Default)]
struct Others(HashMap<Key, Box<dyn Fn() -> Box<dyn Any>>>);

impl References for Others {
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>> {
        self.0.get(&(aggregate, id.clone())).map(|state| state())
    }
}

impl<A: Aggregate> Given<A> {
    /// Another aggregate that exists, as these events have made it.
    pub fn and<B: Aggregate>(mut self, id: &str, events: impl IntoIterator<Item = B::Event>) -> Self {
        let state = given::<B>(events).state;
        let id = id.parse().expect("an aggregate id");
        self.others
            .0
            .insert((B::NAME, id), Box::new(move || Box::new(state.clone())));
        self
    }

    /// The command has this id, not [`COMMAND_ID`]: what it makes gets other ids.
    pub fn command_id(mut self, id: Uuid) -> Self {
        self.command_id = id;
        self
    }

    /// The command.
    pub fn when(self, command: A::Command) -> When<A> {
        let id = aggregate_id();
        let context = Context::new(self.command_id, &id, Timestamp(0), None, &self.others);
        let decided = self.state.decide(&command, &context);
        When {
            state: self.state,
            decided,
        }
    }

    /// The state that the events have made.
    pub fn state(self) -> A {
        self.state
    }
}

impl<A: Aggregate> When<A> {
    /// It is accepted, and just this happens.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) {
        self.then_state(events);
    }

    /// It is accepted, and just this happens; returns the state after it.
    #[track_caller]
    pub fn then_state(self, events: impl IntoIterator<Item = A::Event>) -> A {
        let events: Vec<_> = events.into_iter().collect();
        assert_eq!(
            self.decided.as_ref().map_err(|rejection| rejection.to_string()),
            Ok(&events)
        );
        let mut state = self.state;
        events.iter().for_each(|event| state.evolve(event));
        state
    }

    /// What was decided, for a table of many decisions.
    pub fn decided(self) -> Result<Vec<A::Event>, A::Rejection> {
        self.decided
    }

    /// It is accepted, and nothing happens: it is already so.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    /// It is refused by just this rule.
    #[track_caller]
    pub fn then_rejects(self, rejection: A::Rejection)
    where
        A::Rejection: Debug,
    {
        assert_eq!(self.decided, Err(rejection));
    }
}
