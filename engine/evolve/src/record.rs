//! Records what this program makes of a log.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateType, CommandResult, DecodedEvent, Domains, State, Unique};
use foldline_kafka::Keys;
use serde_json::Value;

use crate::EvolveError;
use crate::log::{Log, find, read_past};
use crate::progress::{Progress, Watched};
use crate::recording::{
    Again, AggregateLine, CommandLine, Ends, FORM, Header, Line, LineWriter, RowLine, TypeLine,
    UnreadableLine, ViewLine, push_step,
};
use crate::refold::{Counts, Folded, Observer, refold};
use crate::rerun::{Moment, Outcome};
use crate::rows::{Row, Rows};
use crate::shape::Shape;

/// What a program declares, and how far a log is read.
pub(crate) fn header(log: &dyn Log, domains: &Domains, ends: &BTreeMap<String, Vec<Ends>>) -> Header {
    let of_type = |aggregate: &Arc<dyn AggregateType>| {
        let name = aggregate.info().qualified_name();
        TypeLine {
            shape: aggregate.state_shape().to_string(),
            state_schema: aggregate.state_schema(),
            event_schema: aggregate.event_schema(),
            commands: aggregate
                .info()
                .commands
                .iter()
                .map(|command| command.name.clone())
                .collect(),
            partitions: ends.get(&name).cloned().unwrap_or_default(),
            name,
        }
    };
    let view = |view: &Arc<dyn foldline_core::ViewType>| ViewLine {
        name: view.info().name.to_owned(),
        version: view.info().version,
        schema: view.info().schema.clone(),
    };
    let mut types: Vec<TypeLine> = domains.aggregates().iter().map(of_type).collect();
    types.sort_by(|one, other| one.name.cmp(&other.name));
    Header {
        form: FORM,
        cluster: log.cluster().to_owned(),
        topic_prefix: log.topic_prefix().to_owned(),
        types,
        views: domains.views().iter().map(view).collect(),
    }
}

/// Reads a log up to where it ends now, and writes what the program makes of it.
pub(crate) fn record(
    log: &mut dyn Log,
    domains: &Domains,
    out: impl Write,
    progress: Progress<'_>,
) -> Result<Counts, EvolveError> {
    let ends = log.ends()?;
    let header = header(log, domains, &ends);
    let past = read_past(log, domains, &header)?;
    let mut progress = Watched::new(&header, progress);
    let mut writer = LineWriter::new(out);
    writer.write(&Line::Recording(Box::new(header.clone())))?;
    let mut rows = Rows::new(domains);
    let mut counts = Counts::default();
    for of_type in &header.types {
        let aggregate = find(domains, &of_type.name).expect("the header is of these domains");
        for (number, ends) in (0..).zip(&of_type.partitions) {
            let of = of_type.name.clone();
            writer.write(&Line::Partition {
                of,
                partition: number,
            })?;
            let partition = progress.watch(log.partition(aggregate, number, *ends)?, *ends);
            let mut recorder = Recorder::new(aggregate.as_ref(), &past.keys);
            let folded = refold(partition, &past, &mut rows, &mut recorder, &mut counts)?;
            recorder.write(&folded, &mut writer)?;
        }
    }
    for view in &header.views {
        for (id, row) in rows.take(&view.name) {
            writer.write(&Line::Row(Box::new(row_line(&view.name, id, row))))?;
        }
    }
    writer.finish()?;
    Ok(counts)
}

/// A row that could not be made is recorded as the text that says why: both versions may fail alike.
fn row_line(view: &str, id: AggregateId, row: Row) -> RowLine {
    RowLine {
        view: view.to_owned(),
        id,
        listed: row.is_listed,
        row: row.row.unwrap_or_else(Value::String),
    }
}

struct Recorder<'a> {
    aggregate: &'a dyn AggregateType,
    keys: Keys,
    states: Shape,
    events: Shape,
    trails: HashMap<AggregateId, String>,
    /// In the order of the log.
    lines: Vec<Line>,
}

impl<'a> Recorder<'a> {
    fn new(aggregate: &'a dyn AggregateType, keys: &Keys) -> Self {
        Self {
            aggregate,
            keys: keys.clone(),
            states: Shape::new(aggregate.state_schema()),
            events: Shape::new(aggregate.event_schema()),
            trails: HashMap::new(),
            lines: Vec::new(),
        }
    }

    fn write(
        mut self,
        folded: &BTreeMap<AggregateId, Folded>,
        writer: &mut LineWriter<impl Write>,
    ) -> Result<(), EvolveError> {
        for line in &self.lines {
            writer.write(line)?;
        }
        for (id, folded) in folded {
            let line = AggregateLine {
                id: id.clone(),
                sequence: folded.sequence,
                state: self.aggregate.state_json(&folded.state),
                unique: unique(self.aggregate, &self.keys, &folded.state),
                possible: possible(self.aggregate, &folded.state),
                trail: self.trails.remove(id).unwrap_or_default(),
            };
            writer.write(&Line::Aggregate(Box::new(line)))?;
        }
        Ok(())
    }

    fn command(&mut self, offset: i64, again: Again) {
        self.lines.push(Line::Command(CommandLine { offset, again }));
    }
}

/// The values that nobody else may hold, in a fixed order.
pub(crate) fn unique(aggregate: &dyn AggregateType, keys: &Keys, state: &State) -> Vec<(String, String)> {
    let values = aggregate.unique(state).into_iter();
    let claimed = |value: Unique| {
        let claimed_as = keys.claimed_as(aggregate.info(), value.name, &value.value);
        (value.name.to_owned(), claimed_as)
    };
    let mut values: Vec<_> = values.map(claimed).collect();
    values.sort();
    values
}

/// The commands that a state can accept, in a fixed order.
pub(crate) fn possible(aggregate: &dyn AggregateType, state: &State) -> Vec<String> {
    let mut names: Vec<String> = aggregate.possible(state).into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

impl Observer for Recorder<'_> {
    fn folded(&mut self, event: &DecodedEvent, after: &State) {
        let read = self.events.mark(&self.aggregate.event_tagged(&event.event));
        let state = self.states.mark(&self.aggregate.state_json(after));
        let id = &event.meta.aggregate_id;
        if !self.trails.contains_key(id) {
            self.trails.insert(id.clone(), String::new());
        }
        let trail = self.trails.get_mut(id).expect("it was put in above");
        push_step(trail, read, state);
    }

    fn unreadable(&mut self, offset: i64, _: Option<&AggregateId>, _: &str) {
        self.lines.push(Line::Unreadable(UnreadableLine { offset }));
    }

    fn decided(&mut self, offset: i64, moment: &Moment<'_>, logged: Outcome) {
        let again = moment.decide();
        let is_logged = |outcome: &Outcome| outcome.is_same(&logged, &self.events);
        if is_logged(&again) {
            return;
        }
        let again = match moment.agrees_nearby(is_logged) {
            true => Again::Nearby,
            false => Again::Otherwise(again.project(&self.events)),
        };
        self.command(offset, again);
    }

    fn unreadable_command(&mut self, result: &CommandResult, _: &str) {
        self.command(result.command_offset, Again::Unreadable);
    }
}
