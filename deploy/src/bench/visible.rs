//! From a command's answer to the view that shows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Bench;
use super::figures::{Figures, Sample};
use super::goals::{Bound, Measure};
use super::http::{Ask, Connection, get};
use super::report::Row;
use super::restaurant::{Guest, Restaurant};
use super::rounds::Rounds;
use super::system::{Service, cpu_per_100k};

/// Connections over which the load comes, and how often each sends: 1,000 commands a second.
const LOADERS: usize = 50;
const EVERY: Duration = Duration::from_millis(50);

/// Beside a steady load of 1,000 commands a second.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<Row> {
    let what = "answer -> view, at 1,000 commands/s";
    let write = bench.system.address(Service::CommandHandler);
    let read = bench.system.address(Service::QueryApi);
    let mut rounds = Rounds::default();
    for round in 1..=bench.plan.rounds {
        bench.doing.next(&format!("{what}: round {round}"));
        let before = bench.system.cpu();
        let length = bench.plan.length;
        let (loaded, seen) = tokio::try_join!(
            load(write, &bench.restaurant, length),
            look(write, read, &bench.restaurant, length)
        )?;
        let done = loaded.count() + seen.count();
        let cpu = cpu_per_100k(&before, &bench.system.cpu(), done);
        let figures = Figures {
            // What was looked at is a part of the load.
            per_second: loaded.figures().per_second,
            ..seen.figures()
        };
        rounds.ours(figures, cpu);
    }
    let goals = [
        (Measure::P50Ms, Bound::AtMost(5.0)),
        (Measure::P99Ms, Bound::AtMost(25.0)),
    ];
    Ok(rounds.row(what, "commands", "").aims(&goals))
}

/// A read that waits until the view has seen what the token has.
pub(crate) fn get_after(path: &str, token: &str) -> anyhow::Result<Ask> {
    let mut ask = get(path);
    let headers = ask.headers_mut();
    headers.insert("consistency-token", HeaderValue::from_str(token)?);
    headers.insert("prefer", HeaderValue::from_static("wait=10"));
    Ok(ask)
}

/// One client, who asks for the view as soon as a command is answered. Timed is the read.
async fn look(
    write: SocketAddr,
    read: SocketAddr,
    restaurant: &Arc<Restaurant>,
    length: Duration,
) -> anyhow::Result<Sample> {
    let (mut write, mut read) = (Connection::open(write).await?, Connection::open(read).await?);
    let mut guest = Guest::new(restaurant, 0);
    let started = Instant::now();
    let mut running = JoinSet::new();
    running.spawn(async move {
        let mut each = Vec::new();
        while started.elapsed() < length {
            let answer = write.ask(guest.next()).await?.successful()?;
            let answered = Instant::now();
            let ask = get_after(guest.order(), answer.header("consistency-token")?)?;
            read.ask(ask).await?.successful()?;
            each.push(answered.elapsed());
        }
        Ok(each)
    });
    Sample::collect(running, started).await
}

/// Clients who send at a steady pace, as far as the answers allow.
async fn load(address: SocketAddr, restaurant: &Arc<Restaurant>, length: Duration) -> anyhow::Result<Sample> {
    let mut connections = Vec::new();
    for _ in 0..LOADERS {
        connections.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let mut guest = Guest::new(restaurant, number);
        running.spawn(async move {
            // Not all at the same moment.
            tokio::time::sleep(EVERY * u32::try_from(number)? / u32::try_from(LOADERS)?).await;
            let mut pace = interval(EVERY);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut each = Vec::new();
            while started.elapsed() < length {
                pace.tick().await;
                let asked = Instant::now();
                connection.ask(guest.next()).await?.successful()?;
                each.push(asked.elapsed());
            }
            Ok(each)
        });
    }
    Sample::collect(running, started).await
}
