use clap::{Parser, Subcommand};
use foldline_service::Process;

use crate::bench::BenchOptions;
use crate::commands::dlq::DlqCommand;
use crate::commands::erase::EraseOptions;
use crate::commands::evolve::EvolveCommand;
use crate::commands::schemas::SchemasCommand;
use crate::commands::topics::TopicsCommand;
use crate::commands::verify::VerifyOptions;
use crate::commands::views::ViewsCommand;
use crate::dev::DevOptions;

const BELOW: &str = "Without a command it is `dev`: Apache Kafka, a schema registry and the three services are \
    started on this machine, and Ctrl-C stops all of it. Everything is kept in the folder .foldline of the current \
    folder, or of the nearest folder above that has one.\n\n\
    Each command has its own --help. Every option can also stand in a TOML file (--config) or in the environment \
    (the name is in brackets); flags win over the environment, and the environment wins over the file.";

/// Event sourcing and CQRS on Apache Kafka.
#[derive(Debug, Parser)]
#[command(
    name = "foldline",
    version,
    args_conflicts_with_subcommands = true,
    after_help = BELOW,
    after_long_help = BELOW
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) dev: DevOptions,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run everything on this machine, for development [the default].
    Dev(Box<DevOptions>),
    /// Run the write side: commands in over HTTP and Kafka, events out.
    CommandHandler(Box<Process<foldline_command_handler::Settings>>),
    /// Run the writer of the views: events in, views out.
    Projector(Box<Process<foldline_projector::Settings>>),
    /// Run the read side: views and history over HTTP.
    QueryApi(Box<Process<foldline_query_api::Settings>>),
    /// Measure on this machine how fast it is, beside what Kafka itself can do. Takes five minutes.
    Bench(BenchOptions),
    /// Make and check the Kafka topics.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Write, check and register the Avro schemas.
    #[command(subcommand)]
    Schemas(SchemasCommand),
    /// Read the log alone, and find any event that was edited, or is missing, repeated or out of order.
    Verify(VerifyOptions),
    /// Build views anew beside those that are served, compare them, switch and go back.
    #[command(subcommand)]
    Views(ViewsCommand),
    /// Settle what could not be handled: records that were no commands, and aggregates that a view has parked.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Throw away the key of all that is sealed about a person, and remove what was not.
    Erase(EraseOptions),
    /// Find out what a new version of this program makes of the log that is there.
    #[command(subcommand)]
    Evolve(EvolveCommand),
}
