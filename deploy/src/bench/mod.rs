//! `foldline bench`: what Foldline does on this machine, beside what a program reaches that does nothing else.
//!
//! - `system`: what is measured, as processes of their own. `restaurant`: the work it is given.
//! - `commands`, `preloaded`, `hot`, `queries`, `visible`, `growth`: a file for each measurement.
//! - `floor`: what they are compared with. `http`: the client that makes the load.
//! - `rounds`, `figures`, `goals`: how measurements become figures, and which are to be reached.
//! - `machine`, `report`, `plots`: what is told in the end.

mod commands;
mod figures;
mod floor;
mod goals;
mod growth;
mod hot;
mod http;
mod machine;
mod plots;
mod preloaded;
mod progress;
mod queries;
mod report;
mod restaurant;
mod rounds;
mod system;
mod visible;
mod warm;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use foldline_core::{AggregateType, Domains};
use foldline_service::Shutdown;
use tokio::task::spawn_blocking;

use self::floor::Roundtrip;
use self::goals::{Bound, Measure};
use self::growth::Growth;
use self::machine::Machine;
use self::preloaded::{Loader, Topic};
use self::progress::Doing;
use self::queries::Queries;
use self::report::{Report, Row};
use self::restaurant::{COMMANDS_PER_ORDER, Restaurant};
use self::rounds::Rounds;
use self::system::{Memory, Service, System};
use self::warm::WarmUp;

/// The clients of a command handler, from an idle one to a busy one, who wait for Kafka.
const GUESTS: [usize; 5] = [1, 4, 16, 64, 256];
/// The connections of a busy query API.
const MANY_READERS: usize = 64;
/// The floor moves at least so many records, or it is over before it can be timed.
const FLOOR_RECORDS_MIN: usize = 100_000;

const PIPE: &str = "consume -> produce two records of the same size, exactly once; no decision, no state";
const UPSERT: &str = "consume the same events -> one SQLite upsert each; no decoding, one view, no history";

/// What of `bench` can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchOptions {
    /// One short round each, and a thirtieth of the preloaded commands: a minute or two. Rough.
    #[arg(long)]
    quick: bool,
    /// Write the figures, and the machine that they are of, into this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures into this folder too, as SVG: rate against latency, and cost against history.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Measure only this [default: all but `growth`].
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// How many commands are preloaded in each round [default: 600000, with --quick 20000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(6_000..=2_000_000))]
    commands: Option<u32>,
    /// How many orders there are in the end of `growth`, in rounds of `--commands`.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    orders: u32,
    /// Where Apache Kafka and the registry are kept once fetched, 150 MB [default: .foldline/cache].
    #[arg(long, env = "FOLDLINE_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Commands over HTTP.
    Http,
    /// Queries by id, and pages of a list.
    Queries,
    /// From a command's answer to the view that shows it.
    Visible,
    /// A full command topic, and its events into the views.
    Topic,
    /// Commands on one aggregate.
    Hot,
    /// What changes as the history grows: rates, memory, starts.
    Growth,
}

impl BenchOptions {
    fn wants(&self, part: Part) -> bool {
        let is_asked_for = self.only.contains(&part);
        is_asked_for || (self.only.is_empty() && part != Part::Growth)
    }
}

/// How long, and how often.
struct Plan {
    rounds: usize,
    /// Before everything, for Kafka; what is measured has the other one.
    first_warm_up: WarmUp,
    warm_up: Duration,
    length: Duration,
    /// Preloaded in each round: a multiple of an order's.
    commands: usize,
}

impl Plan {
    fn of(options: &BenchOptions) -> Self {
        let (rounds, (first, lengths_max), warm_up, length, commands) = if options.quick {
            (1, (10, 1), 1, 2, 20_000)
        } else {
            (3, (15, 8), 2, 4, 600_000)
        };
        let commands = options.commands.map_or(commands, |commands| commands as usize);
        Self {
            rounds,
            first_warm_up: WarmUp {
                length: Duration::from_secs(first),
                lengths_max,
            },
            warm_up: Duration::from_secs(warm_up),
            length: Duration::from_secs(length),
            commands: commands.next_multiple_of(COMMANDS_PER_ORDER),
        }
    }
}

