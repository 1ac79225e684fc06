use clap::Args;
use rdkafka::ClientConfig;

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
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
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
        config.set("bootstrap.servers", &self.bootstrap_servers);
        // The first connection to a broker that is just starting must not wait for seconds.
        config
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// The names of the topics.
    pub fn topics(&self) -> crate::TopicNames {
        crate::TopicNames::new(&self.topic_prefix)
    }
}
