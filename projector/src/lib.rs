//! The projector: events in, views and history out.
//!
//! In reading order:
//! - [`Projector`]: the fold of a batch. Pure, and where every promise about the content of views is kept.
//! - [`catch_up`]: one batch through a store. Rows, history and checkpoints move in one transaction, so each
//!   event counts once, whatever is killed when.
//! - `run`: opens the log and the store, and goes on until it is to stop. `ahead` reads for it, and `pipeline` commits a full
//!   batch while the next one is folded.
//! - [`Builder`]: a generation of a view, built beside the one that is served; `beside` does so for views whose
//!   declaration has changed.
//! - [`Comparison`]: two generations, row by row; [`Traced`]: rows, event by event.

mod ahead;
mod beside;
mod build;
mod commands;
mod compare;
mod hands;
mod metrics;
mod pipeline;
mod project;
mod rebuild;
mod retry;
mod run;
#[cfg(test)]
mod sim;
mod status;
mod step;
#[cfg(test)]
mod toy;
mod trace;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use clap::Args;
use foldline_core::Domains;
use foldline_kafka::KafkaSettings;
use foldline_service::{Health, HttpSettings, Shutdown, app, bind, serve};

pub use self::build::{BATCH_MAX, BuildError, Builder, Goal, Progress, Site, program};
pub use self::compare::{
    Comparison, Counts, FieldDifference, FirstDifference, Kind, RowDifference, first_by_both, first_by_one,
};
pub use self::project::{Folded, Loaded, Needs, Outcome, Plan, Projector};
pub use self::rebuild::{Rebuild, Report, Side, rebuild};
use self::status::Status;
pub use self::step::{Done, StepError, catch_up};
pub use self::trace::{EventPlace, RowTrace, Step, Traced};

/// The name of the view database in [`Settings::data_dir`].
pub const VIEWS_FILE: &str = "views.db";

/// The projector's settings.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Kafka and the schema registry.
    #[command(flatten)]
    pub kafka: KafkaSettings,

    /// Where the view database, views.db, is kept. It can be removed while the projector and the query API are stopped:
    /// everything in it is built anew from the events.
    #[arg(
        long,
        env = "FOLDLINE_PROJECTOR_DATA_DIR",
        default_value = ".foldline/projector",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,

    /// Where health and metrics are served: /livez, /readyz, /metrics.
    #[arg(
        long,
        env = "FOLDLINE_PROJECTOR_LISTEN",
        default_value = "127.0.0.1:8082",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// How many events are folded and written at once, at most; as many more are written meanwhile, and as many read. Fewer are
    /// as soon as no more are there.
    #[arg(
        long,
        env = "FOLDLINE_PROJECTOR_BATCH_MAX",
        default_value_t = 1000,
        value_name = "EVENTS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub batch_max: u32,
    /// Limits of what is served.
    #[command(flatten)]
    pub http: HttpSettings,
}

impl Settings {
    /// The view database, which the query API reads.
    pub fn views(&self) -> PathBuf {
        self.data_dir.join(VIEWS_FILE)
    }
}

/// Runs until it is to stop, or until it cannot go on. Kafka or the schema registry being away is outlasted.
pub async fn run(settings: Settings, domains: Domains, shutdown: Shutdown) -> anyhow::Result<()> {
    metrics::describe();
    let http = settings.http.clone();
    let listener = bind(settings.listen, &http).await?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics are served");
    let status = Status::default();
    let health = Health::new(&shutdown, {
        let status = status.clone();
        move || status.missing()
    });
    let app = app(Router::new(), health, &http);
    let serving = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { serve(listener, app, &shutdown, &http).await }
    });
    let ended = run::run(&settings, &domains, &shutdown, &status).await;
    shutdown.trigger();
    serving.await?;
    ended
}
