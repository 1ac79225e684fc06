//! Compares what this program makes of a log with what was recorded of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead;

use foldline_core::{AggregateId, AggregateType, CommandResult, DecodedEvent, Domains, Sequence, State};
use serde_json::{Value, json};

use crate::findings::{Example, Findings};
use crate::log::{Log, Snapshots, find, read_past};
use crate::progress::{Progress, Watched};
use crate::record::{header, possible, unique};
use crate::recording::{Again, AggregateLine, Header, Line, LineReader, RowLine, TypeLine, ViewLine, step};
use crate::refold::{Counts, Folded, Observer, refold};
use crate::report::{Compared, Report};
use crate::rerun::{Moment, Outcome};
use crate::rows::{Row, Rows};
use crate::shape::Shape;
use crate::{CheckOptions, EvolveError};

/// Reads a log as far as the recording goes, or to its end, and says what comes out otherwise.
pub(crate) fn check(
    log: &mut dyn Log,
    domains: &Domains,
    against: Option<&mut dyn BufRead>,
    options: &CheckOptions,
    progress: Progress<'_>,
) -> Result<Report, EvolveError> {
    let (mut recorded, header) = match against {
        Some(input) => {
            let (reader, header) = LineReader::open(input)?;
            same_log(log, &header)?;
            (Some(reader), header)
        }
        None => {
            let ends = log.ends()?;
            (None, header(log, domains, &ends))
        }
    };
    let past = read_past(log, domains, &header)?;
    let mut progress = Watched::new(&header, progress);
    let mut checking = Checking {
        findings: Findings::new(options.examples),
        counts: Counts::default(),
        compared: Compared::default(),
        advice: Vec::new(),
    };
    let mut rows = Rows::new(domains);
    for of_type in &header.types {
        let aggregate = find(domains, &of_type.name);
        let found_before = checking.findings.of("state ", &of_type.name);
        let snapshots = match (aggregate, &recorded) {
            (Some(aggregate), None) => log.snapshots(aggregate)?,
            _ => Snapshots::new(),
        };
        for (number, ends) in (0..).zip(&of_type.partitions) {
            let section = match &mut recorded {
                Some(reader) => Some(Section::read(reader, &of_type.name, number)?),
                None => None,
            };
            let Some(aggregate) = aggregate else {
                checking.gone(&of_type.name, section);
                continue;
            };
            let partition = progress.watch(log.partition(aggregate, number, *ends)?, *ends);
            let mut counts = checking.counts;
            let mut checker = Checker::new(
                &mut checking,
                aggregate.as_ref(),
                of_type,
                number,
                section,
                &snapshots,
            );
            let folded = refold(partition, &past, &mut rows, &mut checker, &mut counts)?;
            checker.finish(&folded);
            checking.counts = counts;
        }
        let has_changed = checking.findings.of("state ", &of_type.name) > found_before;
        if has_changed
            && aggregate.is_some_and(|aggregate| aggregate.state_shape().to_string() == of_type.shape)
        {
            checking.advice.push(format!(
                "states of {} come out otherwise, and nothing tells those that are kept on disk and in snapshots from \
                 today's: raise its FOLD",
                of_type.name
            ));
        }
    }
    if let Some(reader) = &mut recorded {
        checking.compare_rows(reader, &header, domains, &mut rows)?;
        reader.finish()?;
    }
    progress.end();
    checking.findings.accept(&options.expected);
    Ok(Report {
        has_recording: recorded.is_some(),
        findings: checking.findings,
        counts: checking.counts,
        compared: checking.compared,
        advice: checking.advice,
    })
}

fn same_log(log: &dyn Log, header: &Header) -> Result<(), EvolveError> {
    let name = |cluster: &str, prefix: &str| format!("the topics {prefix}* of cluster {cluster}");
    let recorded = name(&header.cluster, &header.topic_prefix);
    let found = name(log.cluster(), log.topic_prefix());
    match recorded == found {
        true => Ok(()),
        false => Err(EvolveError::OtherLog { recorded, found }),
    }
}

/// What was recorded of a partition.
#[derive(Default)]
struct Section {
    unreadable: HashSet<i64>,
    commands: HashMap<i64, Again>,
    aggregates: BTreeMap<AggregateId, AggregateLine>,
}

