//! A service as a process: settings, telemetry, signals, exit code.

use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use tracing::{debug, error, info, warn};

use crate::{Shutdown, TelemetrySettings, init_telemetry, parse_layered};

/// The settings of a service's process: its own, and those that every process has.
///
/// A program with several services has one of them in each subcommand.
#[derive(Debug, Clone, Args)]
pub struct Process<S: Args> {
    /// Those of the service.
    #[command(flatten)]
    pub settings: S,
    /// Those of every process.
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

/// The `main` of a program that is one service.
pub fn main<S, F>(name: &'static str, about: &'static str, run: impl FnOnce(S, Shutdown) -> F) -> ExitCode
where
    S: Args,
    F: Future<Output = anyhow::Result<()>>,
{
    let matches = parse_layered(command::<S>(name, about), std::env::args_os());
    let matches = matches.unwrap_or_else(|error| error.exit());
    let process = Process::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    run_process(process, run)
}

fn command<S: Args>(name: &'static str, about: &'static str) -> Command {
    let command = Process::<S>::augment_args(Command::new(name));
    // Last, because clap takes the doc comments of structs for it too.
    command
        .about(about)
        .long_about(None)
        .version(env!("CARGO_PKG_VERSION"))
}

/// Runs a service until a signal, or until it fails.
pub fn run_process<S, F>(process: Process<S>, run: impl FnOnce(S, Shutdown) -> F) -> ExitCode
where
    S: Args,
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        init_telemetry(&process.telemetry)?;
        complain_of_root();
        raise_file_limit();
        let shutdown = Shutdown::on_signals()?;
        run(process.settings, shutdown).await
    });
    // Threads that still block, on Kafka for instance, do not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // The log may be filtered or not started: a person at the terminal sees this in any case.
            eprintln!("error: {failure:#}");
            error!(error = format!("{failure:#}"), "failed");
            ExitCode::FAILURE
        }
    }
}

/// Nothing that a service does needs root, so whoever breaks into one gets more than they need to have. It is said, not
/// refused: within a container, root may be nobody.
fn complain_of_root() {
    if geteuid().is_root() {
        warn!("this runs as root, which it need not: give it a user that can write to its data folder alone");
    }
}

/// A connection takes a file, and many systems begin with 1,024 of them though they allow far more: whoever keeps
/// connections open must not keep the service from its own files.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, CommandFactory, Parser};

    use super::{Process, command};

    /// Settings.
    #[derive(Args)]
    struct Settings {}

    #[derive(Parser)]
    enum Program {
        /// Serves.
        ///
        /// For long.
        Serve(Process<Settings>),
    }

    #[test]
    fn help_tells_what_the_service_does() {
        let help = command::<Settings>("serve", "Serves.")
            .render_long_help()
            .to_string();
        assert!(help.starts_with("Serves.\n"), "{help}");
    }

    #[test]
    fn help_of_a_subcommand_tells_what_the_service_does() {
        let mut program = Program::command();
        let serve = program.find_subcommand_mut("serve").unwrap();
        let help = serve.render_long_help().to_string();
        assert!(help.starts_with("Serves.\n\nFor long."), "{help}");
    }
}
