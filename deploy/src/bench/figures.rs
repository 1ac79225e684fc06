//! What is measured: rates, latencies, and what becomes of several rounds of them.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

/// What one round, or the median of some, has shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Things done in a second.
    pub(crate) per_second: f64,
    /// How long one takes, if each was timed.
    pub(crate) latency: Option<Latency>,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Things that were timed one by one.
pub(crate) struct Sample {
    each: Vec<Duration>,
    took: Duration,
}

impl Sample {
    /// What all clients have timed, once all have ended.
    pub(crate) async fn collect(
        mut clients: JoinSet<anyhow::Result<Vec<Duration>>>,
        started: Instant,
    ) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        while let Some(each) = clients.join_next().await {
            all.extend(each??);
        }
        Ok(Self {
            each: all,
            took: started.elapsed(),
        })
    }

    /// How many things.
    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// What they show.
    pub(crate) fn figures(self) -> Figures {
        Figures::timed(self.each, self.took)
    }
}

impl Figures {
    /// So many things in so much time.
    pub(crate) fn rate(count: usize, took: Duration) -> Self {
        Self {
            per_second: per_second(count, took),
            latency: None,
        }
    }

    /// Things that were timed one by one, within so much time.
    pub(crate) fn timed(mut each: Vec<Duration>, took: Duration) -> Self {
        each.sort_unstable();
        let latency = (!each.is_empty()).then(|| Latency {
            p50_ms: milliseconds(percentile(&each, 50)),
            p99_ms: milliseconds(percentile(&each, 99)),
        });
        Self {
            per_second: per_second(each.len(), took),
            latency,
        }
    }

    /// The median of rounds, each figure by itself. `None` of no rounds.
    pub(crate) fn median(rounds: &[Self]) -> Option<Self> {
        let latencies: Vec<Latency> = rounds.iter().filter_map(|round| round.latency).collect();
        let p50_ms = median(latencies.iter().map(|latency| latency.p50_ms));
        let p99_ms = median(latencies.iter().map(|latency| latency.p99_ms));
        Some(Self {
            per_second: median(rounds.iter().map(|round| round.per_second))?,
            latency: p50_ms
                .zip(p99_ms)
                .map(|(p50_ms, p99_ms)| Latency { p50_ms, p99_ms }),
        })
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    // Exact up to 2^53 things.
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / took.as_secs_f64().max(1e-9)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The smallest value that is not exceeded by `percent` of all (nearest rank). They must be sorted, and some.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank.max(1) - 1]
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// How often `floor` goes into `ours`. `None` if the floor is nothing.
pub(crate) fn ratio(ours: f64, floor: f64) -> Option<f64> {
    (floor > 0.0).then(|| ours / floor)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Figures, Latency, median, percentile, ratio};

    fn milliseconds(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let hundred = milliseconds(1..=100);
        assert_eq!(percentile(&hundred, 50), Duration::from_millis(50));
        assert_eq!(percentile(&hundred, 99), Duration::from_millis(99));
        assert_eq!(percentile(&hundred, 100), Duration::from_millis(100));
        let three = milliseconds([1, 2, 30]);
        assert_eq!(percentile(&three, 50), Duration::from_millis(2));
        assert_eq!(percentile(&three, 99), Duration::from_millis(30));
        assert_eq!(percentile(&milliseconds([7]), 1), Duration::from_millis(7));
    }

    #[test]
    fn timed_things_need_not_come_in_order() {
        let figures = Figures::timed(milliseconds([30, 1, 2]), Duration::from_secs(2));
        assert_eq!(
            figures,
            Figures {
                per_second: 1.5,
                latency: Some(Latency {
                    p50_ms: 2.0,
                    p99_ms: 30.0
                }),
            }
        );
    }

    #[test]
    fn nothing_done_has_no_latency() {
        let figures = Figures::timed(Vec::new(), Duration::from_secs(1));
        assert_eq!(figures, Figures::rate(0, Duration::from_secs(1)));
    }

    #[test]
    fn one_bad_round_of_three_does_not_count() {
        let round = |per_second, p50_ms, p99_ms| Figures {
            per_second,
            latency: Some(Latency { p50_ms, p99_ms }),
        };
        let rounds = [
            round(100.0, 1.0, 9.0),
            round(7.0, 80.0, 800.0),
            round(110.0, 2.0, 5.0),
        ];
        assert_eq!(Figures::median(&rounds), Some(round(100.0, 2.0, 9.0)));
        assert_eq!(Figures::median(&[]), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([4.0].into_iter()), Some(4.0));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn a_floor_of_nothing_has_no_ratio() {
        assert_eq!(ratio(1.0, 4.0), Some(0.25));
        assert_eq!(ratio(1.0, 0.0), None);
    }
}
