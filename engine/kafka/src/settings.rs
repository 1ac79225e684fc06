use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use rdkafka::ClientConfig;

use crate::security::{SecuritySettings, check_property};

/// Where Kafka and the schema registry are. As settings of a program they are checked: see [`check`](Self::check).
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// Kafka brokers to ask first, host:port separated by commas.
    pub bootstrap_servers: String,
    /// The schema registry's Confluent-compatible API.
    pub schema_registry: String,
    /// Put before the name of every topic.
    pub topic_prefix: String,
    /// Any settings of librdkafka, for every client of this process.
    pub kafka_properties: Vec<(String, String)>,
    /// Who this process is, and whom it trusts.
    pub security: SecuritySettings,
}

/// The settings cannot be used. No value is told: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaSettingsError {
    /// Not a setting of librdkafka.
    #[error("--kafka must be KEY=VALUE, with a semicolon before the next one, and one of them is not")]
    NotAPair,
    /// A secret among librdkafka's settings.
    #[error("{key} cannot be set with --kafka; {instead}")]
    SecretProperty {
        /// Which one.
        key: String,
        /// How it is given.
        instead: &'static str,
    },
    /// A password in a URL would stand in every error that names it.
    #[error(
        "--schema-registry must have no password in it: give it with --registry-username and \
         --registry-password-file"
    )]
    PasswordInUrl,
    /// A setting that says nothing without another one.
    #[error("--{given} needs --{missing}")]
    Missing {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// Two settings that say different things.
    #[error("--{one} and --{other} exclude each other")]
    Exclusive {
        /// One of them.
        one: &'static str,
        /// The other one.
        other: &'static str,
    },
}

/// Where Kafka and the schema registry are.
// As clap takes them. It shows a value that its parsers refuse, and some of these may be secrets: so it takes any text, which
// is looked at afterwards.
#[derive(Args)]
struct Given {
    /// Kafka brokers to ask first, host:port separated by commas.
    #[arg(
        long,
        env = "FOLDLINE_BOOTSTRAP_SERVERS",
        default_value = "127.0.0.1:9092",
        value_name = "HOSTS"
    )]
    bootstrap_servers: String,

    /// The schema registry's Confluent-compatible API.
    #[arg(
        long,
        env = "FOLDLINE_SCHEMA_REGISTRY",
        default_value = "http://127.0.0.1:8085/apis/ccompat/v7",
        value_name = "URL"
    )]
    schema_registry: String,

    /// Put before the name of every topic, for several systems on one cluster.
    #[arg(long, env = "FOLDLINE_TOPIC_PREFIX", default_value = "", value_name = "TEXT")]
    topic_prefix: String,

    /// Any setting of librdkafka; may be given several times. See librdkafka's CONFIGURATION.md. Transactions and
    /// commands from HTTP are written by another client: of these it takes `client.id` and what says who this process is.
    #[arg(
        long = "kafka",
        env = "FOLDLINE_KAFKA",
        value_name = "KEY=VALUE",
        value_delimiter = ';'
    )]
    kafka_properties: Vec<String>,

    /// Who this process is, and whom it trusts.
    #[command(flatten)]
    security: SecuritySettings,
}

impl TryFrom<Given> for KafkaSettings {
    type Error = KafkaSettingsError;

    fn try_from(given: Given) -> Result<Self, KafkaSettingsError> {
        let properties = given.kafka_properties.iter();
        let settings = Self {
            bootstrap_servers: given.bootstrap_servers,
            schema_registry: given.schema_registry,
            topic_prefix: given.topic_prefix,
            kafka_properties: properties
                .map(|text| Self::property(text))
                .collect::<Result<_, _>>()?,
            security: given.security,
        };
        settings.check()?;
        Ok(settings)
    }
}

impl FromArgMatches for KafkaSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Given::from_arg_matches(matches)?;
        // Where clap does not know the command it ends no line.
        Self::try_from(given)
            .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for KafkaSettings {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl KafkaSettings {
    /// A setting of librdkafka, from KEY=VALUE.
    pub fn property(text: &str) -> Result<(String, String), KafkaSettingsError> {
        let (key, value) = text.split_once('=').ok_or(KafkaSettingsError::NotAPair)?;
        check_property(key.trim())?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    }

    /// Finds what cannot be used, when all of it is there: some may stand in a file, some in the environment.
    pub fn check(&self) -> Result<(), KafkaSettingsError> {
        if self.schema_registry.contains('@') {
            return Err(KafkaSettingsError::PasswordInUrl);
        }
        self.security.check()
    }

    /// The arguments by which another process of this program is told the same. No secret is among them.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![
            OsString::from(format!("--bootstrap-servers={}", self.bootstrap_servers)),
            OsString::from(format!("--schema-registry={}", self.schema_registry)),
            OsString::from(format!("--topic-prefix={}", self.topic_prefix)),
        ];
        let properties = self.kafka_properties.iter();
        arguments.extend(properties.map(|(key, value)| OsString::from(format!("--kafka={key}={value}"))));
        arguments.extend(self.security.arguments());
        arguments
    }

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
