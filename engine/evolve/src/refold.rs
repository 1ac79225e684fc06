//! The fold of one partition, event by event, with the commands between them.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldline_core::{
    AggregateId, AggregateType, CommandResult, DecodedCommand, DecodedEvent, Sequence, State,
};
use serde::Serialize;

use crate::EvolveError;
use crate::past::Past;
use crate::rerun::{Moment, Outcome, can_be_rerun};
use crate::rows::Rows;

/// An event as it lies in its partition.
pub(crate) struct EventAt {
    pub(crate) offset: i64,
    /// By the record's key.
    pub(crate) id: Option<AggregateId>,
    pub(crate) event: Result<DecodedEvent, String>,
}

/// A command as it lies in its partition.
pub(crate) struct CommandAt {
    pub(crate) offset: i64,
    pub(crate) command: Result<DecodedCommand, String>,
}

pub(crate) type Tape<'a, T> = Box<dyn Iterator<Item = Result<T, EvolveError>> + 'a>;

/// What lies in the partitions of one number of an aggregate type, in order.
pub(crate) struct Partition<'a> {
    pub(crate) aggregate: &'a Arc<dyn AggregateType>,
    pub(crate) events: Tape<'a, EventAt>,
    pub(crate) results: Tape<'a, CommandResult>,
    pub(crate) commands: Tape<'a, CommandAt>,
}

/// An aggregate, as far as it was folded.
pub(crate) struct Folded {
    pub(crate) state: State,
    pub(crate) sequence: Sequence,
    /// Why it could not be folded any further.
    pub(crate) broken: Option<String>,
}

/// Watches a fold.
pub(crate) trait Observer {
    /// An event was folded: the aggregate after it.
    fn folded(&mut self, event: &DecodedEvent, after: &State);
    /// An event, or what stands where one should be, cannot be folded. Nothing more of its aggregate is.
    fn unreadable(&mut self, offset: i64, id: Option<&AggregateId>, reason: &str);
    /// A command that the log has an outcome for.
    fn decided(&mut self, offset: i64, moment: &Moment<'_>, logged: Outcome);
    /// A command that has an outcome and cannot be read.
    fn unreadable_command(&mut self, result: &CommandResult, reason: &str);
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Commands that were decided once more.
    pub commands: u64,
    /// Commands whose records are gone by retention.
    pub gone: u64,
    /// Commands whose outcome the log cannot tell: repetitions, dry runs, those that came too early; and those of
    /// aggregates that cannot be folded.
    pub not_rerun: u64,
}

/// Folds a partition. Returns the aggregates as they are at its end.
pub(crate) fn refold(
    partition: Partition<'_>,
    past: &Past,
    rows: &mut Rows<'_>,
    observer: &mut dyn Observer,
    counts: &mut Counts,
) -> Result<BTreeMap<AggregateId, Folded>, EvolveError> {
    let mut folding = Folding {
        aggregate: partition.aggregate,
        past,
        rows,
        observer,
        counts,
        states: HashMap::new(),
    };
    let mut events = partition.events.peekable();
    let mut commands = partition.commands.peekable();
    for result in partition.results {
        let result = result?;
        // The events of a batch lie in the order of its commands, and so do its results.
        folding.fold_while(&mut events, |offset| offset < result.command_offset)?;
        let made = take_while(&mut events, |offset| offset == result.command_offset)?;
        folding.rerun(&result, &made, &mut commands)?;
        made.into_iter().for_each(|event| folding.fold(event));
    }
    folding.fold_while(&mut events, |_| true)?;
    Ok(folding.states.into_iter().collect())
}

struct Folding<'a, 'v> {
    aggregate: &'a Arc<dyn AggregateType>,
    past: &'a Past,
    rows: &'a mut Rows<'v>,
    observer: &'a mut dyn Observer,
    counts: &'a mut Counts,
    states: HashMap<AggregateId, Folded>,
}

impl Folding<'_, '_> {
    fn fold_while(
        &mut self,
        events: &mut Peekable<Tape<'_, EventAt>>,
        is_due: impl Fn(i64) -> bool,
    ) -> Result<(), EvolveError> {
        while let Some(event) = next_if(events, &is_due)? {
            self.fold(event);
        }
        Ok(())
    }

