//! The figures as tables for people, and as JSON to be kept.

use std::collections::BTreeSet;

use serde::Serialize;

use super::figures::{Figures, ratio};
use super::goals::{Bound, Goal};
use super::growth::{Growth, Round};
use super::machine::Machine;
use super::system::{Cpu, Memory, Service};

/// Everything that one run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) measured_at: String,
    pub(crate) quick: bool,
    pub(crate) preloaded_commands: usize,
    pub(crate) rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) growth: Option<Growth>,
    pub(crate) memory_mb: Memory,
    pub(crate) machine: Machine,
}

/// One thing that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What, and of what so many a second.
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// Of commands over HTTP, how many clients sent them, each waiting for its answer.
    pub(crate) clients: Option<usize>,
    /// The median of so many rounds.
    pub(crate) rounds: usize,
    pub(crate) ours: Figures,
    /// What a program reaches that does nothing else, in the same run.
    pub(crate) floor: Option<Floor>,
    pub(crate) cpu_seconds_per_100k: Cpu,
    pub(crate) goals: Vec<Goal>,
}

/// See [`Row::floor`].
#[derive(Debug, Serialize)]
pub(crate) struct Floor {
    pub(crate) what: &'static str,
    pub(crate) figures: Figures,
    /// Our rate, of the floor's.
    pub(crate) rate_ratio: Option<f64>,
    /// Our median time, of the floor's.
    pub(crate) p50_ratio: Option<f64>,
}

impl Floor {
    pub(crate) fn below(ours: &Figures, what: &'static str, figures: Figures) -> Self {
        let p50_ratio = ours.latency.zip(figures.latency);
        Self {
            what,
            figures,
            rate_ratio: ratio(ours.per_second, figures.per_second),
            p50_ratio: p50_ratio.and_then(|(ours, floor)| ratio(ours.p50_ms, floor.p50_ms)),
        }
    }
}

impl Report {
    /// For the terminal.
    pub(crate) fn text(&self) -> String {
        let machine = self.machine.text();
        let growth = self.growth.as_ref().map(Growth::text).unwrap_or_default();
        if self.rows.is_empty() {
            return format!("{growth}{machine}");
        }
        let (figures, floors, cpu, memory) = (self.figures(), self.floors(), self.cpu(), self.memory());
        let goals = self.goals();
        format!(
            "{figures}\n\
             The floor is the least that it can cost on this machine: a program that does nothing else, measured in \
             turn with ours, on the same broker.\n{floors}\n\
             Goals\n{goals}\n\
             CPU seconds for 100,000 of each\n{cpu}\n\
             MB in memory\n{memory}\n\
             {growth}\
             {machine}"
        )
    }

    fn figures(&self) -> String {
        let head = [
            "",
            "per second",
            "p50 ms",
            "p99 ms",
            "floor: per second",
            "p50 ms",
            "p99 ms",
            "rate/floor",
            "p50/floor",
        ];
        let row = |(number, row): (usize, &Row)| {
            let floor = row.floor.as_ref();
            let mut cells = vec![row.title(number)];
            cells.extend(figures(Some(&row.ours)));
            cells.extend(figures(floor.map(|floor| &floor.figures)));
            cells.push(or_dash(floor.and_then(|floor| floor.rate_ratio), hundredths));
            cells.push(or_dash(floor.and_then(|floor| floor.p50_ratio), hundredths));
            cells
        };
        table(&head, &self.numbered().map(row).collect::<Vec<_>>())
    }

    /// Each floor once, with the rows that stand on it.
    fn floors(&self) -> String {
        let mut floors: Vec<(String, &str)> = Vec::new();
        for (number, row) in self.numbered() {
            match (&row.floor, floors.last_mut()) {
                (Some(floor), Some((numbers, what))) if *what == floor.what => {
                    *numbers += &format!(", {number}");
                }
                (Some(floor), _) => floors.push((number.to_string(), floor.what)),
                (None, _) => {}
            }
        }
        let line = |(numbers, what)| format!("{numbers:>6}  {what}\n");
        floors.into_iter().map(line).collect()
    }

    fn goals(&self) -> String {
        let rows = self.numbered().flat_map(|(number, row)| {
            let goals = row.goals.iter();
            goals.map(move |goal| [vec![row.title(number)], goal.cells()].concat())
        });
        table(&["", "figure", "goal", "found", ""], &rows.collect::<Vec<_>>())
    }

    fn cpu(&self) -> String {
        let names = self
            .rows
            .iter()
            .flat_map(|row| row.cpu_seconds_per_100k.keys().copied());
        let names: BTreeSet<&str> = names.collect();
        let head: Vec<&str> = std::iter::once("").chain(names.iter().copied()).collect();
        let row = |(number, row): (usize, &Row)| {
            let used = names.iter().map(|name| row.cpu_seconds_per_100k.get(name));
            let used = used.map(|used| or_dash(used.copied(), hundredths));
            std::iter::once(row.title(number)).chain(used).collect()
        };
        table(&head, &self.numbered().map(row).collect::<Vec<_>>())
    }

