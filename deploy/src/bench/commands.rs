//! Commands over HTTP, each answered when its events are committed.

use std::time::Duration;

use super::Bench;
use super::figures::Sample;
use super::floor::Roundtrip;
use super::goals::{Bound, Measure};
use super::http::closed_loop;
use super::report::Row;
use super::restaurant::Guest;
use super::rounds::Rounds;
use super::system::{Service, cpu_per_100k};

const FLOOR: &str =
    "record -> a worker that answers it exactly once -> committed answer; no HTTP, no decision";

/// So many clients who order for so long, each on a connection of its own.
pub(crate) async fn load(bench: &Bench, clients: usize, length: Duration) -> anyhow::Result<Sample> {
    let address = bench.system.address(Service::CommandHandler);
    closed_loop(address, clients, length, |number| {
        let mut guest = Guest::new(&bench.restaurant, number);
        move || guest.next()
    })
    .await
}

/// With so many clients.
pub(crate) async fn measure(bench: &Bench, floor: &Roundtrip, clients: usize) -> anyhow::Result<Row> {
    let what = format!("HTTP, {}", bench.clients(clients));
    bench.doing.next(&format!("{what}: warming up"));
    load(bench, clients, bench.plan.warm_up).await?;
    floor.measure(clients, bench.plan.warm_up).await?;

    let mut rounds = Rounds::default();
    for round in 1..=bench.plan.rounds {
        bench.doing.next(&format!("{what}: round {round}"));
        let before = bench.system.cpu();
        let sample = load(bench, clients, bench.plan.length).await?;
        let cpu = cpu_per_100k(&before, &bench.system.cpu(), sample.count());
        rounds.ours(sample.figures(), cpu);
        rounds.floor(floor.measure(clients, bench.plan.length).await?);
    }
    let row = Row {
        clients: Some(clients),
        ..rounds.row(what, "commands", FLOOR)
    };
    Ok(match clients {
        1 => row.aims(&[
            (Measure::P50PerFloor, Bound::AtMost(1.3)),
            (Measure::P99PerP50, Bound::AtMost(3.0)),
        ]),
        256 => row.aims(&[(Measure::RatePerFloor, Bound::AtLeast(0.75))]),
        _ => row,
    })
}
