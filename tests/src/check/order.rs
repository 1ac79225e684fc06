//! Linearizability, aggregate by aggregate: what each client was told agrees with the order in which things were seen to
//! happen from outside.
//!
//! The engine numbers what happens to an aggregate, so no search for an order is needed: the numbers are the order, and
//! the question is whether it is that of real time. A command that was first sent after another one had been answered is
//! decided on the state that that one had left, or on a later one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::load::{Entry, Verdict};

/// A command from when it was first sent until it was first answered.
struct Operation<'a> {
    entry: &'a Entry,
    asked_at: Duration,
    answered_at: Duration,
    /// The first sequence that it made; the one that it saw, if it made none.
    first: i64,
    makes: bool,
    /// Where the aggregate stood then.
    last: i64,
}

/// Nobody was answered from before what somebody else had been told before they asked.
pub fn is_that_of_real_time(history: &[Entry]) -> Vec<Violation> {
    let mut aggregates: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for entry in history {
        let Some((aggregate, operation)) = operation(entry) else {
            continue;
        };
        aggregates.entry(aggregate).or_default().push(operation);
    }
    let checked = |(aggregate, operations)| of_one(aggregate, operations);
    aggregates.into_iter().flat_map(checked).collect()
}

fn operation(entry: &Entry) -> Option<(&str, Operation<'_>)> {
    let answer = entry.answers.iter().min_by_key(|answer| answer.at)?;
    let events = match &answer.verdict {
        Verdict::Accepted(events) => events.as_slice(),
        Verdict::Refused(_) => &[],
    };
    let operation = Operation {
        entry,
        asked_at: entry.asked_at,
        answered_at: answer.at,
        first: events.first().map_or(answer.sequence, |event| event.sequence),
        makes: !events.is_empty(),
        last: answer.sequence,
    };
    Some((&answer.aggregate, operation))
}

fn of_one(aggregate: &str, operations: Vec<Operation<'_>>) -> Vec<Violation> {
    let mut ends: Vec<(Duration, i64)> = operations
        .iter()
        .map(|operation| (operation.answered_at, operation.last))
        .collect();
    ends.sort();
    let mut starts = operations;
    starts.sort_by_key(|operation| operation.asked_at);
    let mut ends = ends.into_iter().peekable();
    let mut seen = 0;
    let mut found = Vec::new();
    for operation in starts {
        while let Some((_, last)) = ends.next_if(|(at, _)| *at < operation.asked_at) {
            seen = seen.max(last);
        }
        let is_later = if operation.makes {
            operation.first > seen
        } else {
            operation.last >= seen
        };
        if !is_later {
            found.push(Violation::RealTime {
                aggregate: aggregate.to_owned(),
                key: operation.entry.asked.key,
                seen,
                came: operation.first,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::is_that_of_real_time;
    use crate::check::Violation;
    use crate::check::sample::Sample;

    #[test]
    fn a_good_history_passes_and_so_does_one_whose_commands_overlap() {
        let mut sample = Sample::good();
        assert_eq!(is_that_of_real_time(&sample.history), []);
        // The second is decided before the first, which was not answered yet when it was sent.
        sample.history[1].asked_at = Duration::ZERO;
        sample.history[0].answers.remove(0);
        assert_eq!(is_that_of_real_time(&sample.history), []);
    }

    #[test]
    fn an_event_in_the_place_of_one_that_was_answered_before_is_found() {
        let mut sample = Sample::good();
        // The first command is sent only when the second has been answered, and yet comes before it.
        sample.history[0].asked_at = Duration::from_secs(100);
        for answer in &mut sample.history[0].answers {
            answer.at = Duration::from_secs(101);
        }
        let found = is_that_of_real_time(&sample.history);
        assert!(
            matches!(&found[..], [Violation::RealTime { seen: 3, came: 1, .. }]),
            "{found:?}"
        );
    }

    #[test]
    fn a_refusal_from_an_older_state_than_was_told_is_found() {
        let mut sample = Sample::good();
        sample.history[2].answers[0].sequence = 1;
        let found = is_that_of_real_time(&sample.history);
        assert!(
            matches!(&found[..], [Violation::RealTime { seen: 3, came: 1, .. }]),
            "{found:?}"
        );
    }
}