    fn memory(&self) -> String {
        let rows = self
            .memory_mb
            .iter()
            .map(|(name, (now, most))| vec![(*name).to_owned(), now.to_string(), most.to_string()]);
        table(&["", "at the end", "at most"], &rows.collect::<Vec<_>>())
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &Row)> {
        (1..).zip(&self.rows)
    }
}

impl Goal {
    /// What it is about, the goal, what was found, and whether it is reached.
    fn cells(&self) -> Vec<String> {
        let bound = match self.wanted {
            Bound::AtLeast(least) => format!("at least {}", figure(least)),
            Bound::AtMost(most) => format!("at most {}", figure(most)),
        };
        let verdict = if self.is_reached { "reached" } else { "missed" };
        vec![
            self.of.clone(),
            bound,
            or_dash(self.found, figure),
            verdict.to_owned(),
        ]
    }
}

impl Growth {
    /// For the terminal.
    fn text(&self) -> String {
        let head = [
            "orders",
            "events",
            "commands/s",
            "events into views/s",
            "command-handler MB",
            "projector MB",
            "query-api MB",
        ];
        let row = |round: &Round| {
            let memory = Service::ALL.map(|service| {
                let used = round.memory_mb.get(service.name());
                used.map_or_else(|| "-".to_owned(), |(_, most)| most.to_string())
            });
            // Exact up to 2^53.
            #[allow(clippy::cast_precision_loss)]
            let counts = [round.orders as f64, round.events as f64].map(whole);
            let rates = [round.commands_per_second, round.views_per_second].map(whole);
            counts.into_iter().chain(rates).chain(memory).collect()
        };
        let rounds = table(&head, &self.rounds.iter().map(row).collect::<Vec<_>>());
        let goals: Vec<Vec<String>> = self.goals().iter().map(Goal::cells).collect();
        let goals = table(&["figure", "goal", "found", ""], &goals);
        format!("As the history grows (MB: the most since the service started)\n{rounds}\n{goals}\n")
    }
}

impl Row {
    fn title(&self, number: usize) -> String {
        format!("{number}  {}: {}", self.what, self.unit)
    }
}

impl Machine {
    fn text(&self) -> String {
        format!(
            "{} cores of {}, {} MB, {}\nfoldline {} at opt-level {}, {}; Apache Kafka {}, Apicurio Registry {}, librdkafka {}\n",
            self.cores,
            self.cpu,
            self.memory_mb,
            self.os,
            self.foldline,
            self.opt_level,
            self.rustc,
            self.kafka,
            self.registry,
            self.librdkafka,
        )
    }
}

fn figures(figures: Option<&Figures>) -> [String; 3] {
    let latency = figures.and_then(|figures| figures.latency);
    [
        or_dash(figures.map(|figures| figures.per_second), whole),
        or_dash(latency.map(|latency| latency.p50_ms), milliseconds),
        or_dash(latency.map(|latency| latency.p99_ms), milliseconds),
    ]
}

fn or_dash(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// A rate has no use for hundredths, a ratio is nothing without.
fn figure(value: f64) -> String {
    if value < 1000.0 {
        hundredths(value)
    } else {
        whole(value)
    }
}

fn hundredths(value: f64) -> String {
    format!("{value:.2}")
}

fn milliseconds(value: f64) -> String {
    if value < 10.0 {
        hundredths(value)
    } else {
        format!("{value:.1}")
    }
}

/// With a comma at each thousand.
fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns as wide as they must be: the first one, names, to the left, all others to the right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut widths = vec![0; head.len()];
    for row in std::iter::once(&head).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(place, (cell, &width))| match place {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let rule = widths.iter().map(|&width| "-".repeat(width)).collect();
    let top = [line(&head), line(&rule)];
    top.into_iter().chain(rows.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::{milliseconds, table, whole};
    use crate::bench::figures::{Figures, Latency};
    use crate::bench::report::Floor;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "1,234".to_owned()],
            vec!["long name".to_owned(), "-".to_owned()],
        ];
        let text = table(&["", "rate"], &rows);
        let expected = [
            "            rate",
            "---------  -----",
            "a          1,234",
            "long name      -",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn numbers_are_as_long_as_one_can_read() {
        assert_eq!(
            [0.4, 999.0, 1000.0, 1_234_567.8].map(whole),
            ["0", "999", "1,000", "1,234,568"]
        );
        assert_eq!([0.0651, 3.456, 12.34].map(milliseconds), ["0.07", "3.46", "12.3"]);
    }

    #[test]
    fn a_floor_without_latencies_has_the_ratio_of_rates_alone() {
        let ours = Figures {
            per_second: 50.0,
            latency: Some(Latency {
                p50_ms: 6.0,
                p99_ms: 9.0,
            }),
        };
        let mut floor = Figures {
            per_second: 200.0,
            latency: None,
        };
        let below = Floor::below(&ours, "", floor);
        assert_eq!((below.rate_ratio, below.p50_ratio), (Some(0.25), None));
        floor.latency = Some(Latency {
            p50_ms: 4.0,
            p99_ms: 5.0,
        });
        assert_eq!(Floor::below(&ours, "", floor).p50_ratio, Some(1.5));
    }
}
