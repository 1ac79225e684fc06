//! Stored commands, decided once more.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldline_core::personal::{Seal, seal};
use foldline_core::{
    AggregateType, Claim, CommandResult, Context, DecodedCommand, RefusalKind, Sequence, State, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::past::{Key, Past, View};
use crate::shape::Shape;

/// What becomes of a command, as far as it can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Its events, each under the name of its type.
    Accepted(Vec<Value>),
    Refused {
        code: String,
        /// What clients act on.
        kind: String,
        field: Option<String>,
        step: i32,
    },
}

/// A command, and the moment it was decided at.
pub(crate) struct Moment<'a> {
    pub(crate) aggregate: &'a Arc<dyn AggregateType>,
    pub(crate) past: &'a Past,
    pub(crate) state: &'a State,
    pub(crate) sequence: Sequence,
    pub(crate) command: &'a DecodedCommand,
    pub(crate) decided_at: Timestamp,
}

/// How many other moments are tried, at most.
const NEIGHBOURS_MAX: usize = 64;

/// The rules by which the engine itself refuses, for reasons that a log does not hold: what a copy knew at the time,
/// which command came first.
const OF_THE_MOMENT: [&str; 4] = [
    "token-not-reached",
    "invalid-consistency-token",
    "command-id-reused",
    "subject-erased",
];

impl Outcome {
    /// What the log says: the result, and the events that its command made.
    pub(crate) fn logged(result: &CommandResult, events: Vec<Value>) -> Self {
        match result.decided() {
            foldline_core::Outcome::Accepted(_) => Self::Accepted(events),
            foldline_core::Outcome::Refused(refusal) => Self::refused(refusal),
        }
    }

    fn refused(refusal: foldline_core::Refusal) -> Self {
        Self::Refused {
            code: refusal.code,
            kind: refusal.kind.name().to_owned(),
            field: refusal.field,
            step: refusal.step,
        }
    }

    fn taken(name: &str) -> Self {
        Self::Refused {
            code: format!("{name}-taken"),
            kind: RefusalKind::State.name().to_owned(),
            field: Some(name.to_owned()),
            step: 0,
        }
    }

    /// Its events as far as `events` knows their fields.
    pub(crate) fn project(self, events: &Shape) -> Self {
        match self {
            Self::Accepted(made) => Self::Accepted(made.iter().map(|event| events.project(event)).collect()),
            refused @ Self::Refused { .. } => refused,
        }
    }

    /// Whether it is the same, as far as `events` knows the fields of its events.
    pub(crate) fn is_same(&self, other: &Self, events: &Shape) -> bool {
        self == other || self.clone().project(events) == other.clone().project(events)
    }

    /// In few words: `accepted`, or the code of the refusal.
    pub(crate) fn brief(&self) -> &str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Refused { code, .. } => code,
        }
    }
}

/// Whether the outcome of a command can be told from the log.
pub(crate) fn can_be_rerun(result: &CommandResult) -> bool {
    let of_the_moment = match result.decided() {
        foldline_core::Outcome::Accepted(_) => false,
        foldline_core::Outcome::Refused(refusal) => OF_THE_MOMENT.contains(&refusal.code.as_str()),
    };
    !result.replayed && !result.dry_run && !of_the_moment
}

