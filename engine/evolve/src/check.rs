//! Compares what this program makes of a log with what was recorded of it.

mod checker;
mod section;

use std::io::BufRead;

use foldline_core::{AggregateId, Domains};
use foldline_kafka::Keys;
use serde_json::{Value, json};

use self::checker::Checker;
use self::section::Section;
use crate::findings::{Example, Findings};
use crate::log::{Log, Snapshots, find, read_past};
use crate::progress::{Progress, Watched};
use crate::record::header;
use crate::recording::{Header, Line, LineReader, RowLine, ViewLine};
use crate::refold::{Counts, refold};
use crate::report::{Compared, Report};
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
        keys: past.keys.clone(),
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

struct Checking {
    keys: Keys,
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
