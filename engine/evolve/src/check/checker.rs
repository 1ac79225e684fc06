//! The comparison of one partition.

use std::collections::{BTreeMap, HashMap};

use foldline_core::{AggregateId, AggregateType, CommandResult, DecodedEvent, Sequence, State};
use serde_json::json;

use super::Checking;
use super::section::Section;
use crate::findings::Example;
use crate::log::Snapshots;
use crate::record::{possible, unique};
use crate::recording::{Again, AggregateLine, TypeLine, step};
use crate::refold::{Folded, Observer};
use crate::rerun::{Moment, Outcome};
use crate::shape::Shape;

/// Compares a partition while it is folded.
pub(super) struct Checker<'a> {
    checking: &'a mut Checking,
    aggregate: &'a dyn AggregateType,
    of_type: &'a TypeLine,
    number: i32,
    states: Shape,
    /// What snapshots are compared by: which form they had is not known.
    todays_states: Shape,
    events: Shape,
    section: Option<Section>,
    snapshots: &'a Snapshots,
    /// Where an aggregate was first in another state: the sequence, and the event's type.
    first: HashMap<AggregateId, (Sequence, String)>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        checking: &'a mut Checking,
        aggregate: &'a dyn AggregateType,
        of_type: &'a TypeLine,
        number: i32,
        section: Option<Section>,
        snapshots: &'a Snapshots,
    ) -> Self {
        Self {
            checking,
            aggregate,
            number,
            states: Shape::new(of_type.state_schema.clone()),
            todays_states: Shape::todays(aggregate.state_schema()),
            events: Shape::new(of_type.event_schema.clone()),
            of_type,
            section,
            snapshots,
            first: HashMap::new(),
        }
    }

    fn place(&self, offset: i64) -> String {
        format!("partition {}, offset {offset}", self.number)
    }

    pub(super) fn finish(mut self, folded: &BTreeMap<AggregateId, Folded>) {
        let Some(section) = self.section.take() else {
            return;
        };
        for (id, line) in &section.aggregates {
            self.checking.compared.aggregates += 1;
            match folded.get(id) {
                // Why it stops is a finding of its own.
                Some(folded) if folded.broken.is_some() => {}
                Some(folded) => self.compare(line, folded),
                None => self.found("aggregate", "gone", || Example::of(id)),
            }
        }
        for (id, _) in folded
            .iter()
            .filter(|(id, _)| !section.aggregates.contains_key(*id))
        {
            self.found("aggregate", "new", || Example::of(id));
        }
    }

    fn compare_snapshot(&mut self, event: &DecodedEvent, after: &State) {
        let id = &event.meta.aggregate_id;
        let Some((sequence, before)) = self.snapshots.get(id) else {
            return;
        };
        if *sequence != event.meta.sequence {
            return;
        }
        self.checking.compared.snapshots += 1;
        for difference in self
            .todays_states
            .differences(before, &self.aggregate.state_json(after))
        {
            self.found("state", &difference.path, || Example {
                what: id.to_string(),
                at: format!("snapshot at sequence {sequence}"),
                before: difference.before,
                after: difference.after,
            });
        }
    }

    fn found(&mut self, kind: &str, what: &str, example: impl FnOnce() -> Example) {
        let key = format!("{kind} {} {what}", self.of_type.name);
        self.checking.findings.add(key, example);
    }

    fn compare(&mut self, line: &AggregateLine, folded: &Folded) {
        let id = &line.id;
        let at = match self.first.remove(id) {
            Some((sequence, event)) => format!("since sequence {sequence} ({event})"),
            None => format!("at sequence {}", folded.sequence),
        };
        if line.sequence != folded.sequence {
            self.found("sequence", "is another one", || Example {
                before: Some(json!(line.sequence)),
                after: Some(json!(folded.sequence)),
                ..Example::of(id)
            });
        }
        let state = self.aggregate.state_json(&folded.state);
        let differences = self.states.differences(&line.state, &state);
        if differences.is_empty() && at.starts_with("since") {
            self.found("state", "on the way", || Example {
                at: format!("{at}; at the end it is the same"),
                ..Example::of(id)
            });
        }
        for difference in differences {
            self.found("state", &difference.path, || Example {
                what: id.to_string(),
                at: at.clone(),
                before: difference.before,
                after: difference.after,
            });
        }
        let now = unique(self.aggregate, &self.checking.keys, &folded.state);
        if line.unique != now {
            self.found("unique", "values", || Example {
                before: Some(json!(line.unique)),
                after: Some(json!(now)),
                ..Example::of(id)
            });
        }
        let mut now = possible(self.aggregate, &folded.state);
        now.retain(|command| self.of_type.commands.contains(command));
        if line.possible != now {
            self.found("possible", "commands", || Example {
                before: Some(json!(line.possible)),
                after: Some(json!(now)),
                ..Example::of(id)
            });
        }
    }

    /// Whether a command comes out as it did.
    fn agrees(&self, offset: i64, moment: &Moment<'_>, outcome: &Outcome, logged: &Outcome) -> bool {
        let is_logged = |outcome: &Outcome| outcome.is_same(logged, &self.events);
        let Some(section) = &self.section else {
            return is_logged(outcome) || moment.agrees_nearby(is_logged);
        };
        match section.commands.get(&offset) {
            None => is_logged(outcome),
            Some(Again::Nearby) => is_logged(outcome) || moment.agrees_nearby(is_logged),
            Some(Again::Otherwise(recorded)) => outcome.clone().project(&self.events) == *recorded,
            Some(Again::Unreadable) => true,
        }
    }

    /// What a command came to before.
    fn before(&self, offset: i64, logged: Outcome) -> Outcome {
        match self
            .section
            .as_ref()
            .and_then(|section| section.commands.get(&offset))
        {
            Some(Again::Otherwise(recorded)) => recorded.clone(),
            _ => logged,
        }
    }
}