impl Moment<'_> {
    /// What becomes of it on what its log says, and on the other aggregates as they were when it was decided.
    pub(crate) fn decide(&self) -> Outcome {
        self.decide_after(&BTreeMap::new()).0
    }

    /// Whether it comes out as expected if the other aggregates are seen a little earlier or later. Clocks differ, and a
    /// copy is behind: which of their states a decision has seen is not in the log.
    pub(crate) fn agrees_nearby(&self, is_expected: impl Fn(&Outcome) -> bool) -> bool {
        let (_, seen) = self.decide_after(&BTreeMap::new());
        let tried = self.neighbours(&seen).into_iter().take(NEIGHBOURS_MAX);
        tried.into_iter().any(|moved| {
            let (outcome, _) = self.decide_after(&moved);
            is_expected(&outcome)
        })
    }

    /// Other numbers of events of the aggregates that were looked at: the nearest ones first, first of one at a time,
    /// then of two.
    fn neighbours(&self, seen: &BTreeMap<Key, usize>) -> Vec<BTreeMap<Key, usize>> {
        let mut others: Vec<(Key, usize, usize)> = Vec::new();
        for (key, count) in seen {
            let nearby = (0..=self.past.len(key)).filter(|other| other != count);
            others.extend(nearby.map(|other| (key.clone(), other, other.abs_diff(*count))));
        }
        others.sort_by_key(|(_, _, distance)| *distance);
        others.truncate(NEIGHBOURS_MAX);
        let alone = others
            .iter()
            .map(|(key, count, _)| BTreeMap::from([(key.clone(), *count)]));
        let mut all: Vec<BTreeMap<Key, usize>> = alone.collect();
        for (index, (key, count, _)) in others.iter().enumerate() {
            for (other, other_count, _) in &others[..index] {
                if other != key {
                    all.push(BTreeMap::from([
                        (key.clone(), *count),
                        (other.clone(), *other_count),
                    ]));
                }
            }
            if all.len() > NEIGHBOURS_MAX {
                break;
            }
        }
        all
    }

    fn decide_after(&self, moved: &BTreeMap<Key, usize>) -> (Outcome, BTreeMap<Key, usize>) {
        let info = self.aggregate.info();
        if let Some(refusal) = info.refusal(&self.command.meta, self.sequence) {
            return (Outcome::refused(refusal), BTreeMap::new());
        }
        let view = View::new(self.past, &info.domain, self.decided_at, moved);
        let decided = catch_unwind(AssertUnwindSafe(|| self.ask(&view)));
        // As the command handler answers it.
        let outcome = decided.unwrap_or_else(|_| Outcome::Refused {
            code: "decision-failed".to_owned(),
            kind: RefusalKind::Failed.name().to_owned(),
            field: None,
            step: 0,
        });
        (outcome, view.seen())
    }

    fn ask(&self, view: &View<'_>) -> Outcome {
        let meta = &self.command.meta;
        let context = Context::new(
            meta.command_id,
            &meta.aggregate_id,
            meta.issued_at,
            meta.actor.as_deref(),
            view,
        );
        let events = match self.aggregate.decide(self.state, &self.command.command, &context) {
            Ok(events) => events,
            Err(refusal) => return Outcome::refused(refusal),
        };
        let mut after = self.aggregate.clone_state(self.state);
        events
            .iter()
            .for_each(|event| self.aggregate.evolve(&mut after, event));
        let (info, keys) = (self.aggregate.info(), &self.past.keys);
        let claimed = |state: &State| {
            let mut values = self.aggregate.unique(state);
            values
                .iter_mut()
                .for_each(|value| value.value = keys.claimed_as(info, value.name, &value.value));
            values
        };
        let (held, holds) = (claimed(self.state), claimed(&after));
        let gained = holds.into_iter().filter(|value| !held.contains(value));
        for value in gained {
            let claims = Claim::type_name(&self.aggregate.info().name, value.name);
            let claim = view
                .state(&claims, &Claim::id_of(&value))
                .and_then(|state| state.downcast::<Claim>().ok());
            let holder = claim.as_ref().and_then(|claim| claim.holder());
            if holder.is_some_and(|holder| holder != meta.aggregate_id.as_str()) {
                return Outcome::taken(value.name);
            }
        }
        // As they would lie in the log.
        let subject = self.aggregate.subject(&after, &meta.aggregate_id);
        let by = subject.map_or(Seal::Clear, |subject| keys.seal(info, &subject));
        let made = || {
            events
                .iter()
                .map(|event| self.aggregate.event_tagged(event))
                .collect()
        };
        Outcome::Accepted(seal(by, made).0)
    }
}
