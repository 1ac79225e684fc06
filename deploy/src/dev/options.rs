use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use foldline_kafka::{KafkaSettings, SecuritySettings};
use foldline_stack::Port;

/// What of `dev` can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevOptions {
    /// Where the data are kept from one start to the next [default: .foldline/data].
    #[arg(
        long,
        env = "FOLDLINE_DATA",
        value_name = "FOLDER",
        conflicts_with = "ephemeral"
    )]
    pub(crate) data: Option<PathBuf>,
    /// Keep nothing: data go into a temporary folder that is removed at the end.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Where Apache Kafka and the registry are kept once fetched, 150 MB [default: .foldline/cache].
    #[arg(long, env = "FOLDLINE_CACHE", value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) ports: Ports,

    /// Use this Kafka, host:port separated by commas, and start none. Needs --schema-registry too, and then no Java.
    #[arg(
        long,
        env = "FOLDLINE_BOOTSTRAP_SERVERS",
        value_name = "HOSTS",
        help_heading = "An existing Kafka"
    )]
    bootstrap_servers: Option<String>,
    /// Use this schema registry, the URL of its Confluent-compatible API, and start none.
    #[arg(
        long,
        env = "FOLDLINE_SCHEMA_REGISTRY",
        value_name = "URL",
        help_heading = "An existing Kafka"
    )]
    schema_registry: Option<String>,
    /// Put before the name of every topic, for several systems on one cluster.
    #[arg(
        long,
        env = "FOLDLINE_TOPIC_PREFIX",
        default_value = "",
        value_name = "TEXT",
        help_heading = "An existing Kafka"
    )]
    topic_prefix: String,
    /// Any setting of librdkafka, for every client; may be given several times.
    #[arg(
        long = "kafka",
        env = "FOLDLINE_KAFKA",
        value_name = "KEY=VALUE",
        value_delimiter = ';',
        help_heading = "An existing Kafka"
    )]
    kafka_properties: Vec<String>,
}

/// Where things listen, on 127.0.0.1 alone. 0 is any free port.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ports on 127.0.0.1 (0 is any free one)")]
pub(crate) struct Ports {
    /// The port of the read API.
    #[arg(
        long,
        env = "FOLDLINE_PORT_QUERY_API",
        default_value_t = 8080,
        value_name = "PORT"
    )]
    port_query_api: u16,
    /// The port of the write API.
    #[arg(
        long,
        env = "FOLDLINE_PORT_COMMAND_HANDLER",
        default_value_t = 8081,
        value_name = "PORT"
    )]
    port_command_handler: u16,
    /// The port of the projector's health and metrics.
    #[arg(
        long,
        env = "FOLDLINE_PORT_PROJECTOR",
        default_value_t = 8082,
        value_name = "PORT"
    )]
    port_projector: u16,
    /// The port of Apache Kafka.
    #[arg(
        long,
        env = "FOLDLINE_PORT_KAFKA",
        default_value_t = 9092,
        value_name = "PORT"
    )]
    port_kafka: u16,
    /// The port of the schema registry.
    #[arg(
        long,
        env = "FOLDLINE_PORT_REGISTRY",
        default_value_t = 8085,
        value_name = "PORT"
    )]
    port_registry: u16,
}

impl DevOptions {
    /// Finds what the options say together and cannot mean.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.existing_kafka()?;
        self.kafka("", "")?;
        self.ports.check_distinct()
    }

    /// The Kafka that is there already, if one was given.
    pub(crate) fn existing_kafka(&self) -> anyhow::Result<Option<KafkaSettings>> {
        match (&self.bootstrap_servers, &self.schema_registry) {
            (None, None) => Ok(None),
            (Some(servers), Some(registry)) => self.kafka(servers, registry).map(Some),
            (Some(_), None) => bail!("--bootstrap-servers needs --schema-registry, or leave both away"),
            (None, Some(_)) => bail!("--schema-registry needs --bootstrap-servers, or leave both away"),
        }
    }

    /// How Kafka is reached at these addresses.
    pub(crate) fn kafka(
        &self,
        bootstrap_servers: &str,
        schema_registry: &str,
    ) -> anyhow::Result<KafkaSettings> {
        let properties = self.kafka_properties.iter();
        let settings = KafkaSettings {
            bootstrap_servers: bootstrap_servers.to_owned(),
            schema_registry: schema_registry.to_owned(),
            topic_prefix: self.topic_prefix.clone(),
            kafka_properties: properties
                .map(|text| KafkaSettings::property(text))
                .collect::<Result<_, _>>()?,
            security: SecuritySettings::default(),
        };
        // They are written to files for the services, and shown.
        settings.check()?;
        Ok(settings)
    }
}

impl Ports {
    /// The port of a service.
    pub(crate) fn of_service(&self, name: &str) -> Port {
        let option = format!("--port-{name}");
        let found = self.all().into_iter().find(|(known, _)| *known == option);
        let (_, number) = found.expect("every service has a port");
        Port::fixed(number, option)
    }

    pub(crate) fn of_kafka(&self) -> Port {
        Port::fixed(self.port_kafka, "--port-kafka")
    }

    pub(crate) fn of_registry(&self) -> Port {
        Port::fixed(self.port_registry, "--port-registry")
    }

    /// Each is free when it is looked at, so two that are the same would only be found when one starts.
    fn check_distinct(&self) -> anyhow::Result<()> {
        let mut all = self.all();
        all.sort_by_key(|(_, number)| *number);
        for pair in all.windows(2) {
            let [(one, number), (other, same)] = pair else {
                continue;
            };
            if number == same && *number != 0 {
                bail!("{one} and {other} are both {number}");
            }
        }
        Ok(())
    }

    fn all(&self) -> [(&'static str, u16); 5] {
        [
            ("--port-query-api", self.port_query_api),
            ("--port-command-handler", self.port_command_handler),
            ("--port-projector", self.port_projector),
            ("--port-kafka", self.port_kafka),
            ("--port-registry", self.port_registry),
        ]
    }
}
