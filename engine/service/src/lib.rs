//! What every service of Foldline shares: configuration, logs and metrics, a stop that loses nothing, and an HTTP
//! server with problem details. It knows nothing of Kafka or of views.
//!
//! A service is a library with `Settings` (a [`clap::Args`]) and `run(settings, domains, shutdown)`; its program:
//!
//! ```no_run
//! # #[derive(clap::Args)] struct Settings {}
//! # async fn run(_: Settings, _: foldline_service::Shutdown) -> anyhow::Result<()> { Ok(()) }
//! fn main() -> std::process::ExitCode {
//!     foldline_service::main("foldline-example", "Does nothing.", |settings: Settings, shutdown| async {
//!         run(settings, shutdown).await
//!     })
//! }
//! ```
//!
//! In `run`: [`bind`], then [`app`] around the service's own routes and its [`Health`], then [`serve`].

mod duration;
mod health;
mod http;
mod problem;
mod process;
mod serve;
mod settings;
mod shutdown;
mod telemetry;

pub use duration::parse_duration;
pub use health::Health;
pub use http::{HttpSettings, app};
pub use problem::{ErrorItem, Problem};
pub use process::{Process, main, run_process};
pub use serve::{ServeError, bind, serve};
pub use settings::{SettingsError, parse_layered};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, TelemetryError, TelemetrySettings, init_telemetry, metrics_text};
