use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context;
use clap::CommandFactory;
use foldline_kafka::KafkaSettings;
use foldline_stack::Child;
use serde_json::{Value, json};

use super::console::Console;
use super::folders::Folders;
use super::kept::{Kept, Starter};
use super::options::Ports;
use crate::cli::Cli;

/// In the order in which they stop: readers before writers.
pub(crate) const SERVICES: [&str; 3] = ["query-api", "projector", "command-handler"];

/// A service's settings: keys of its configuration file.
type Settings = Vec<(&'static str, Value)>;

/// Where each service answers.
type Addresses = Vec<(&'static str, String)>;

/// The three services: opened, which locks their folders and finds their ports, and then started.
pub(crate) struct Services {
    opened: Vec<Child>,
    running: Vec<Kept>,
    addresses: Addresses,
    data: PathBuf,
}

impl Services {
    pub(crate) async fn open(ports: &Ports, folders: &Folders, console: &Console) -> anyhow::Result<Self> {
        let mut opened = Vec::new();
        for name in SERVICES {
            let folder = folders.data().join(name);
            opened.push(Child::open(name, &folder, &ports.of_service(name), console).await?);
        }
        let address = |child: &Child| (child.name(), format!("http://127.0.0.1:{}", child.port()));
        Ok(Self {
            addresses: opened.iter().map(address).collect(),
            opened,
            running: Vec::new(),
            data: folders.data().to_owned(),
        })
    }

    /// Starts all at once, and returns when all are ready.
    pub(crate) async fn start(
        &mut self,
        kafka: &KafkaSettings,
        console: &Arc<Console>,
    ) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let mut starting = tokio::task::JoinSet::new();
        for (place, child) in std::mem::take(&mut self.opened).into_iter().enumerate() {
            let settings = settings(child.name(), &self.addresses, &self.data, kafka);
            let file = child.folder().join("settings.toml");
            write(&file, child.name(), &settings)
                .with_context(|| format!("cannot write {}", file.display()))?;
            let starter = starter(program.clone(), child.name(), file, &settings);
            let console = Arc::clone(console);
            starting.spawn(async move { (place, Kept::start(child, starter, &console).await) });
        }
        let mut running = Vec::new();
        while let Some(started) = starting.join_next().await {
            let (place, kept) = started.context("a service could not be started")?;
            running.push((place, kept?));
        }
        running.sort_by_key(|(place, _)| *place);
        self.running = running.into_iter().map(|(_, kept)| kept).collect();
        Ok(())
    }

    /// Stops one after the other.
    pub(crate) async fn stop(self, console: &Console) {
        for (name, kept) in SERVICES.into_iter().zip(self.running) {
            let what = format!("stopping {name}");
            console.begin(&what);
            kept.stop().await;
            console.end(&what, &format!("{name} is stopped"));
        }
    }

    /// Where a service answers.
    pub(crate) fn address(&self, name: &str) -> String {
        url(&self.addresses, name)
    }
}

/// What a service is told. Everything else has its default, or comes from the environment.
fn settings(name: &str, addresses: &Addresses, data: &Path, kafka: &KafkaSettings) -> Settings {
    let in_data = |path: &str| json!(data.join(path).display().to_string());
    let mut settings = match name {
        "command-handler" => vec![
            ("query-api", json!(url(addresses, "query-api"))),
            ("state-dir", in_data("command-handler/state")),
        ],
        "projector" => vec![("data-dir", in_data("projector/views"))],
        _ => vec![
            ("command-api", json!(url(addresses, "command-handler"))),
            ("views", in_data("projector/views/views.db")),
        ],
    };
    let listen = url(addresses, name).replacen("http://", "", 1);
    settings.extend([
        ("listen", json!(listen)),
        ("log-format", json!("text")),
        ("topic-prefix", json!(kafka.topic_prefix)),
    ]);
    // A system on one's own machine.
    if name != "projector" {
        settings.push(("auth", json!("none")));
    }
    let pairs = kafka.kafka_properties.iter();
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    settings.extend([
        ("bootstrap-servers", json!(kafka.bootstrap_servers)),
        ("schema-registry", json!(kafka.schema_registry)),
        ("kafka", json!(pairs)),
    ]);
    settings
}

fn url(addresses: &Addresses, name: &str) -> String {
    let known = addresses.iter().find(|(known, _)| *known == name);
    known.map(|(_, address)| address.clone()).unwrap_or_default()
}

/// Writes a configuration file, which shows to a person what the service is told, and with which that service can be
/// started alone. A JSON string is a TOML string, and so are arrays of them.
fn write(file: &Path, name: &str, settings: &Settings) -> io::Result<()> {
    let lines = settings.iter().map(|(key, value)| format!("{key} = {value}\n"));
    let lines: String = lines.collect();
    let head = format!(
        "# Written by each `foldline dev`. `foldline {name} --config {}` starts this service alone.\n",
        file.display()
    );
    fs::write(file, head + &lines)
}

fn starter(program: PathBuf, name: &'static str, file: PathBuf, settings: &Settings) -> Starter {
    let variables = variables(name, settings);
    Box::new(move || {
        let mut command = Command::new(&program);
        command.arg(name).arg("--config").arg(&file);
        for variable in &variables {
            command.env_remove(variable);
        }
        command
    })
}

/// The environment variables of these settings. They are meant for `foldline dev`, and would win over its file.
fn variables(name: &str, settings: &Settings) -> Vec<std::ffi::OsString> {
    let program = Cli::command();
    let service = program.find_subcommand(name).expect("every service is a command");
    let is_set = |long: &str| settings.iter().any(|(key, _)| *key == long);
    service
        .get_arguments()
        .filter(|arg| arg.get_long().is_some_and(is_set))
        .filter_map(|arg| arg.get_env().map(ToOwned::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};
    use foldline_kafka::{KafkaSettings, SecuritySettings};
    use foldline_service::parse_layered;

    use super::{SERVICES, settings, write};
    use crate::cli::Cli;

    #[test]
    fn every_service_understands_what_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let kafka = KafkaSettings {
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            schema_registry: "http://127.0.0.1:2".to_owned(),
            topic_prefix: "a \"quoted\" one-".to_owned(),
            kafka_properties: vec![("security.protocol".to_owned(), "ssl".to_owned())],
            security: SecuritySettings::default(),
        };
        let addresses = SERVICES.map(|name| (name, "http://127.0.0.1:3".to_owned()));
        for name in SERVICES {
            let file = folder.path().join(name);
            write(
                &file,
                name,
                &settings(name, &addresses.to_vec(), folder.path(), &kafka),
            )
            .unwrap();
            let args = ["foldline", name, "--config", file.to_str().unwrap()];
            let matches = parse_layered(Cli::command(), args).unwrap();
            Cli::from_arg_matches(&matches).unwrap();
        }
    }
}
