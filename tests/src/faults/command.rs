//! The long form, by one command: `cargo run -p foldline-tests -- faults --minutes 20`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::report::{Floors, Verdict};
use super::run::{Plan, run};
use crate::chance::Chance;
use crate::stack;

/// Faults on a whole system under load, and what it has kept of its promises.
///
/// Without options it brings about all that a long run is to show (docs/faults.md), which takes long on a small machine.
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// Of the schedule; by the clock if it is left out. It is said, and is in the report.
    #[arg(long)]
    seed: Option<u64>,
    /// Nodes of Kafka. Of several, each record is on all, and must be on more than half to be acknowledged.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    brokers: u8,
    /// How long faults are drawn at first. Then come those of which there are to be so many, and then more drawn ones,
    /// until enough is answered.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// When it ends, whatever is missing: then it is no result. In minutes.
    #[arg(long, default_value_t = 300)]
    at_most: u64,
    /// A period, in seconds.
    #[arg(long, default_value_t = 30)]
    period: u64,
    /// How often each named point must have killed its process.
    #[arg(long, default_value_t = 20)]
    each_point: usize,
    /// So many late commits must have been answered by the broker.
    #[arg(long, default_value_t = 1_000)]
    held: usize,
    /// So many writers must have woken in a transaction after their successor had committed.
    #[arg(long, default_value_t = 50)]
    zombies: usize,
    /// Fewer answered commands are no result.
    #[arg(long, default_value_t = 200_000)]
    answered: usize,
    /// Fewer faults are no result.
    #[arg(long, default_value_t = 100)]
    faults: usize,
}

impl Arguments {
    fn plan(&self, seed: u64) -> Plan {
        let program = std::env::current_exe().expect("this program is a file");
        Plan {
            name: "faults".to_owned(),
            program: program.display().to_string(),
            seed,
            brokers: self.brokers.into(),
            period: Duration::from_secs(self.period),
            length: Duration::from_secs(60 * self.minutes),
            at_most: Duration::from_secs(60 * self.at_most),
            floors: Floors {
                answered: self.answered,
                faults: self.faults,
                // At one of the points a transaction is always open, at another one nearly always.
                open: self.each_point,
                each_point: self.each_point,
                held: self.held,
                zombies: self.zombies,
            },
            output: stack::workspace().join(format!("target/faults/{seed}")),
        }
    }
}

/// Runs it with these arguments. The exit code is 1 if a promise was broken, and 2 if too little happened.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    let seed = arguments
        .seed
        .unwrap_or_else(|| Chance::of_this_run("faults").any());
    let plan = arguments.plan(seed);
    println!("seed {seed}; history and report go to {}", plan.output.display());
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let report = runtime.block_on(run(&plan, interrupted()));
    println!("{report}");
    // What blocks in one of its threads is not waited for: it may be what somebody has interrupted.
    runtime.shutdown_background();
    match report.verdict() {
        Verdict::Kept => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::from(1),
        Verdict::NoResult(_) => ExitCode::from(2),
    }
}

/// Returns at the first Ctrl-C, and never if there is none.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
