use serde::{Deserialize, Serialize};

use crate::Rejection;

/// Why a command was refused, in classes that a client can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// The state forbids it: another moment may allow it.
    State,
    /// A value that can never be right.
    Value,
    /// A value that has not the form it must have, a link for instance.
    Malformed,
    /// A link to something that does not exist.
    UnknownReference,
    /// There is no such aggregate.
    UnknownAggregate,
    /// The aggregate is not at the sequence that the command expects.
    Sequence,
    /// The command's id was already used for another command.
    CommandId,
    /// The decision itself failed: a bug in the domain.
    Failed,
}

impl RefusalKind {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::State, "state"),
        (Self::Value, "value"),
        (Self::Malformed, "malformed"),
        (Self::UnknownReference, "unknown-reference"),
        (Self::UnknownAggregate, "unknown-aggregate"),
        (Self::Sequence, "sequence"),
        (Self::CommandId, "command-id"),
        (Self::Failed, "failed"),
    ];

    /// As it stands in result records.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(kind, _)| *kind == self);
        found.map_or("state", |(_, name)| name)
    }

    /// What [`name`](Self::name) writes; a name of a later version is a [`State`](Self::State).
    pub fn from_name(name: &str) -> Self {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map_or(Self::State, |(kind, _)| *kind)
    }
}

/// The outcome of a command that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Names the rule, `order-not-open`.
    pub code: String,
    /// See [`RefusalKind`].
    pub kind: RefusalKind,
    /// For a person.
    pub detail: String,
    /// The field of the command that is to blame, as in the schema.
    pub field: Option<String>,
    /// Which of several commands that were to be decided as one, from 0.
    pub step: i32,
}

impl Refusal {
    /// What the domain's rule says.
    pub fn of(rejection: &impl Rejection) -> Self {
        Self {
            code: rejection.code().to_owned(),
            kind: rejection.kind(),
            detail: rejection.to_string(),
            field: rejection.field().map(str::to_owned),
            step: 0,
        }
    }

    /// The engine's own rules.
    pub fn engine(code: &str, kind: RefusalKind, detail: String) -> Self {
        Self {
            code: code.to_owned(),
            kind,
            detail,
            field: None,
            step: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RefusalKind;

    #[test]
    fn every_kind_is_read_back_from_its_name() {
        for (kind, name) in RefusalKind::NAMES {
            assert_eq!(RefusalKind::from_name(name), kind);
            assert_eq!(kind.name(), name);
        }
    }
}
