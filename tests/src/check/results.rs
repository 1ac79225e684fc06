//! Commands, results and events of one type side by side: every command is decided once, and what its result
//! says is what happened.

use std::collections::{BTreeMap, HashMap, HashSet};

use foldline_core::{CommandMeta, CommandResult, EventMeta, Outcome, RecordedEvent};
use uuid::Uuid;

use super::{Placed, Violation};

/// Each record of the command topic has one result, and each result is of one of them.
pub fn one_for_each_record(
    commands: &[Placed<CommandMeta>],
    results: &[Placed<CommandResult>],
) -> Vec<Violation> {
    let mut counts: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for command in commands {
        counts.insert((command.partition, command.offset), 0);
    }
    let mut found = Vec::new();
    for result in results {
        let (partition, offset) = (result.partition, result.record.command_offset);
        match counts.get_mut(&(partition, offset)) {
            Some(count) => *count += 1,
            None => found.push(Violation::ResultCount {
                partition,
                offset,
                results: 1,
            }),
        }
    }
    let wrong = counts.into_iter().filter(|(_, count)| *count != 1);
    found.extend(
        wrong.map(|((partition, offset), results)| Violation::ResultCount {
            partition,
            offset,
            results,
        }),
    );
    found
}

/// Each command id was decided once; every other result repeats that decision, and comes later.
pub fn decided_once(results: &[Placed<CommandResult>]) -> Vec<Violation> {
    let mut by_command: BTreeMap<Uuid, Vec<&CommandResult>> = BTreeMap::new();
    for result in results {
        by_command
            .entry(result.record.command_id)
            .or_default()
            .push(&result.record);
    }
    let mut found = Vec::new();
    for (command, results) in by_command {
        let times = results.iter().filter(|result| !result.replayed).count();
        if times != 1 || results[0].replayed {
            found.push(Violation::Decided { command, times });
            continue;
        }
        let first = said(results[0]);
        let other = results
            .iter()
            .map(|result| said(result))
            .find(|then| *then != first);
        if let Some(then) = other {
            found.push(Violation::OtherRepetition { command, first, then });
        }
    }
    found
}

/// Everything that a repetition must say again.
fn said(result: &CommandResult) -> String {
    format!(
        "{} at {} by {}: {:?}",
        result.command_type,
        result.sequence,
        result.aggregate_id,
        result.decided()
    )
}

/// The results of a partition stand in the order of their commands.
pub fn command_order(results: &[Placed<CommandResult>]) -> Vec<Violation> {
    let mut last: HashMap<i32, i64> = HashMap::new();
    let mut found = Vec::new();
    for result in results {
        let offset = result.record.command_offset;
        match last.insert(result.partition, offset) {
            Some(last) if last >= offset => found.push(Violation::CommandOrder {
                topic: "results",
                partition: result.partition,
                offset: result.offset,
                found: offset,
                last,
            }),
            _ => {}
        }
    }
    found
}

/// The events that a decision names are those that its command has; no other command has any.
pub fn name_their_events(results: &[Placed<CommandResult>], events: &[Placed<EventMeta>]) -> Vec<Violation> {
    let stand = events_by_command(events);
    let mut decided = HashSet::new();
    let mut found = Vec::new();
    let decisions = results.iter().filter(|result| !result.record.replayed);
    for Placed { record, .. } in decisions {
        decided.insert(record.command_id);
        let named = match record.decided() {
            Outcome::Accepted(events) => events,
            Outcome::Refused(_) => Vec::new(),
        };
        found.extend(compare(record.command_id, "result", &named, &stand));
    }
    for command in stand.keys().filter(|command| !decided.contains(*command)) {
        found.extend(compare(*command, "result", &[], &stand));
    }
    found
}

/// The events of each command, in the order in which they lie.
pub(super) fn events_by_command(events: &[Placed<EventMeta>]) -> HashMap<Uuid, Vec<RecordedEvent>> {
    let mut by_command: HashMap<Uuid, Vec<RecordedEvent>> = HashMap::new();
    for Placed { record, .. } in events {
        by_command
            .entry(record.command_id)
            .or_default()
            .push(RecordedEvent {
                event_id: record.event_id,
                event_type: record.event_type.clone(),
                sequence: record.sequence,
            });
    }
    by_command
}

/// Whether a command's events are those that are named, each once and in this order.
pub(super) fn compare(
    command: Uuid,
    by: &'static str,
    named: &[RecordedEvent],
    stand: &HashMap<Uuid, Vec<RecordedEvent>>,
) -> Option<Violation> {
    let stand = stand.get(&command).map(Vec::as_slice).unwrap_or_default();
    (named != stand).then(|| Violation::OtherEvents {
        command,
        by,
        named: format!("{named:?}"),
        stand: format!("{stand:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{command_order, decided_once, name_their_events, one_for_each_record};
    use crate::check::Violation;
    use crate::check::sample::Sample;

    fn violations(sample: &Sample) -> Vec<Violation> {
        [
            one_for_each_record(&sample.commands, &sample.results),
            decided_once(&sample.results),
            command_order(&sample.results),
            name_their_events(&sample.results, &sample.events),
        ]
        .concat()
    }

    #[test]
    fn a_good_history_passes() {
        assert_eq!(violations(&Sample::good()), []);
    }

    #[test]
    fn a_command_without_result_is_found() {
        let mut sample = Sample::good();
        sample.results.pop();
        let found = violations(&sample);
        assert!(
            found.contains(&Violation::ResultCount {
                partition: sample.results[0].partition,
                offset: 3,
                results: 0
            }),
            "{found:?}"
        );
    }

    #[test]
    fn a_command_record_that_was_read_twice_is_found() {
        let mut sample = Sample::good();
        let again = sample.results[3].clone();
        sample.results.push(again);
        let found = violations(&sample);
        assert!(
            matches!(found[0], Violation::ResultCount { results: 2, .. }),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|violation| matches!(violation, Violation::CommandOrder { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn a_command_that_was_decided_twice_is_found() {
        let mut sample = Sample::good();
        sample.results[3].record.replayed = false;
        let found = violations(&sample);
        assert!(
            matches!(found[0], Violation::Decided { times: 2, .. }),
            "{found:?}"
        );
    }

    #[test]
    fn a_repetition_without_a_decision_is_found() {
        let mut sample = Sample::good();
        sample.results[0].record.replayed = true;
        let found = violations(&sample);
        assert!(
            matches!(found[0], Violation::Decided { times: 0, .. }),
            "{found:?}"
        );
    }

    #[test]
    fn a_repetition_that_says_something_else_is_found() {
        let mut sample = Sample::good();
        sample.results[3].record.sequence += 1;
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::OtherRepetition { .. }]),
            "{found:?}"
        );
    }

    #[test]
    fn a_refused_command_with_events_is_found() {
        let mut sample = Sample::good();
        let refused = sample.results[2].record.command_id;
        let mut event = sample.events[0].clone();
        event.record.command_id = refused;
        sample.events.push(event);
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::OtherEvents { command, .. }] if *command == refused),
            "{found:?}"
        );
    }

    #[test]
    fn an_accepted_command_without_events_is_found() {
        let mut sample = Sample::good();
        sample.events.remove(0);
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::OtherEvents { stand, .. }] if stand == "[]"),
            "{found:?}"
        );
    }

    #[test]
    fn events_whose_command_has_no_result_are_found() {
        let mut sample = Sample::good();
        sample.commands.remove(1);
        sample.results.remove(1);
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::OtherEvents { named, .. }] if named == "[]"),
            "{found:?}"
        );
    }
}
