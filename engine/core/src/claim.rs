use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, Context, RefusalKind, Rejection, Unique};

/// Who holds one value of those that only one aggregate may hold: an aggregate of its own, whose id is made
/// from the value, so that everybody who wants the value asks the same single writer.
///
/// The engine reserves a value before the transaction that needs it, under an id made from the command's. A
/// crash in between loses nothing: the command is decided again, and asks again under the same id. It leaks
/// nothing either: the value is released in the same transaction that records the event which gives it up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    holder: Option<String>,
}

/// What can be asked of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimCommand {
    /// Takes the value, if nobody else holds it.
    ReserveValue {
        /// The value, normalised.
        value: String,
        /// The aggregate that wants it.
        holder: String,
    },
    /// Gives the value up.
    ReleaseValue {
        /// The value, normalised.
        value: String,
        /// The aggregate that gives it up; anybody else's value is left alone.
        holder: String,
    },
}

/// What can have happened to a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimEvent {
    /// The value is taken.
    ValueReserved {
        /// The value, normalised.
        value: String,
        /// The aggregate that holds it.
        holder: String,
    },
    /// The value is free.
    ValueReleased {
        /// The value, normalised.
        value: String,
        /// The aggregate that held it.
        holder: String,
    },
}

/// Somebody else holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is taken")]
pub struct ValueTaken {
    /// The value, normalised.
    pub value: String,
}

impl Rejection for ValueTaken {
    const CODES: &'static [&'static str] = &["value-taken"];

    fn code(&self) -> &'static str {
        "value-taken"
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

impl Claim {
    /// The name of the type of the claims on values of this name: `customers-email`.
    pub fn type_name(aggregate: &str, unique: &str) -> String {
        format!("{aggregate}-{unique}")
    }

    /// Who holds the value.
    pub fn holder(&self) -> Option<&str> {
        self.holder.as_deref()
    }

    /// The id of the claim on a value.
    pub fn id_of(unique: &Unique) -> crate::AggregateId {
        let name = format!("{}/{}", unique.name, unique.value);
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).into()
    }
}

impl Aggregate for Claim {
    // Each use has a name and topics of its own; see `type_name`.
    const NAME: &'static str = "claims";
    const PATH: &'static str = "";
    const CREATE: &'static str = "ReserveValue";

    type Command = ClaimCommand;
    type Event = ClaimEvent;
    type Rejection = ValueTaken;

    fn decide(&self, command: &ClaimCommand, _: &Context<'_>) -> Result<Vec<ClaimEvent>, ValueTaken> {
        match command.clone() {
            ClaimCommand::ReserveValue { value, holder } => match &self.holder {
                None => Ok(vec![ClaimEvent::ValueReserved { value, holder }]),
                Some(owner) if *owner == holder => Ok(vec![]),
                Some(_) => Err(ValueTaken { value }),
            },
            ClaimCommand::ReleaseValue { value, holder } if self.holder.as_ref() == Some(&holder) => {
                Ok(vec![ClaimEvent::ValueReleased { value, holder }])
            }
            ClaimCommand::ReleaseValue { .. } => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &ClaimEvent) {
        self.holder = match event {
            ClaimEvent::ValueReserved { holder, .. } => Some(holder.clone()),
            ClaimEvent::ValueReleased { .. } => None,
        };
    }

    fn possible(&self) -> Vec<&'static str> {
        vec!["ReserveValue", "ReleaseValue"]
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, ClaimCommand, ClaimEvent, ValueTaken};
    use crate::testing::given;

    fn reserve(holder: &str) -> ClaimCommand {
        ClaimCommand::ReserveValue {
            value: "v".into(),
            holder: holder.into(),
        }
    }

    fn release(holder: &str) -> ClaimCommand {
        ClaimCommand::ReleaseValue {
            value: "v".into(),
            holder: holder.into(),
        }
    }

    fn reserved(holder: &str) -> ClaimEvent {
        ClaimEvent::ValueReserved {
            value: "v".into(),
            holder: holder.into(),
        }
    }

    fn released(holder: &str) -> ClaimEvent {
        ClaimEvent::ValueReleased {
            value: "v".into(),
            holder: holder.into(),
        }
    }

    #[test]
    fn a_free_value_is_reserved() {
        given::<Claim>([]).when(reserve("a")).then([reserved("a")]);
    }

    #[test]
    fn a_value_that_somebody_else_holds_is_refused() {
        given::<Claim>([reserved("a")])
            .when(reserve("b"))
            .then_rejects(ValueTaken { value: "v".into() });
    }

    #[test]
    fn its_holder_may_reserve_it_again() {
        given::<Claim>([reserved("a")]).when(reserve("a")).then_nothing();
    }

    #[test]
    fn a_released_value_is_free_again() {
        given::<Claim>([reserved("a")])
            .when(release("a"))
            .then([released("a")]);
        given::<Claim>([reserved("a"), released("a")])
            .when(reserve("b"))
            .then([reserved("b")]);
    }

    #[test]
    fn nobody_releases_a_value_of_somebody_else() {
        given::<Claim>([reserved("a")]).when(release("b")).then_nothing();
    }
}
