//! Logs to stderr, metrics in the text form of Prometheus.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a process logs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logs")]
pub struct TelemetrySettings {
    /// What to log: error, warn, info, debug or trace, or a filter such as `info,foldline_kafka=debug`.
    // These tell at `info` what they do to their files, and of each transaction.
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,fjall=warn,krafka=warn,lsm_tree=warn",
        value_name = "FILTER"
    )]
    pub log_level: String,
    /// How to log; without it, text on a terminal and JSON elsewhere.
    #[arg(long, env = "FOLDLINE_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// A form of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// One line per entry, for people.
    Text,
}

/// Logs or metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter has no meaning.
    #[error("--log-level {filter:?} is no filter: {source}")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else in the process logs already.
    #[error(transparent)]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logs and metrics for the whole process. Call it in the runtime.
pub fn init_telemetry(settings: &TelemetrySettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log_level).map_err(|source| TelemetryError::Filter {
        filter: settings.log_level.clone(),
        source,
    })?;
    let on_terminal = std::io::stderr().is_terminal();
    let format = settings.log_format.unwrap_or(if on_terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(on_terminal);
    match format {
        LogFormat::Text => registry.with(layer).try_init()?,
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
    }
    let recorder = recorder();
    tokio::spawn(async move {
        // Without it, histograms grow until somebody asks for the metrics.
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            recorder.run_upkeep();
        }
    });
    Ok(())
}

/// All metrics of the process, as Prometheus reads them.
pub fn metrics_text() -> String {
    recorder().render()
}

const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];
const COUNTS: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
];

/// One for the process, as the `metrics` crate has it.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(&COUNTS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS))
            .expect("there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Fails if a test has a recorder of its own: then that one has the metrics.
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}

#[cfg(test)]
mod tests {
    use super::metrics_text;

    #[test]
    fn durations_and_counts_have_buckets_of_their_own() {
        metrics_text();
        metrics::histogram!("wait_seconds").record(0.03);
        metrics::histogram!("batch_records").record(30.0);
        metrics::counter!("things_total").increment(2);
        let text = metrics_text();
        for line in [
            "wait_seconds_bucket{le=\"0.05\"} 1",
            "batch_records_bucket{le=\"50\"} 1",
            "things_total 2",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
