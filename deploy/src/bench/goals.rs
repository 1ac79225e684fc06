//! What the figures are to reach. A goal that is missed is told, and no error: a busy machine misses any.

use serde::Serialize;

use super::report::Row;

/// One goal of a row, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) of: String,
    pub(crate) wanted: Bound,
    /// `None` if the figure could not be taken.
    pub(crate) found: Option<f64>,
    pub(crate) is_reached: bool,
}

/// How far a figure may go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    PerSecond,
    P50Ms,
    P99Ms,
    /// How wide the times are spread.
    P99PerP50,
    /// Our rate, of the floor's.
    RatePerFloor,
    /// Our median time, of the floor's.
    P50PerFloor,
    /// CPU seconds of a process for 100,000.
    Cpu(&'static str),
}

impl Measure {
    fn name(self) -> String {
        match self {
            Self::PerSecond => "per second".to_owned(),
            Self::P50Ms => "p50 ms".to_owned(),
            Self::P99Ms => "p99 ms".to_owned(),
            Self::P99PerP50 => "p99/p50".to_owned(),
            Self::RatePerFloor => "rate/floor".to_owned(),
            Self::P50PerFloor => "p50/floor".to_owned(),
            Self::Cpu(process) => format!("CPU s for 100,000, {process}"),
        }
    }

    fn of(self, row: &Row) -> Option<f64> {
        let (latency, floor) = (row.ours.latency, row.floor.as_ref());
        match self {
            Self::PerSecond => Some(row.ours.per_second),
            Self::P50Ms => latency.map(|latency| latency.p50_ms),
            Self::P99Ms => latency.map(|latency| latency.p99_ms),
            Self::P99PerP50 => latency.map(|latency| latency.p99_ms / latency.p50_ms),
            Self::RatePerFloor => floor?.rate_ratio,
            Self::P50PerFloor => floor?.p50_ratio,
            Self::Cpu(process) => row.cpu_seconds_per_100k.get(process).copied(),
        }
    }
}

impl Bound {
    fn allows(self, found: f64) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::AtMost(most) => found <= most,
        }
    }
}

impl Goal {
    pub(crate) fn new(of: impl Into<String>, wanted: Bound, found: Option<f64>) -> Self {
        Self {
            of: of.into(),
            wanted,
            found,
            is_reached: found.is_some_and(|found| wanted.allows(found)),
        }
    }
}

impl Row {
    /// What it is to reach.
    pub(crate) fn aims(mut self, goals: &[(Measure, Bound)]) -> Self {
        let goal =
            |&(measure, wanted): &(Measure, Bound)| Goal::new(measure.name(), wanted, measure.of(&self));
        self.goals = goals.iter().map(goal).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Bound, Measure};
    use crate::bench::figures::Figures;
    use crate::bench::rounds::Rounds;
    use crate::bench::system::Cpu;

    #[test]
    fn a_goal_is_reached_by_a_figure_that_was_found_and_lies_within_its_bound() {
        let mut rounds = Rounds::default();
        let second = Duration::from_secs(1);
        rounds.ours(Figures::rate(100, second), Cpu::from([("handler", 0.5)]));
        rounds.floor(Figures::rate(200, second));
        let row = rounds.row("things", "things", "nothing else").aims(&[
            (Measure::RatePerFloor, Bound::AtLeast(0.5)),
            (Measure::PerSecond, Bound::AtLeast(101.0)),
            (Measure::Cpu("handler"), Bound::AtMost(0.4)),
            (Measure::Cpu("handler"), Bound::AtMost(0.5)),
            (Measure::P99PerP50, Bound::AtMost(3.0)),
        ]);
        let reached: Vec<bool> = row.goals.iter().map(|goal| goal.is_reached).collect();
        assert_eq!(reached, [true, false, false, true, false]);
        assert_eq!(row.goals[4].found, None);
    }
}
