//! A history that grows: what a command and an event cost then, what each service has in memory, and how soon a command
//! handler is back, with its disk and without.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Bench;
use super::goals::{Bound, Goal};
use super::http::{closed_loop, get};
use super::preloaded::{self, Loader};
use super::restaurant::COMMANDS_PER_ORDER;
use super::system::{Cpu, Memory, Service};

/// What the goals ask of a million orders.
const MEMORY_GOALS: [(Service, f64); 3] = [
    (Service::CommandHandler, 400.0),
    (Service::Projector, 200.0),
    (Service::QueryApi, 100.0),
];
/// Of the first round's rate, what the last one's is to be.
const RATE_GOAL: f64 = 0.9;
const START_GOAL_SECONDS: f64 = 3.0;
const RESTORE_GOAL_SECONDS: f64 = 20.0;
/// Readers of pages between two rounds, so that the query API has something to remember.
const READERS: usize = 16;
const READ: Duration = Duration::from_secs(2);

/// What it came to.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) rounds: Vec<Round>,
    /// From the start of a command handler until it is ready.
    pub(crate) start_seconds: f64,
    /// The same, after its disk was lost.
    pub(crate) restore_seconds: f64,
}

/// After a round.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) orders: usize,
    pub(crate) events: usize,
    pub(crate) commands_per_second: f64,
    pub(crate) views_per_second: f64,
    /// CPU seconds of each process for 100,000 commands.
    pub(crate) commands_cpu: Cpu,
    /// The same for 100,000 events into the views.
    pub(crate) views_cpu: Cpu,
    pub(crate) memory_mb: Memory,
}

/// Rounds of preloaded commands and their views, until there are so many orders; then two starts.
pub(crate) async fn measure(
    bench: &mut Bench,
    loader: &Arc<Loader>,
    orders: usize,
) -> anyhow::Result<Growth> {
    let mut rounds: Vec<Round> = Vec::new();
    while rounds.last().is_none_or(|round| round.orders < orders) {
        rounds.push(round(bench, loader, rounds.len() + 1).await?);
    }
    bench.doing.next("starting the command handler");
    bench.system.stop(Service::CommandHandler).await;
    let start_seconds = started(bench).await?;
    bench.doing.next("starting the command handler without its disk");
    bench.system.stop(Service::CommandHandler).await;
    fs::remove_dir_all(bench.system.state_folder())?;
    let restore_seconds = started(bench).await?;
    Ok(Growth {
        rounds,
        start_seconds,
        restore_seconds,
    })
}

async fn round(bench: &mut Bench, loader: &Arc<Loader>, number: usize) -> anyhow::Result<Round> {
    bench.system.stop(Service::Projector).await;
    bench.system.stop(Service::CommandHandler).await;
    let (commands, commands_cpu) = preloaded::commands(bench, loader).await?;
    let (views, views_cpu) = preloaded::views(bench).await?;
    let reads = bench.system.address(Service::QueryApi);
    closed_loop(reads, READERS, READ, |_| || get("/orders?limit=50")).await?;
    Ok(Round {
        orders: number * bench.plan.commands / COMMANDS_PER_ORDER,
        // Each command of the workload makes one.
        events: number * bench.plan.commands,
        commands_per_second: commands.per_second,
        views_per_second: views.per_second,
        commands_cpu,
        views_cpu,
        memory_mb: bench.system.memory(),
    })
}

/// How long the command handler, which has stopped, takes until it is ready.
async fn started(bench: &mut Bench) -> anyhow::Result<f64> {
    let started_at = Instant::now();
    bench.system.launch(Service::CommandHandler)?;
    bench.system.wait_until_ready(Service::CommandHandler).await?;
    Ok(started_at.elapsed().as_secs_f64())
}

impl Growth {
    /// What is to be reached.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let (first, last) = (self.rounds.first(), self.rounds.last());
        let memory = MEMORY_GOALS.map(|(service, most)| {
            // Of all rounds: what the kernel has as the most of a process becomes less where it takes memory back by itself.
            let used = self
                .rounds
                .iter()
                .filter_map(|round| round.memory_mb.get(service.name()));
            // Exact up to 2^53.
            #[allow(clippy::cast_precision_loss)]
            let used = used.map(|(_, most)| *most).max().map(|most| most as f64);
            let of = format!("MB at most, {}", service.name());
            Goal::new(of, Bound::AtMost(most), used)
        });
        let rate = first
            .zip(last)
            .map(|(first, last)| last.commands_per_second / first.commands_per_second);
        let others = [
            Goal::new("rate of the last round / first", Bound::AtLeast(RATE_GOAL), rate),
            Goal::new(
                "s, start",
                Bound::AtMost(START_GOAL_SECONDS),
                Some(self.start_seconds),
            ),
            Goal::new(
                "s, start without its disk",
                Bound::AtMost(RESTORE_GOAL_SECONDS),
                Some(self.restore_seconds),
            ),
        ];
        memory.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Growth, Memory, Round};

    #[test]
    fn what_it_costs_at_the_end_is_held_against_what_it_cost_at_first() {
        let round = |commands_per_second: f64, mb: u64| Round {
            orders: 1,
            events: 6,
            commands_per_second,
            views_per_second: 1.0,
            commands_cpu: Cpu::new(),
            views_cpu: Cpu::new(),
            memory_mb: Memory::from([("command-handler", (1, mb))]),
        };
        let growth = Growth {
            rounds: vec![round(100.0, 10), round(95.0, 401), round(90.0, 399)],
            start_seconds: 3.1,
            restore_seconds: 20.0,
        };
        let reached: Vec<bool> = growth.goals().iter().map(|goal| goal.is_reached).collect();
        // A service that was not seen has not reached its goal.
        assert_eq!(reached, [false, false, false, true, false, true]);
    }
}