/// What every measurement needs.
struct Bench {
    plan: Plan,
    system: System,
    restaurant: Arc<Restaurant>,
    orders: Arc<dyn AggregateType>,
    doing: Arc<Doing>,
}

impl Bench {
    /// As a row names them.
    fn clients(&self, count: usize) -> String {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} client{plural}")
    }
}

/// Measures, and tells.
pub(crate) async fn run(options: BenchOptions, domains: Domains) -> anyhow::Result<()> {
    let machine = Machine::look();
    if !machine.is_optimised() {
        println!(
            "NOT OPTIMISED (opt-level {}): these figures say nothing; use `cargo run --release -- bench`",
            machine.opt_level
        );
    }
    println!(
        "Kafka, the services and the clients that load them share the {} cores of this machine; the clients are this \
         program.\n",
        machine.cores
    );
    let shutdown = Shutdown::on_signals()?;
    let doing = Arc::new(Doing::new());
    let measured = tokio::select! {
        measured = measure(&options, &domains, &doing) => measured,
        // What was started is killed as it is dropped.
        () = shutdown.wait() => Err(anyhow::anyhow!("stopped before everything was measured")),
    };
    doing.end();
    let Measured {
        rows,
        growth,
        memory_mb,
    } = measured?;
    let report = Report {
        measured_at: preloaded::now().to_string(),
        quick: options.quick,
        preloaded_commands: Plan::of(&options).commands,
        rows,
        growth,
        memory_mb,
        machine,
    };
    print!("{}", report.text());
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(folder) = &options.plots {
        plots::draw(&report, folder)?;
    }
    Ok(())
}

/// All that was.
struct Measured {
    rows: Vec<Row>,
    growth: Option<Growth>,
    memory_mb: Memory,
}

async fn measure(options: &BenchOptions, domains: &Domains, doing: &Arc<Doing>) -> anyhow::Result<Measured> {
    let Some(orders) = domains.aggregate("restaurant", "orders") else {
        bail!("the benchmark places orders, and the domain `restaurant` is not installed");
    };
    let system = System::start(&cache(options)?, domains, doing).await?;
    doing.next("founding a restaurant");
    let restaurant = Restaurant::found(system.address(Service::CommandHandler)).await?;
    let mut bench = Bench {
        plan: Plan::of(options),
        system,
        restaurant: Arc::new(restaurant),
        orders: Arc::clone(orders),
        doing: Arc::clone(doing),
    };
    let loader = Arc::new(Loader::new(&bench, domains).await?);
    warm::up(&bench, GUESTS[GUESTS.len() - 1]).await?;
    let mut rows = Vec::new();
    if options.wants(Part::Http) {
        rows.extend(over_http(&bench, &loader).await?);
    }
    let place = rows.len();
    if options.wants(Part::Queries) {
        rows.extend(queries(&bench).await?);
    }
    if options.wants(Part::Visible) {
        rows.push(visible::measure(&bench).await?);
    }
    if options.wants(Part::Topic) {
        // Told in the order in which a command goes its way; measured last, because what it leaves is in the way of
        // the others.
        rows.splice(place..place, preloaded_rows(&mut bench, &loader).await?);
    }
    if options.wants(Part::Hot) {
        rows.push(hot_row(&mut bench, domains).await?);
    }
    let mut growth = None;
    if options.wants(Part::Growth) {
        growth = Some(growth::measure(&mut bench, &loader, options.orders as usize).await?);
    }
    let memory_mb = bench.system.memory();
    doing.next("stopping everything");
    bench.system.end().await;
    Ok(Measured {
        rows,
        growth,
        memory_mb,
    })
}

async fn over_http(bench: &Bench, loader: &Loader) -> anyhow::Result<Vec<Row>> {
    let roundtrip = Roundtrip::start(&bench.system.kafka, loader.record_bytes()?).await?;
    let mut rows = Vec::new();
    // The busiest first, because what it leaves for the compiler would be in the way of the idle ones.
    for clients in GUESTS.into_iter().rev() {
        rows.push(commands::measure(bench, &roundtrip, clients).await?);
    }
    rows.reverse();
    spawn_blocking(|| roundtrip.stop()).await??;
    Ok(rows)
}

