//! Rounds of the same measurement, ours and the floor's in turn, so that what disturbs the machine disturbs both.

use super::figures::{Figures, median};
use super::report::{Floor, Row};
use super::system::Cpu;

/// What the rounds so far have shown.
#[derive(Default)]
pub(crate) struct Rounds {
    ours: Vec<Figures>,
    floor: Vec<Figures>,
    cpu: Vec<Cpu>,
}

impl Rounds {
    /// A round of ours, with what it has cost.
    pub(crate) fn ours(&mut self, figures: Figures, cpu: Cpu) {
        self.ours.push(figures);
        self.cpu.push(cpu);
    }

    /// A round of the floor's.
    pub(crate) fn floor(&mut self, figures: Figures) {
        self.floor.push(figures);
    }

    /// The median of all. `floor` says what it is, if there was one.
    pub(crate) fn row(self, what: impl Into<String>, unit: &'static str, floor: &'static str) -> Row {
        let ours = Figures::median(&self.ours).expect("every measurement has a round");
        let below = Figures::median(&self.floor);
        Row {
            what: what.into(),
            unit,
            clients: None,
            rounds: self.ours.len(),
            ours,
            floor: below.map(|figures| Floor::below(&ours, floor, figures)),
            cpu_seconds_per_100k: medians(&self.cpu),
            goals: Vec::new(),
        }
    }
}

fn medians(rounds: &[Cpu]) -> Cpu {
    let names = rounds.iter().flat_map(Cpu::keys);
    let of = |name: &&'static str| {
        let used = rounds.iter().filter_map(|round| round.get(name).copied());
        median(used).map(|used| (*name, used))
    };
    names.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Rounds;
    use crate::bench::figures::Figures;
    use crate::bench::system::Cpu;

    #[test]
    fn a_row_is_the_median_of_its_rounds() {
        let mut rounds = Rounds::default();
        for (count, cpu) in [(10, 1.0), (30, 7.0), (20, 2.0)] {
            rounds.ours(
                Figures::rate(count, Duration::from_secs(1)),
                Cpu::from([("Kafka", cpu)]),
            );
            rounds.floor(Figures::rate(2 * count, Duration::from_secs(1)));
        }
        let row = rounds.row("things", "things", "nothing else");
        assert_eq!((row.rounds, row.ours.per_second), (3, 20.0));
        assert_eq!(row.floor.unwrap().rate_ratio, Some(0.5));
        assert_eq!(row.cpu_seconds_per_100k, Cpu::from([("Kafka", 2.0)]));
    }
}
