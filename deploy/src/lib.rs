//! The program `foldline`: the whole system for development, each service alone, and what an operator needs.
//!
//! It is a function of the installed domains:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     foldline::main(foldline_domains::installed())
//! }
//! ```
//!
//! - `cli`: what can be called.
//! - `bench`: what it does on this machine, in figures.
//! - `commands`: one file for each family of commands.
//! - `dev`: what `foldline` does without a command. It starts the services as processes of their own, which are this
//!   same program again.

#![cfg(unix)]

mod bench;
mod cli;
mod commands;
mod dev;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use foldline_core::Domains;
use foldline_service::{parse_layered, run_process};

use mimalloc::MiMalloc;

use crate::cli::{Action, Cli};
use crate::commands::{dlq, erase, evolve, schemas, topics, verify, views};

/// A record costs some dozens of small allocations on its way, in one thread and freed in another. glibc's allocator
/// took a third of the command handler's time for them; see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Does what the command line says. A failure is one line on stderr and the exit code 1; a wrong command line is 2.
pub fn main(domains: Domains) -> ExitCode {
    let matches = parse_layered(Cli::command(), std::env::args_os()).unwrap_or_else(|error| error.exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.action.unwrap_or(Action::Dev(Box::new(cli.dev))) {
        Action::Dev(options) => {
            options.check().unwrap_or_else(|error| usage(&error));
            block_on(dev::run(*options, domains))
        }
        Action::CommandHandler(process) => run_process(*process, |settings, shutdown| {
            foldline_command_handler::run(settings, domains, shutdown)
        }),
        Action::Projector(process) => run_process(*process, |settings, shutdown| {
            foldline_projector::run(settings, domains, shutdown)
        }),
        Action::QueryApi(process) => run_process(*process, |settings, shutdown| {
            foldline_query_api::run(settings, domains, shutdown)
        }),
        Action::Bench(options) => block_on(bench::run(options, domains)),
        Action::Topics(command) => block_on(topics::run(command, domains)),
        Action::Schemas(command) => block_on(schemas::run(command, domains)),
        Action::Verify(options) => block_on(verify::run(options, domains)),
        Action::Views(command) => block_on(views::run(command, domains)),
        Action::Dlq(command) => block_on(dlq::run(command, domains)),
        Action::Erase(options) => block_on(erase::run(options, domains)),
        Action::Evolve(command) => block_on(evolve::run(command, domains)),
    }
}

/// What clap cannot check by itself ends as what it can.
fn usage(error: &anyhow::Error) -> ! {
    let kind = clap::error::ErrorKind::ValueValidation;
    Cli::command().error(kind, format!("{error:#}")).exit()
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let ended = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let ended = runtime.block_on(work);
            // A thread that still waits for Kafka must not keep us.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}
