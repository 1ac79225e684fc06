use clap::Args;
use rdkafka::ClientConfig;

use crate::security::{SecuritySettings, check_property};

/// Where Kafka and the schema registry are.
#[derive(Debug, Clone, Args)]
pub struct KafkaSettings {
    /// Kafka brokers to ask first, host:port separated by commas.
    #[arg(
        long,
        env = "FOLDLINE_BOOTSTRAP_SERVERS",
        default_value = "127.0.0.1:9092",
        value_name = "HOSTS"
    )]
    pub bootstrap_servers: String,

    /// The schema registry's Confluent-compatible API.
    #[arg(
        long,
        env = "FOLDLINE_SCHEMA_REGISTRY",
        default_value = "http://127.0.0.1:8085/apis/ccompat/v7",
        value_parser = without_password,
        value_name = "URL"
    )]
    pub schema_registry: String,

    /// Put before the name of every topic, for several systems on one cluster.
    #[arg(long, env = "FOLDLINE_TOPIC_PREFIX", default_value = "", value_name = "TEXT")]
    pub topic_prefix: String,

    /// Any setting of librdkafka, for every client of this process; may be given several times. See
    /// librdkafka's CONFIGURATION.md.
    #[arg(long = "kafka", env = "FOLDLINE_KAFKA", value_name = "KEY=VALUE", value_delimiter = ';', value_parser = key_value)]
    pub kafka_properties: Vec<(String, String)>,

    /// Who this process is, and whom it trusts.
    #[command(flatten)]
    pub security: SecuritySettings,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    check_property(key.trim())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// A password in a URL would stand in every error that names it.
fn without_password(text: &str) -> Result<String, String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(
            "must have no password in it: give it with --registry-username and --registry-password-file"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

impl KafkaSettings {
    /// What every client begins with. What the engine's promises rest on is set after it, and wins.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "foldline");
        // A broker that was away for a moment leaves partitions without a leader in the client's cache, where the
        // default keeps them for up to 5 minutes.
        config.set("topic.metadata.refresh.interval.ms", "5000");
        for (key, value) in &self.kafka_properties {
            config.set(key, value);
        }
        self.security.apply(&mut config);
        config.set("bootstrap.servers", &self.bootstrap_servers);
        // The first connection to a broker that is just starting must not wait for seconds.
        config
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// The same, with settings that decide only how fast and how large a client is: what an operator sets wins.
    pub(crate) fn tuned(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.client();
        for (key, value) in settings {
            if config.get(key).is_none() {
                config.set(*key, *value);
            }
        }
        config
    }

    /// The names of the topics.
    pub fn topics(&self) -> crate::TopicNames {
        crate::TopicNames::new(&self.topic_prefix)
    }
}
