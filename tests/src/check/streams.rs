//! The event topic in itself: nothing missing, nothing twice, nothing in half.

use std::collections::{HashMap, HashSet};

use foldline_core::{AggregateId, EventMeta, partition_of};
use uuid::Uuid;

use super::{Placed, Violation};

/// The events of each aggregate are numbered from 1, without gap or repetition, in the order in which they lie,
/// and lie in the aggregate's partition.
pub fn sequences(events: &[Placed<EventMeta>], partitions: i32) -> Vec<Violation> {
    let mut last: HashMap<&AggregateId, i64> = HashMap::new();
    let mut found = Vec::new();
    for Placed {
        partition,
        offset,
        record: event,
    } in events
    {
        let id = &event.aggregate_id;
        let right = partition_of(id, partitions);
        if *partition != right {
            found.push(Violation::Partition {
                aggregate: id.to_string(),
                found: *partition,
                right,
            });
        }
        let last = last.entry(id).or_default();
        if event.sequence != *last + 1 {
            found.push(Violation::Sequence {
                aggregate: id.to_string(),
                found: event.sequence,
                last: *last,
                partition: *partition,
                offset: *offset,
            });
        }
        *last = event.sequence;
    }
    found
}

/// Each command has all of its events, once, one behind the other, and no event has the id of another.
pub fn whole_commands(events: &[Placed<EventMeta>]) -> Vec<Violation> {
    let mut by_command: HashMap<Uuid, Vec<&Placed<EventMeta>>> = HashMap::new();
    let mut ids = HashSet::new();
    let mut found = Vec::new();
    for event in events {
        let command = event.record.command_id;
        by_command.entry(command).or_default().push(event);
        if !ids.insert(event.record.event_id) {
            let what = format!("{} stands there twice", event.record.event_id);
            found.push(Violation::NotWhole { command, what });
        }
    }
    for (command, events) in by_command {
        if let Some(what) = broken(&events) {
            found.push(Violation::NotWhole { command, what });
        }
    }
    found
}

fn broken(events: &[&Placed<EventMeta>]) -> Option<String> {
    let first = events.first()?;
    let count = usize::try_from(first.record.count).unwrap_or_default();
    if count != events.len() {
        return Some(format!("{} of {count} are there", events.len()));
    }
    let follows = |(index, event): (i32, &&Placed<EventMeta>)| {
        let record = &event.record;
        record.index == index
            && record.count == first.record.count
            && record.aggregate_id == first.record.aggregate_id
            && record.sequence == first.record.sequence + i64::from(index)
            && record.command_offset == first.record.command_offset
            && event.partition == first.partition
            && event.offset == first.offset + i64::from(index)
    };
    let all_follow = (0..).zip(events).all(follows);
    (!all_follow).then(|| "they are not one behind the other".to_owned())
}

/// The events of a partition stand in the order of their commands.
pub fn command_order(events: &[Placed<EventMeta>]) -> Vec<Violation> {
    let mut last: HashMap<i32, &EventMeta> = HashMap::new();
    let mut found = Vec::new();
    for event in events {
        let before = last.insert(event.partition, &event.record);
        let Some(before) = before else { continue };
        let same_command = before.command_id == event.record.command_id;
        let in_order = event.record.command_offset > before.command_offset
            || (same_command && event.record.command_offset == before.command_offset);
        if !in_order {
            found.push(Violation::CommandOrder {
                topic: "events",
                partition: event.partition,
                offset: event.offset,
                found: event.record.command_offset,
                last: before.command_offset,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{command_order, sequences, whole_commands};
    use crate::check::sample::{self, Sample};
    use crate::check::{Placed, Violation};

    fn violations(sample: &Sample) -> Vec<Violation> {
        [
            sequences(&sample.events, sample::PARTITIONS),
            whole_commands(&sample.events),
            command_order(&sample.events),
        ]
        .concat()
    }

    #[test]
    fn a_good_history_passes() {
        assert_eq!(violations(&Sample::good()), []);
    }

    #[test]
    fn an_event_that_is_missing_is_found() {
        let mut sample = Sample::good();
        sample.events.remove(0);
        let found = violations(&sample);
        assert!(
            matches!(
                &found[..],
                [Violation::Sequence {
                    found: 2,
                    last: 0,
                    ..
                }]
            ),
            "{found:?}"
        );
    }

    #[test]
    fn events_that_stand_twice_are_found() {
        let mut sample = Sample::good();
        let again = sample.events[0].clone();
        sample.events.push(Placed { offset: 90, ..again });
        let found = violations(&sample);
        let is_twice = |violation: &Violation| matches!(violation, Violation::NotWhole { .. });
        assert!(found.iter().any(is_twice), "{found:?}");
        assert!(
            found
                .iter()
                .any(|violation| matches!(violation, Violation::Sequence { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn a_command_that_was_decided_twice_is_found_though_its_sequences_have_no_gap() {
        let mut sample = Sample::good();
        let mut again = sample.events[0].clone();
        again.record.sequence = sample.events.len() as i64 + 1;
        again.record.command_offset = 99;
        again.offset = 90;
        sample.events.push(again);
        let found = violations(&sample);
        assert!(matches!(found[0], Violation::NotWhole { .. }), "{found:?}");
    }

    #[test]
    fn half_a_command_is_found() {
        let mut sample = Sample::good();
        sample.events.pop();
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::NotWhole { what, .. }] if what == "1 of 2 are there"),
            "{found:?}"
        );
    }

    #[test]
    fn a_command_that_another_one_has_cut_in_two_is_found() {
        let mut sample = Sample::good();
        let last = sample.events.len() - 1;
        sample.events[last].offset += 1;
        let found = violations(&sample);
        assert!(matches!(&found[..], [Violation::NotWhole { .. }]), "{found:?}");
    }

    #[test]
    fn commands_that_were_decided_out_of_order_are_found() {
        let mut sample = Sample::good();
        sample.events[0].record.command_offset = 3;
        let found = violations(&sample);
        assert!(
            matches!(
                &found[..],
                [Violation::CommandOrder {
                    found: 1,
                    last: 3,
                    ..
                }]
            ),
            "{found:?}"
        );
    }

    #[test]
    fn an_event_in_a_foreign_partition_is_found() {
        let mut sample = Sample::good();
        sample.events[0].partition += 1;
        let found = violations(&sample);
        assert!(
            found
                .iter()
                .any(|violation| matches!(violation, Violation::Partition { .. })),
            "{found:?}"
        );
    }
}