    fn fold(&mut self, at: EventAt) {
        self.counts.events += 1;
        let event = match (at.event, &at.id) {
            (Ok(event), Some(id)) if event.meta.aggregate_id == *id => event,
            (Ok(event), _) => {
                let reason = format!("it is of {}, not of its key", event.meta.aggregate_id);
                return self.give_up(at.offset, at.id.as_ref(), reason);
            }
            (Err(reason), id) => return self.give_up(at.offset, id.as_ref(), reason),
        };
        let folded = entry(&mut self.states, self.aggregate, &event.meta.aggregate_id);
        if folded.broken.is_some() {
            return;
        }
        if event.meta.sequence != folded.sequence + 1 {
            let reason = format!("its sequence {} follows {}", event.meta.sequence, folded.sequence);
            return self.give_up(at.offset, at.id.as_ref(), reason);
        }
        let evolve = || self.aggregate.evolve(&mut folded.state, &event.event);
        if catch_unwind(AssertUnwindSafe(evolve)).is_err() {
            return self.give_up(at.offset, at.id.as_ref(), "folding it panicked".to_owned());
        }
        folded.sequence = event.meta.sequence;
        self.observer.folded(&event, &folded.state);
        self.rows.apply(self.aggregate, &event);
    }

    fn give_up(&mut self, offset: i64, id: Option<&AggregateId>, reason: String) {
        self.observer.unreadable(offset, id, &reason);
        if let Some(id) = id {
            entry(&mut self.states, self.aggregate, id)
                .broken
                .get_or_insert(reason);
        }
    }

    fn rerun(
        &mut self,
        result: &CommandResult,
        made: &[EventAt],
        commands: &mut Peekable<Tape<'_, CommandAt>>,
    ) -> Result<(), EvolveError> {
        // Those that lie before it and have no result are dead letters.
        let found = loop {
            match next_command(commands, result.command_offset)? {
                Some(command) if command.offset < result.command_offset => {}
                found => break found,
            }
        };
        let Some(found) = found else {
            self.counts.gone += 1;
            return Ok(());
        };
        // Those that cannot be read do not say which command they are of.
        let events: Vec<&DecodedEvent> = made.iter().filter_map(|at| at.event.as_ref().ok()).collect();
        let folded = entry(&mut self.states, self.aggregate, &result.aggregate_id);
        if !can_be_rerun(result) || events.len() != result.events.len() || folded.broken.is_some() {
            self.counts.not_rerun += 1;
            return Ok(());
        }
        let command = match found.command {
            Ok(command) => command,
            Err(reason) => {
                self.observer.unreadable_command(result, &reason);
                return Ok(());
            }
        };
        self.counts.commands += 1;
        let tagged = events
            .iter()
            .map(|event| self.aggregate.event_tagged(&event.event));
        let logged = Outcome::logged(result, tagged.collect());
        let moment = Moment {
            aggregate: self.aggregate,
            past: self.past,
            state: &folded.state,
            sequence: folded.sequence,
            command: &command,
            decided_at: result.decided_at,
        };
        self.observer.decided(found.offset, &moment, logged);
        Ok(())
    }
}

fn entry<'s>(
    states: &'s mut HashMap<AggregateId, Folded>,
    aggregate: &Arc<dyn AggregateType>,
    id: &AggregateId,
) -> &'s mut Folded {
    // Most of the time it is there, and its id need not be copied.
    if !states.contains_key(id) {
        let folded = Folded {
            state: aggregate.initial(),
            sequence: 0,
            broken: None,
        };
        states.insert(id.clone(), folded);
    }
    states.get_mut(id).expect("it was put in above")
}

fn take_while(
    events: &mut Peekable<Tape<'_, EventAt>>,
    is_due: impl Fn(i64) -> bool,
) -> Result<Vec<EventAt>, EvolveError> {
    let mut taken = Vec::new();
    while let Some(event) = next_if(events, &is_due)? {
        taken.push(event);
    }
    Ok(taken)
}

/// The next event, if the command that made it lies where it is due. One that cannot be read is always due: it says
/// nothing of its command.
fn next_if(
    events: &mut Peekable<Tape<'_, EventAt>>,
    is_due: &impl Fn(i64) -> bool,
) -> Result<Option<EventAt>, EvolveError> {
    let next = events.next_if(|next| match next {
        Ok(EventAt { event: Ok(event), .. }) => is_due(event.meta.command_offset),
        _ => true,
    });
    next.transpose()
}

fn next_command(
    commands: &mut Peekable<Tape<'_, CommandAt>>,
    up_to: i64,
) -> Result<Option<CommandAt>, EvolveError> {
    let is_due = |next: &Result<CommandAt, EvolveError>| match next {
        Ok(command) => command.offset <= up_to,
        Err(_) => true,
    };
    commands.next_if(is_due).transpose()
}
