use std::any::Any;
use std::cell::Cell;

use uuid::Uuid;

use crate::id::uuid_of;
use crate::{Aggregate, AggregateId, Timestamp};

/// What a decision may look at besides the command and the state.
pub struct Context<'a> {
    /// The command's id: the same each time the command is decided.
    pub command_id: Uuid,
    /// The aggregate that decides.
    pub aggregate_id: &'a AggregateId,
    /// When the command was issued, by its sender's clock.
    pub issued_at: Timestamp,
    /// Who sent it, if that is known.
    pub actor: Option<&'a str>,
    references: &'a dyn References,
    consulted: Cell<bool>,
    /// The place of the command among those that are decided as one.
    step: Cell<i32>,
}

impl<'a> Context<'a> {
    /// A context for one decision.
    pub fn new(
        command_id: Uuid,
        aggregate_id: &'a AggregateId,
        issued_at: Timestamp,
        actor: Option<&'a str>,
        references: &'a dyn References,
    ) -> Self {
        Self {
            command_id,
            aggregate_id,
            issued_at,
            actor,
            references,
            consulted: Cell::new(false),
            step: Cell::new(0),
        }
    }

    /// The state of another aggregate, which [`Aggregate::REFERENCES`] must name. `None` if it does not exist.
    pub fn find<A: Aggregate>(&self, id: &AggregateId) -> Option<A> {
        self.consulted.set(true);
        let state = self.references.find(A::NAME, id)?;
        state.downcast().ok().map(|state| *state)
    }

    /// Whether the decision looked at another aggregate: if it then says no, a fresher copy may say yes.
    pub fn consulted(&self) -> bool {
        self.consulted.get()
    }

    /// An id for something that the command makes, `n` to tell several apart: new, and the same each time.
    pub fn new_id(&self, n: u32) -> Uuid {
        match self.step.get() {
            0 => uuid_of(&self.command_id, &n.to_be_bytes()),
            step => uuid_of(&self.command_id, &[step.to_be_bytes(), n.to_be_bytes()].concat()),
        }
    }

    /// Which of the commands that are decided as one is asked about.
    pub(crate) fn set_step(&self, step: i32) {
        self.step.set(step);
    }
}

/// The states of the aggregates that decisions refer to.
pub trait References {
    /// The state of the aggregate of the type that is named, as its own type.
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>>;
}

/// For aggregates that refer to no other.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReferences;

impl References for NoReferences {
    fn find(&self, _: &'static str, _: &AggregateId) -> Option<Box<dyn Any>> {
        None
    }
}
