//! Judges a run by what stands on the topics and what the clients were told, without the code that wrote it:
//! nothing here folds, decides or remembers as the engine does.
//!
//! Each check is a function from records to [`Violation`]s, and has histories of its own that it must catch.

mod all;
pub mod answers;
pub mod claims;
pub mod feed;
pub mod letters;
pub mod order;
pub mod reads;
pub mod results;
pub mod streams;
pub mod topics;
pub mod views;

#[cfg(test)]
mod sample;

use std::mem::discriminant;

use uuid::Uuid;

pub use self::all::{all, violations, violations_in};
pub use self::topics::{Placed, Topics};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Violation {
    /// A client has had no answer in time.
    #[error("{key} was never answered")]
    Unanswered {
        /// The `Idempotency-Key`.
        key: Uuid,
    },
    /// A client was told one thing, and then another.
    #[error("{key} was answered {first}, and then {then}")]
    TwoAnswers {
        /// The `Idempotency-Key`.
        key: Uuid,
        /// What it was told.
        first: String,
        /// And then.
        then: String,
    },
    /// The answer is not what the rules say.
    #[error("{key}: {expected} was to come, and came: {came}")]
    Unexpected {
        /// The `Idempotency-Key`.
        key: Uuid,
        /// By the rules.
        expected: String,
        /// In fact.
        came: String,
    },
    /// The result on the topic is not what the client was told, or is not there.
    #[error("{key} was answered {told}, and its result says {stands}")]
    OtherResult {
        /// The `Idempotency-Key`.
        key: Uuid,
        /// What the client was told.
        told: String,
        /// What stands on the topic.
        stands: String,
    },
    /// A command's events are not those that its result, or its answer, names.
    #[error("{command} has the events {named} by its {by}, and on the topic {stand}")]
    OtherEvents {
        /// The command.
        command: Uuid,
        /// Who names them.
        by: &'static str,
        /// What it should have.
        named: String,
        /// What stands on the topic.
        stand: String,
    },
    /// An aggregate's events do not follow one another.
    #[error("{aggregate}: event {found} after {last} at {partition}@{offset}")]
    Sequence {
        /// The aggregate.
        aggregate: String,
        /// What follows.
        found: i64,
        /// What it follows.
        last: i64,
        /// Where.
        partition: i32,
        /// Where.
        offset: i64,
    },
    /// A record lies in a partition that is not its aggregate's.
    #[error("{aggregate} lies in partition {found} and belongs to {right}")]
    Partition {
        /// The aggregate.
        aggregate: String,
        /// Where it lies.
        found: i32,
        /// Where it belongs.
        right: i32,
    },
    /// Some of the events of a command are not there, or not together.
    #[error("the events of {command} are not whole: {what}")]
    NotWhole {
        /// The command.
        command: Uuid,
        /// What is wrong.
        what: String,
    },
    /// Records do not stand in the order of their commands.
    #[error("{topic} {partition}@{offset} is of the command at {found}, after one of the command at {last}")]
    CommandOrder {
        /// Events or results.
        topic: &'static str,
        /// Where.
        partition: i32,
        /// Where.
        offset: i64,
        /// Its command.
        found: i64,
        /// The command before it.
        last: i64,
    },
    /// A command record has not exactly one result record, or a result no command.
    #[error("the command at {partition}@{offset} has {results} results")]
    ResultCount {
        /// Where.
        partition: i32,
        /// Where.
        offset: i64,
        /// How many.
        results: usize,
    },
    /// A command was decided more than once, or never.
    #[error("{command} was decided {times} times")]
    Decided {
        /// The command.
        command: Uuid,
        /// How often.
        times: usize,
    },
    /// A repeated answer is not the first one.
    #[error("{command} was decided as {first}, and repeated as {then}")]
    OtherRepetition {
        /// The command.
        command: Uuid,
        /// The decision.
        first: String,
        /// What was said later.
        then: String,
    },
    /// A view shows something else than its events make.
    #[error("{view}/{id} is shown as {shown}, and its events make {made}")]
    Row {
        /// The view.
        view: String,
        /// The row.
        id: String,
        /// What the API shows.
        shown: String,
        /// What the events make.
        made: String,
    },
    /// A history is not what stands on the topic.
    #[error("the history of {aggregate} is {shown}, and on the topic it is {stands}")]
    History {
        /// The aggregate's link.
        aggregate: String,
        /// What the API shows.
        shown: String,
        /// What stands on the topic.
        stands: String,
    },
    /// A command was decided on a state from before one that had been answered when it was first sent.
    #[error("{aggregate}: {key} was sent when {seen} had been answered, and was decided as {came}")]
    RealTime {
        /// The aggregate's link.
        aggregate: String,
        /// The `Idempotency-Key` of the later one.
        key: Uuid,
        /// The sequence that somebody had been told.
        seen: i64,
        /// What it was told.
        came: i64,
    },
    /// A read that showed its token was answered from before it.
    #[error("{aggregate} was read at {shown}, with a token that had seen {seen}")]
    Stale {
        /// The aggregate's link.
        aggregate: String,
        /// What whoever had the token knew.
        seen: i64,
        /// What was shown.
        shown: i64,
    },
    /// A follower was not told each event once, in the order of its partition.
    #[error(
        "a follower of partition {partition} was told {told} as number {number}, and the log has {stands} there"
    )]
    Told {
        /// The partition.
        partition: i32,
        /// How many it was told before.
        number: usize,
        /// What it was told.
        told: String,
        /// What stands in the log.
        stands: String,
    },
    /// A record that is no command has not exactly one dead letter.
    #[error("the record at {partition}@{offset}, which is no command, has {letters} dead letters")]
    DeadLetters {
        /// The partition.
        partition: i32,
        /// Where it lies.
        offset: i64,
        /// How many there are.
        letters: usize,
    },
    /// After the faults are over, the system does not serve.
    #[error("after the faults of period {period}, {what}")]
    NotBack {
        /// Which period.
        period: usize,
        /// What did not come about.
        what: String,
    },
    /// Requests to commit came late, and ended transactions that they did not belong to.
    #[error("{taken} late commits were taken in the middle of another transaction")]
    Torn {
        /// How many.
        taken: usize,
    },
    /// A unique value is not held by those, and only by those, who have it.
    #[error("{value:?} is claimed by {claimed:?}, and those who have it are {had:?}")]
    Claim {
        /// The value.
        value: String,
        /// By the claims.
        claimed: Vec<String>,
        /// By the aggregates.
        had: Vec<String>,
    },
}

/// Panics with what was broken, if something was: how often, and of each kind the first few.
#[track_caller]
pub fn expect_none(mut violations: Vec<Violation>) {
    const SHOWN_MAX: usize = 4;
    violations.sort();
    let kinds = violations.chunk_by(|one, other| discriminant(one) == discriminant(other));
    let shown = kinds.flat_map(|kind| {
        let first = kind.iter().take(SHOWN_MAX).map(Violation::to_string);
        first.chain([format!("... {} of this kind", kind.len())])
    });
    let shown: Vec<String> = shown.collect();
    assert!(
        violations.is_empty(),
        "{} promises are broken:\n{}",
        violations.len(),
        shown.join("\n")
    );
}