impl Observer for Checker<'_> {
    fn folded(&mut self, event: &DecodedEvent, after: &State) {
        let meta = &event.meta;
        self.compare_snapshot(event, after);
        let recorded = self
            .section
            .as_ref()
            .and_then(|section| section.aggregates.get(&meta.aggregate_id));
        let Some((read, state)) = recorded.and_then(|line| step(&line.trail, meta.sequence)) else {
            return;
        };
        let tagged = self.aggregate.event_tagged(&event.event);
        if self.events.mark(&tagged) != read {
            self.found("event", &meta.event_type, || Example {
                at: format!("sequence {}", meta.sequence),
                after: tagged.get(&meta.event_type).cloned(),
                ..Example::of(&meta.aggregate_id)
            });
        }
        if !self.first.contains_key(&meta.aggregate_id)
            && self.states.mark(&self.aggregate.state_json(after)) != state
        {
            self.first.insert(
                meta.aggregate_id.clone(),
                (meta.sequence, meta.event_type.clone()),
            );
        }
    }

    fn unreadable(&mut self, offset: i64, id: Option<&AggregateId>, reason: &str) {
        if self
            .section
            .as_ref()
            .is_some_and(|section| section.unreadable.contains(&offset))
        {
            return;
        }
        let (what, at) = (
            id.map(ToString::to_string).unwrap_or_default(),
            self.place(offset),
        );
        let after = Some(json!(reason));
        self.found("unreadable", &without_numbers(reason), || Example {
            what,
            at,
            before: None,
            after,
        });
    }

    fn decided(&mut self, offset: i64, moment: &Moment<'_>, logged: Outcome) {
        let outcome = moment.decide();
        if self.agrees(offset, moment, &outcome, &logged) {
            return;
        }
        let before = self.before(offset, logged);
        let meta = &moment.command.meta;
        let at = format!("command at {}", self.place(offset));
        let what = |what: &str| format!("{} {what}", meta.command_type);
        let events = match (&before, &outcome) {
            (Outcome::Accepted(before), Outcome::Accepted(after)) if before.len() == after.len() => {
                before.iter().zip(after)
            }
            _ => {
                let changed = what(&format!("{} -> {}", before.brief(), outcome.brief()));
                self.found("outcome", &changed, || Example {
                    what: meta.aggregate_id.to_string(),
                    at,
                    before: Some(json!(before)),
                    after: Some(json!(outcome)),
                });
                return;
            }
        };
        let differences: Vec<_> = events
            .flat_map(|(before, after)| self.events.differences(before, after))
            .collect();
        for difference in differences {
            self.found("outcome", &what(&difference.path), || Example {
                what: meta.aggregate_id.to_string(),
                at: at.clone(),
                before: difference.before,
                after: difference.after,
            });
        }
    }

    fn unreadable_command(&mut self, result: &CommandResult, reason: &str) {
        let recorded = self
            .section
            .as_ref()
            .and_then(|section| section.commands.get(&result.command_offset));
        if recorded == Some(&Again::Unreadable) {
            return;
        }
        let at = self.place(result.command_offset);
        self.found(
            "command",
            &format!("{} cannot be read", result.command_type),
            || Example {
                at,
                after: Some(json!(reason)),
                ..Example::of(&result.aggregate_id)
            },
        );
    }
}

/// A reason without what differs from record to record, and without the schemas that Avro's errors show.
fn without_numbers(reason: &str) -> String {
    let reason = reason.split(" {").next().unwrap_or_default();
    let mut general = String::new();
    for letter in reason.chars().take(200) {
        match letter.is_ascii_digit() {
            true if general.ends_with('N') => {}
            true => general.push('N'),
            false => general.push(letter),
        }
    }
    general
}
