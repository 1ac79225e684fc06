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

mod auth;
mod documents;
mod duration;
mod exchange;
mod health;
mod http;
pub mod openapi;
mod pages;
mod paths;
mod problem;
mod process;
mod rate_limit;
mod serve;
mod settings;
mod shutdown;
mod sockets;
mod telemetry;
mod tls;
mod trace;

pub use auth::{Action, Auth, AuthError, AuthMode, AuthSettings, Caller, KeysError, Reach};
pub use documents::documents;
pub use duration::parse_duration;
pub use health::Health;
pub use http::{HttpSettings, app};
pub use pages::{Page, title_of};
pub use paths::{UnservablePath, check_path};
pub use problem::{ErrorItem, NextStep, Problem};
pub use process::{Process, main, run_process};
pub use rate_limit::{InvalidRate, RateLimit};
pub use serve::{Listener, ServeError, bind, serve};
pub use settings::{SettingsError, parse_layered};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, TelemetryError, TelemetrySettings, init_telemetry, metrics_text};
pub use tls::TlsError;
pub use trace::{TRACEPARENT, trace_id, trace_id_of};
