//! The figures as tables for people, and as JSON to be kept.

use std::fmt::Write;

use serde::Serialize;

use super::figures::{Figures, ratio};
use super::machine::Machine;
use super::system::{Cpu, Memory};

/// Everything that one run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) measured_at: String,
    pub(crate) quick: bool,
    pub(crate) preloaded_commands: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) memory_mb: Memory,
    pub(crate) machine: Machine,
}

/// One thing that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What, and of what so many a second.
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// The median of so many rounds.
    pub(crate) rounds: usize,
    pub(crate) ours: Figures,
    /// What a program reaches that does nothing else, in the same run.
    pub(crate) floor: Option<Floor>,
    pub(crate) cpu_seconds_per_100k: Cpu,
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
        let mut text = String::new();
        text.push_str(&self.figures());
        text.push_str(
            "\nThe floor: the least that it can cost on this machine, measured in turn on the same broker.\n",
        );
        for (number, row) in self.rows.iter().enumerate() {
            let floor = row.floor.as_ref().map_or("none", |floor| floor.what);
            let _ = writeln!(text, "  {}  {floor}", number + 1);
        }
        text.push_str("\nCPU seconds for 100,000 of each:\n");
        text.push_str(&self.cpu());
        text.push_str("\nMB in memory:\n");
        text.push_str(&self.memory());
        text.push('\n');
        text.push_str(&self.machine.text());
        text
    }

    fn figures(&self) -> String {
        let head = [
            "",
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
        let rows = self.rows.iter().enumerate().map(|(number, row)| {
            let floor = row.floor.as_ref();
            let mut cells = vec![(number + 1).to_string(), format!("{}, {}", row.what, row.unit)];
            cells.extend(figures(Some(&row.ours)));
            cells.extend(figures(floor.map(|floor| &floor.figures)));
            cells.push(times(floor.and_then(|floor| floor.rate_ratio)));
            cells.push(times(floor.and_then(|floor| floor.p50_ratio)));
            cells
        });
        table(&head, &rows.collect::<Vec<_>>())
    }

    fn cpu(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for name in self.rows.iter().flat_map(|row| row.cpu_seconds_per_100k.keys()) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        let mut head = vec!["", ""];
        head.extend(&names);
        let rows = self.rows.iter().enumerate().map(|(number, row)| {
            let mut cells = vec![(number + 1).to_string(), row.unit.to_owned()];
            let used = names.iter().map(|name| row.cpu_seconds_per_100k.get(name));
            cells.extend(used.map(|used| used.map_or_else(|| "-".to_owned(), |used| format!("{used:.2}"))));
            cells
        });
        table(&head, &rows.collect::<Vec<_>>())
    }

    fn memory(&self) -> String {
        let rows = self.memory_mb.iter().map(|(name, (now, most))| {
            vec![
                String::new(),
                (*name).to_owned(),
                now.to_string(),
                most.to_string(),
            ]
        });
        table(&["", "", "at the end", "at most"], &rows.collect::<Vec<_>>())
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
    let none = || "-".to_owned();
    let latency = figures.and_then(|figures| figures.latency);
    [
        figures.map_or_else(none, |figures| whole(figures.per_second)),
        latency.map_or_else(none, |latency| milliseconds(latency.p50_ms)),
        latency.map_or_else(none, |latency| milliseconds(latency.p99_ms)),
    ]
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn milliseconds(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
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

/// Columns as wide as they must be: the second one, names, to the left, all others to the right.
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
            1 => format!("{cell:<width$}"),
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
            vec!["1".to_owned(), "a".to_owned(), "1,234".to_owned()],
            vec!["10".to_owned(), "long name".to_owned(), "-".to_owned()],
        ];
        let expected = "\
            \u{20}                  rate\n\
            --  ---------  -----\n\
            \u{20}1  a          1,234\n\
            10  long name      -\n";
        assert_eq!(table(&["", "", "rate"], &rows), expected);
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
