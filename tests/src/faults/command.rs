//! The long form, by one command: `cargo run -p foldline-tests -- faults --minutes 20`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::report::{Floors, Verdict};
use super::run::{Plan, run};
use crate::chance::Chance;
use crate::stack;

/// Faults on a whole system under load, and what it has kept of its promises.
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// Of the schedule; by the clock if it is left out. It is said, and is in the report.
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults are drawn. The visits to the named points come after that.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// A period, in seconds.
    #[arg(long, default_value_t = 30)]
    period: u64,
    /// How often each named point must have killed its process.
    #[arg(long, default_value_t = 20)]
    each_point: usize,
    /// Fewer answered commands are no result.
    #[arg(long, default_value_t = 20_000)]
    answered: usize,
    /// Fewer faults are no result.
    #[arg(long, default_value_t = 100)]
    faults: usize,
}

/// Runs it with these arguments. The exit code is 1 if a promise was broken, and 2 if too little happened.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    let seed = arguments
        .seed
        .unwrap_or_else(|| Chance::of_this_run("faults").any());
    let program = std::env::current_exe().expect("this program is a file");
    let plan = Plan {
        name: "faults".to_owned(),
        program: program.display().to_string(),
        seed,
        period: Duration::from_secs(arguments.period),
        length: Duration::from_secs(60 * arguments.minutes),
        each_point: arguments.each_point,
        floors: Floors {
            answered: arguments.answered,
            faults: arguments.faults,
            // At one of the points a transaction is always open, at another one nearly always.
            open: arguments.each_point,
            each_point: arguments.each_point,
        },
        output: stack::workspace().join(format!("target/faults/{seed}")),
    };
    println!("seed {seed}; history and report go to {}", plan.output.display());
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let report = runtime.block_on(run(&plan));
    println!("{report}");
    match report.verdict() {
        Verdict::Kept => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::from(1),
        Verdict::NoResult(_) => ExitCode::from(2),
    }
}
