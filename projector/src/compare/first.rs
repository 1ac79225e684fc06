//! The first event after which two folds of a row differ.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::trace::{EventPlace, RowTrace, Step};

/// More events of a row than that are not left out one by one: it would take their square.
const LEFT_OUT_MAX: usize = 200;

/// The event, and how it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstDifference {
    /// The event.
    pub event: EventPlace,
    /// How it was found, for people.
    pub found: String,
}

/// By the folds of both programs, event by event.
pub fn first_by_both(served: &RowTrace, built: &RowTrace) -> Option<FirstDifference> {
    let places: Vec<&EventPlace> = merged(&served.steps, &built.steps);
    let after = |trace: &'_ RowTrace, place: &EventPlace| -> Option<Option<Value>> {
        let step = trace.steps.iter().find(|step| step.event == *place)?;
        Some(step.row.clone())
    };
    let (mut old, mut new) = (None, None);
    for place in places {
        // An event that does not touch the row leaves it as it is.
        old = after(served, place).unwrap_or(old);
        new = after(built, place).unwrap_or(new);
        if old != new {
            return Some(FirstDifference {
                event: place.clone(),
                found: "the folds of both programs are the same before it and differ after it".to_owned(),
            });
        }
    }
    None
}

/// Both in their order: what one of them has not stands where the other has it.
fn merged<'a>(old: &'a [Step], new: &'a [Step]) -> Vec<&'a EventPlace> {
    let known: BTreeSet<_> = new.iter().map(|step| step.event.key()).collect();
    let mut old = old.iter().peekable();
    let mut all = Vec::new();
    for step in new {
        while let Some(only_old) = old.next_if(|other| !known.contains(&other.event.key())) {
            all.push(&only_old.event);
        }
        all.push(&step.event);
        let _ = old.next_if(|other| other.event == step.event);
    }
    all.extend(
        old.map(|step| &step.event)
            .filter(|event| !known.contains(&event.key())),
    );
    all
}

/// By one program alone: what the served row would have to have missed, or counted twice, to be what it is.
pub fn first_by_one(
    served: Option<&Value>,
    built: &RowTrace,
    refold: impl Fn(&[usize]) -> Option<Value>,
) -> Option<FirstDifference> {
    let steps = &built.steps;
    let first = |index: usize, found: &str| {
        Some(FirstDifference {
            event: steps[index].event.clone(),
            found: found.to_owned(),
        })
    };
    // As it stood after each event, from the one before the last back to none at all.
    let before = |index: &usize| index.checked_sub(1).and_then(|last| steps[last].row.as_ref());
    if let Some(index) = (0..steps.len()).rev().find(|index| before(index) == served) {
        return first(index, "the served row is as it was before this event");
    }
    let all: Vec<usize> = (0..steps.len()).collect();
    let is_served = |order: &[usize]| refold(order).as_ref() == served;
    let types: BTreeSet<&str> = steps.iter().map(|step| step.event.event_type.as_str()).collect();
    for kind in types {
        let is_of_it = |index: &usize| steps[*index].event.event_type == kind;
        let without: Vec<usize> = all.iter().copied().filter(|index| !is_of_it(index)).collect();
        let index = all.iter().copied().find(|index| is_of_it(index));
        if let Some(index) = index.filter(|_| is_served(&without)) {
            return first(index, "the served row is as if there were no events of this type");
        }
    }
    if steps.len() > LEFT_OUT_MAX {
        return None;
    }
    for index in 0..steps.len() {
        let mut order = all.clone();
        order.remove(index);
        if is_served(&order) {
            return first(index, "the served row is as if this event were not there");
        }
        order.insert(index, index);
        order.insert(index, index);
        if is_served(&order) {
            return first(index, "the served row is as if this event came twice");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{first_by_both, first_by_one};
    use crate::trace::{EventPlace, RowTrace, Step};

    fn event(sequence: i64, kind: &str) -> EventPlace {
        EventPlace {
            aggregate: "bar.tabs".to_owned(),
            id: "a".to_owned(),
            sequence: Some(sequence),
            event_type: kind.to_owned(),
            partition: 0,
            offset: sequence * 2,
            recorded_at: sequence,
        }
    }

    /// A sum of these amounts; each event has a type.
    fn trace(amounts: &[(&str, i64)]) -> RowTrace {
        let mut total = 0;
        let steps = (1..).zip(amounts).map(|(sequence, (kind, amount))| {
            total += amount;
            Step {
                event: event(sequence, kind),
                row: Some(json!(total)),
                failed: None,
            }
        });
        RowTrace {
            id: "a".to_owned(),
            steps: steps.collect(),
        }
    }

    #[test]
    fn two_folds_differ_from_the_first_event_on_that_they_disagree_about() {
        let built = trace(&[("A", 1), ("B", 2), ("A", 3), ("B", 4)]);
        let served = trace(&[("A", 1), ("B", 0), ("A", 3), ("B", 0)]);
        assert_eq!(first_by_both(&served, &built).unwrap().event, event(2, "B"));
        assert_eq!(first_by_both(&built, &served).unwrap().event, event(2, "B"));
        assert_eq!(first_by_both(&built, &built), None);
        // One that does not even look at an event.
        let mut blind = trace(&[("A", 1), ("B", 2), ("A", 3), ("B", 0)]);
        blind.steps.remove(3);
        assert_eq!(first_by_both(&blind, &built).unwrap().event, event(4, "B"));
        assert_eq!(first_by_both(&built, &blind).unwrap().event, event(4, "B"));
    }

    #[test]
    fn what_the_served_row_has_missed_or_has_twice_is_found_without_its_program() {
        let amounts = [("A", 1), ("B", 20), ("A", 300), ("C", 4000), ("B", 50000)];
        let built = trace(&amounts);
        let refold = |order: &[usize]| Some(json!(order.iter().map(|index| amounts[*index].1).sum::<i64>()));
        let found = |served: Option<Value>| first_by_one(served.as_ref(), &built, refold);
        let cases = [
            (Some(json!(4321)), 5, "as it was before"),
            (Some(json!(321)), 4, "as it was before"),
            (None, 1, "as it was before"),
            (Some(json!(54020)), 1, "no events of this type"),
            (Some(json!(50321)), 4, "no events of this type"),
            (Some(json!(54301)), 2, "were not there"),
            (Some(json!(54621)), 3, "came twice"),
        ];
        for (served, sequence, how) in cases {
            let first = found(served.clone()).unwrap_or_else(|| panic!("nothing for {served:?}"));
            assert_eq!(first.event.sequence, Some(sequence), "{served:?}: {first:?}");
            assert!(first.found.contains(how), "{served:?}: {first:?}");
        }
        assert_eq!(found(Some(json!(7))), None);
    }
}
