use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use foldline_kafka::{EngineSettings, KafkaSettings};
use foldline_service::{AuthSettings, HttpSettings, parse_duration};

/// The settings of the command handler.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where the write API is served.
    #[arg(
        long,
        env = "FOLDLINE_COMMAND_HANDLER_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Where clients find the query API: links to views begin with it.
    #[arg(long, env = "FOLDLINE_QUERY_API", default_value = "http://127.0.0.1:8080", value_parser = base_url, value_name = "URL")]
    pub query_api: String,

    /// How long an answer waits for the outcome of a command, if the client does not say (`Prefer: wait=3`).
    #[arg(long, env = "FOLDLINE_WAIT", default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub wait: Duration,

    /// The longest that a client can make an answer wait.
    #[arg(long, env = "FOLDLINE_WAIT_MAX", default_value = "60s", value_parser = parse_duration, value_name = "TIME")]
    pub wait_max: Duration,

    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaSettings,

    /// How commands are decided.
    #[command(flatten)]
    pub engine: EngineSettings,

    /// Who may ask.
    #[command(flatten)]
    pub auth: AuthSettings,

    /// Limits of the write API.
    #[command(flatten)]
    pub http: HttpSettings,
}

/// A URL that paths can be put behind.
fn base_url(text: &str) -> Result<String, String> {
    let url: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    if !is_http || url.query().is_some() {
        return Err("must be like http://host:port".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::Settings;

    #[test]
    fn each_setting_has_a_default_and_a_help_text() {
        let command = Settings::augment_args(Command::new("command-handler"));
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{} has no help", arg.get_id());
            assert!(
                arg.get_long().is_some() && arg.get_env().is_some(),
                "{}",
                arg.get_id()
            );
        }
        command.clone().debug_assert();
        let matches = command.try_get_matches_from(["command-handler"]).unwrap();
        let settings = Settings::from_arg_matches(&matches).unwrap();
        assert_eq!(settings.listen.port(), 8081);
    }

    #[test]
    fn the_query_api_is_a_url_without_a_slash_at_the_end() {
        assert_eq!(
            super::base_url("https://x.test/read/").as_deref(),
            Ok("https://x.test/read")
        );
        for bad in ["127.0.0.1:8080", "/read", "ftp://x.test", "http://x.test/?a"] {
            assert!(super::base_url(bad).is_err(), "{bad}");
        }
    }
}