async fn queries(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let queries = Queries::prepare(bench).await?;
    let mut rows = Vec::new();
    for connections in [1, MANY_READERS] {
        rows.push(queries.by_id.measure(bench, connections).await?);
    }
    rows.push(queries.page.measure(bench, MANY_READERS).await?);
    Ok(rows)
}

/// Commands from a full topic, and views of their events: the views of each round are those of its commands.
async fn preloaded_rows(bench: &mut Bench, loader: &Arc<Loader>) -> anyhow::Result<[Row; 2]> {
    const TOPICS: [&str; 3] = ["floor.in", "floor.out", "floor.out2"];
    let [from, to @ ..] = TOPICS;
    let kafka = bench.system.kafka.clone();
    let (records, bytes) = (bench.plan.commands.max(FLOOR_RECORDS_MIN), loader.record_bytes()?);
    floor::make_topics(&kafka, &TOPICS).await?;
    let fill = kafka.clone();
    spawn_blocking(move || floor::fill(&fill, from, records, bytes)).await??;

    let (mut commands, mut views) = (Rounds::default(), Rounds::default());
    for round in 1..=bench.plan.rounds {
        bench.system.stop(Service::Projector).await;
        bench.system.stop(Service::CommandHandler).await;
        let (figures, cpu) = preloaded::commands(bench, loader).await?;
        commands.ours(figures, cpu);
        let (pipe, name) = (kafka.clone(), format!("floor-pipe-{round}"));
        bench.doing.next("the floor of it");
        commands.floor(spawn_blocking(move || floor::pipe(&pipe, &name, from, &to, records)).await??);

        let (figures, cpu) = preloaded::views(bench).await?;
        views.ours(figures, cpu);
        let (events, kafka) = (kafka.topics().events(bench.orders.info()), kafka.clone());
        let (file, records) = (
            bench.system.file(&format!("floor-{round}.db")),
            bench.plan.commands,
        );
        bench.doing.next("the floor of it");
        views.floor(spawn_blocking(move || floor::upsert(&kafka, &events, &file, records)).await??);
    }
    Ok([
        commands.row("a full command topic", "commands", PIPE).aims(&[
            (Measure::RatePerFloor, Bound::AtLeast(0.45)),
            (Measure::Cpu(Service::CommandHandler.name()), Bound::AtMost(0.9)),
        ]),
        views
            .row("into the views", "events", UPSERT)
            .aims(&[(Measure::RatePerFloor, Bound::AtLeast(1.0))]),
    ])
}

async fn hot_row(bench: &mut Bench, domains: &Domains) -> anyhow::Result<Row> {
    let Some(counters) = domains.aggregate("counter", "counters") else {
        bail!("one counter is counted up, and the domain `counter` is not installed");
    };
    let topic = Arc::new(Topic::of(bench, domains, counters).await?);
    let mut rounds = Rounds::default();
    for _ in 0..bench.plan.rounds {
        bench.system.stop(Service::CommandHandler).await;
        let (figures, cpu) = hot::commands(bench, &topic).await?;
        rounds.ours(figures, cpu);
    }
    let row = rounds.row("one aggregate", "commands", "");
    Ok(row.aims(&[(Measure::PerSecond, Bound::AtLeast(20_000.0))]))
}

/// Where `foldline dev` has it: in `.foldline` of the current folder, or of the nearest one above that has one.
fn cache(options: &BenchOptions) -> anyhow::Result<PathBuf> {
    if let Some(cache) = &options.cache {
        return Ok(cache.clone());
    }
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let home = |folder: &Path| folder.join(".foldline");
    let known = here.ancestors().map(home).find(|home| home.is_dir());
    Ok(known.unwrap_or_else(|| home(&here)).join("cache"))
}

#[cfg(test)]
mod tests {
    use super::{BenchOptions, Plan};

    #[test]
    fn orders_are_preloaded_whole() {
        let options = BenchOptions {
            quick: true,
            json: None,
            plots: None,
            only: vec![],
            commands: None,
            orders: 1_000_000,
            cache: None,
        };
        assert_eq!(Plan::of(&options).commands, 20_004);
    }
}
