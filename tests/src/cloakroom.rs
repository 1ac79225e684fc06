//! A domain that nobody in the workspace knows: coats are handed in for a ticket, and handed out for it.

use foldline_core::{Aggregate, Context, Domain, Field, Projection, RefusalKind, Rejection, Source, from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a program installs.
pub fn domain() -> Domain {
    Domain::new("cloakroom").aggregate::<Coat>().view::<Coats>()
}

/// What can be asked of a coat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum CoatCommand {
    /// Hands a coat in.
    HandIn {
        /// Its colour.
        colour: String,
    },
    /// Hands it out again.
    HandOut {},
}

/// What can have happened to a coat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum CoatEvent {
    /// It hangs here.
    CoatHandedIn {
        /// Its colour.
        colour: String,
    },
    /// It is gone.
    CoatHandedOut {},
}

/// How the cloakroom says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoatRejection {
    /// One ticket, one coat.
    #[error("the ticket has a coat already")]
    TicketInUse,
    /// It was fetched.
    #[error("the coat is not here any more")]
    Gone,
}

impl Rejection for CoatRejection {
    const CODES: &'static [&'static str] = &["ticket-in-use", "coat-gone"];

    fn code(&self) -> &'static str {
        match self {
            Self::TicketInUse => "ticket-in-use",
            Self::Gone => "coat-gone",
        }
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

/// A coat, or the place for one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Coat {
    /// Nothing hangs here yet.
    #[default]
    Nothing,
    /// It hangs here.
    Here,
    /// It was fetched.
    Gone,
}

impl Aggregate for Coat {
    const NAME: &'static str = "coats";
    const PATH: &'static str = "/coats";
    const CREATE: &'static str = "HandIn";

    type Command = CoatCommand;
    type Event = CoatEvent;
    type Rejection = CoatRejection;

    fn decide(&self, command: &CoatCommand, _: &Context<'_>) -> Result<Vec<CoatEvent>, CoatRejection> {
        match (self, command) {
            (Self::Nothing, CoatCommand::HandIn { colour }) => Ok(vec![CoatEvent::CoatHandedIn {
                colour: colour.clone(),
            }]),
            (_, CoatCommand::HandIn { .. }) => Err(CoatRejection::TicketInUse),
            (Self::Here, CoatCommand::HandOut {}) => Ok(vec![CoatEvent::CoatHandedOut {}]),
            (_, CoatCommand::HandOut {}) => Err(CoatRejection::Gone),
        }
    }

    fn evolve(&mut self, event: &CoatEvent) {
        *self = match event {
            CoatEvent::CoatHandedIn { .. } => Self::Here,
            CoatEvent::CoatHandedOut {} => Self::Gone,
        };
    }

    fn possible(&self) -> Vec<&'static str> {
        match self {
            Self::Nothing => vec!["HandIn"],
            Self::Here => vec!["HandOut"],
            Self::Gone => vec![],
        }
    }
}

/// The coats that hang here.
pub struct Coats;

/// A coat, as clients see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CoatRow {
    id: String,
    colour: String,
}

impl Projection for Coats {
    const NAME: &'static str = "coats";
    const PATH: &'static str = "/coats";
    const FIELDS: &'static [Field] = &[Field::text("colour")];

    type View = CoatRow;

    fn sources() -> Vec<Source<CoatRow>> {
        vec![from::<Coat, _>(
            |event| vec![event.meta.aggregate_id.clone()],
            |_, event, id| match &event.event {
                CoatEvent::CoatHandedIn { colour } => Some(CoatRow {
                    id: id.to_string(),
                    colour: colour.clone(),
                }),
                CoatEvent::CoatHandedOut {} => None,
            },
        )]
    }
}
