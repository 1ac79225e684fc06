use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use foldline_kafka::KafkaSettings;
use foldline_service::{AuthSettings, HttpSettings, parse_duration};

/// The settings of the query API.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where the read API, the health checks and the metrics are served.
    #[arg(
        long,
        env = "FOLDLINE_QUERY_API_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// The SQLite file that the projector writes: views.db in its data-dir.
    #[arg(
        long,
        env = "FOLDLINE_VIEWS",
        default_value = ".foldline/projector/views.db",
        value_name = "FILE"
    )]
    pub views: PathBuf,
    /// The address of the command handler that links to commands begin with.
    #[arg(
        long,
        env = "FOLDLINE_COMMAND_API",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL"
    )]
    pub command_api: String,
    /// Where the keys of personal values are. Histories say by the prefix where an event lies.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// How long a read with a consistency token waits for the view if the request does not say so (`Prefer: wait=N`).
    #[arg(long, env = "FOLDLINE_READ_WAIT", default_value = "2s", value_parser = parse_duration, value_name = "TIME")]
    pub wait_default: Duration,
    /// How long a read with a consistency token waits at most, whatever the request says.
    #[arg(long, env = "FOLDLINE_READ_WAIT_MAX", default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub wait_max: Duration,
    /// How many reads of the views run at once; more wait their turn.
    #[arg(long, env = "FOLDLINE_READERS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub readers: u16,
    /// How many streams there are at once, live ones and exports together; one more is a 503.
    #[arg(long, env = "FOLDLINE_STREAMS_MAX", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub streams_max: u16,
    /// How often a live stream says something although there is nothing to say.
    #[arg(long, env = "FOLDLINE_KEEP_ALIVE", default_value = "15s", value_parser = parse_duration, value_name = "TIME")]
    pub keep_alive: Duration,
    /// How many lists of the past (`?at=`) are kept to be read again.
    #[arg(long, env = "FOLDLINE_PAST_LISTS_MAX", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub past_lists_max: u16,
    /// How much of the temporary folder they take at most, in MiB, besides the newest.
    #[arg(
        long,
        env = "FOLDLINE_PAST_LISTS_MIB",
        default_value_t = 1024,
        value_name = "MIB"
    )]
    pub past_lists_mib: u32,
    /// How long one is kept that nobody asks for.
    #[arg(long, env = "FOLDLINE_PAST_LISTS_AGE", default_value = "10m", value_parser = parse_duration, value_name = "TIME")]
    pub past_lists_age: Duration,
    /// Who may ask.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// Limits of the HTTP surface.
    #[command(flatten)]
    pub http: HttpSettings,
}
