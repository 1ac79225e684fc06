//! What a follower of an event feed was told, against the log.

use std::collections::{BTreeMap, HashMap};

use foldline_core::EventMeta;

use super::{Placed, Violation};

/// Each event once, in the order in which they stand in their partitions. `told` are the ids of the events.
pub fn is_the_log<'a>(
    events: &[Placed<EventMeta>],
    told: impl IntoIterator<Item = &'a str>,
) -> Vec<Violation> {
    let mut log: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    let mut partition_of: HashMap<String, i32> = HashMap::new();
    for event in events {
        let id = event.record.event_id.to_string();
        partition_of.insert(id.clone(), event.partition);
        log.entry(event.partition).or_default().push(id);
    }
    let mut shown: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for id in told {
        // What the log does not have is told of no partition.
        let partition = partition_of.get(id).copied().unwrap_or(-1);
        shown.entry(partition).or_default().push(id);
    }
    let partitions = log.keys().chain(shown.keys()).copied();
    let partitions: std::collections::BTreeSet<i32> = partitions.collect();
    let first_difference = |partition: i32| {
        let stands = log.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let told = shown.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let number = (0..stands.len().max(told.len()))
            .find(|number| stands.get(*number).map(String::as_str) != told.get(*number).copied())?;
        Some(Violation::Told {
            partition,
            number,
            told: told.get(number).copied().unwrap_or("nothing").to_owned(),
            stands: stands.get(number).map_or("nothing", String::as_str).to_owned(),
        })
    };
    partitions.into_iter().filter_map(first_difference).collect()
}

#[cfg(test)]
mod tests {
    use super::is_the_log;
    use crate::check::sample::Sample;

    #[test]
    fn an_event_that_is_missing_told_twice_early_or_of_nobody_is_found() {
        let events = Sample::good().events;
        let ids: Vec<String> = events
            .iter()
            .map(|event| event.record.event_id.to_string())
            .collect();
        let told = |numbers: &[usize]| -> Vec<&str> { numbers.iter().map(|n| ids[*n].as_str()).collect() };
        assert_eq!(is_the_log(&events, told(&[0, 1, 2])), []);
        for wrong in [
            told(&[0, 2]),
            told(&[0, 1]),
            told(&[0, 1, 1, 2]),
            told(&[1, 0, 2]),
            vec![&ids[0], &ids[1], &ids[2], "another"],
        ] {
            assert_eq!(is_the_log(&events, wrong.clone()).len(), 1, "{wrong:?}");
        }
    }
}