impl Section {
    fn read<R: BufRead>(reader: &mut LineReader<R>, of: &str, number: i32) -> Result<Self, EvolveError> {
        let begins = |line| match line {
            Line::Partition { of: name, partition } if name == of && partition == number => Ok(()),
            other => Err(other),
        };
        if reader.next_of(begins)?.is_none() {
            return Err(reader.wrong(format!("partition {number} of {of} should begin here")));
        }
        let mut section = Self::default();
        let belongs = |line| match line {
            line @ (Line::Unreadable(_) | Line::Command(_) | Line::Aggregate(_)) => Ok(line),
            other => Err(other),
        };
        while let Some(line) = reader.next_of(belongs)? {
            match line {
                Line::Unreadable(line) => drop(section.unreadable.insert(line.offset)),
                Line::Command(line) => drop(section.commands.insert(line.offset, line.again)),
                Line::Aggregate(line) => drop(section.aggregates.insert(line.id.clone(), *line)),
                _ => unreachable!("no other line belongs"),
            }
        }
        Ok(section)
    }
}

struct Checking {
    findings: Findings,
    counts: Counts,
    compared: Compared,
    advice: Vec<String>,
}

impl Checking {
    /// An aggregate type that this program does not have.
    fn gone(&mut self, name: &str, section: Option<Section>) {
        for id in section.unwrap_or_default().aggregates.into_keys() {
            self.findings.add(format!("gone {name}"), || Example::of(&id));
        }
    }

    fn compare_rows<R: BufRead>(
        &mut self,
        reader: &mut LineReader<R>,
        header: &Header,
        domains: &Domains,
        rows: &mut Rows<'_>,
    ) -> Result<(), EvolveError> {
        for of_view in &header.views {
            let view = domains
                .views()
                .iter()
                .find(|view| view.info().name == of_view.name);
            let found_before = self.findings.of("row ", &of_view.name);
            let shape = Shape::new(of_view.schema.clone());
            let mut made = rows.take(&of_view.name);
            let belongs = |line| match line {
                Line::Row(line) if line.view == of_view.name => Ok(line),
                other => Err(other),
            };
            while let Some(line) = reader.next_of(belongs)? {
                self.compared.rows += 1;
                let row = made.remove(&line.id);
                self.compare_row(of_view, &shape, &line, row);
            }
            for (id, row) in made {
                self.findings
                    .add(format!("row {} new", of_view.name), || Example {
                        after: Some(row.shown()),
                        ..Example::of(&id)
                    });
            }
            let has_changed = self.findings.of("row ", &of_view.name) > found_before;
            if has_changed && view.is_some_and(|view| view.info().version == of_view.version) {
                self.advice.push(format!(
                    "rows of the view {} come out otherwise, and nothing has them built anew: raise its VERSION",
                    of_view.name
                ));
            }
        }
        Ok(())
    }

    fn compare_row(&mut self, of_view: &ViewLine, shape: &Shape, line: &RowLine, row: Option<Row>) {
        let name = &of_view.name;
        let Some(row) = row else {
            self.findings.add(format!("row {name} gone"), || Example {
                before: Some(line.row.clone()),
                ..Example::of(&line.id)
            });
            return;
        };
        if row.is_listed != line.listed {
            self.findings.add(format!("row {name} is listed"), || Example {
                before: Some(json!(line.listed)),
                after: Some(json!(row.is_listed)),
                ..Example::of(&line.id)
            });
        }
        for difference in shape.differences(&line.row, &row.shown()) {
            let key = format!("row {name} {}", difference.path);
            self.findings.add(key, || Example {
                before: difference.before,
                after: difference.after,
                ..Example::of(&line.id)
            });
        }
    }
}

/// Compares a partition while it is folded.
struct Checker<'a> {
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
    fn new(
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

    fn finish(mut self, folded: &BTreeMap<AggregateId, Folded>) {
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
        let now = unique(self.aggregate, &folded.state);
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

impl Example {
    fn of(id: &AggregateId) -> Self {
        Self {
            what: id.to_string(),
            ..Self::default()
        }
    }
}

impl Row {
    /// The row; or why there is none, as text.
    fn shown(self) -> Value {
        self.row.unwrap_or_else(Value::String)
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
