//! What is measured: a broker, a registry and the three services, each a process, all of it gone at the end.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, SecuritySettings, TopicPlan, apply_topics, register_schemas};
use foldline_stack::{Child, Port, Stack, StackOptions};
use tempfile::TempDir;

use super::http::{Connection, get};
use super::machine::{compiler_seconds, cpu_seconds, resident_mb};
use super::progress::Doing;

const READY_MAX: Duration = Duration::from_secs(60);

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    CommandHandler,
    Projector,
    QueryApi,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::CommandHandler, Self::Projector, Self::QueryApi];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CommandHandler => "command-handler",
            Self::Projector => "projector",
            Self::QueryApi => "query-api",
        }
    }
}

/// By process, what it has used.
pub(crate) type Cpu = BTreeMap<&'static str, f64>;

/// By process, MB in memory now and at most.
pub(crate) type Memory = BTreeMap<&'static str, (u64, u64)>;

/// A running system. Dropping it kills what runs.
pub(crate) struct System {
    pub(crate) kafka: KafkaSettings,
    // Fields are dropped in this order: who reads before what is read, and the folder last.
    services: Vec<Child>,
    stack: Stack,
    folder: TempDir,
}

impl System {
    /// Starts everything on free ports and in a temporary folder, and returns when all is ready.
    pub(crate) async fn start(cache: &Path, domains: &Domains, doing: &Doing) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("foldline-bench-").tempdir();
        let folder = folder.context("cannot make a temporary folder")?;
        let options = StackOptions::new(cache, folder.path().join("stack"));
        let stack = Stack::start(options, doing).await?;
        let kafka = KafkaSettings {
            bootstrap_servers: stack.bootstrap_servers().to_owned(),
            schema_registry: stack.registry_url().to_owned(),
            topic_prefix: String::new(),
            kafka_properties: Vec::new(),
            security: SecuritySettings::default(),
        };
        doing.next("making topics and registering schemas");
        apply_topics(&kafka, domains, &TopicPlan::default()).await?;
        register_schemas(&kafka, domains).await?;
        let mut services = Vec::new();
        for service in Service::ALL {
            let home = folder.path().join(service.name());
            services.push(Child::open(service.name(), &home, &Port::any(), doing).await?);
        }
        let mut system = Self {
            kafka,
            services,
            stack,
            folder,
        };
        for service in Service::ALL {
            doing.next(&format!("starting {}", service.name()));
            system.launch(service)?;
            system.wait_until_ready(service).await?;
        }
        Ok(system)
    }

    /// Starts a service, with everything at its default that is not about places.
    pub(crate) fn launch(&mut self, service: Service) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let mut command = Command::new(program);
        command.arg(service.name()).args(self.arguments(service));
        // Figures are those of the defaults, whatever the user's environment says.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FOLDLINE_") {
                command.env_remove(name);
            }
        }
        Ok(self.child_mut(service).start(command)?)
    }

    fn arguments(&self, service: Service) -> Vec<String> {
        let url = |service| format!("http://{}", self.address(service));
        let path = |path: PathBuf| path.display().to_string();
        let mut arguments = vec!["--listen".to_owned(), self.address(service).to_string()];
        let mut add = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        add("log-format", "text".to_owned());
        if service != Service::Projector {
            add("auth", "none".to_owned());
        }
        add("bootstrap-servers", self.kafka.bootstrap_servers.clone());
        if service != Service::QueryApi {
            add("schema-registry", self.kafka.schema_registry.clone());
        }
        // Each names a file in its folder, by which a next run finds what is left over.
        match service {
            Service::CommandHandler => {
                add("state-dir", path(self.state_folder()));
                add("query-api", url(Service::QueryApi));
            }
            Service::Projector => add("data-dir", path(self.home(service).join("views"))),
            Service::QueryApi => {
                add(
                    "views",
                    path(self.home(Service::Projector).join("views/views.db")),
                );
                add("command-api", url(Service::CommandHandler));
            }
        }
        arguments
    }

    pub(crate) async fn wait_until_ready(&self, service: Service) -> anyhow::Result<()> {
        let address = self.address(service);
        let answers = || async move { is_ready(address).await.unwrap_or(false) };
        Ok(self.child(service).ready(READY_MAX, answers).await?)
    }

    /// Stops a service, and returns when it is gone.
    pub(crate) async fn stop(&mut self, service: Service) {
        self.child_mut(service).stop().await;
    }

    /// Stops everything.
    pub(crate) async fn end(mut self) {
        for service in Service::ALL.into_iter().rev() {
            self.stop(service).await;
        }
        self.stack.stop().await;
    }

    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.child(service).port()).into()
    }

    /// A file that is removed at the end.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What each process has used so far, this one included.
    pub(crate) fn cpu(&self) -> Cpu {
        let used = |(name, pid)| cpu_seconds(pid).map(|seconds| (name, seconds));
        let own = ("this program", std::process::id());
        self.processes().chain([own]).filter_map(used).collect()
    }

    /// CPU seconds that Kafka's JVM has spent on compiling; `None` where nobody can tell.
    pub(crate) fn compiling(&self) -> Option<f64> {
        compiler_seconds(self.stack.broker().pid()?)
    }

    /// What each process has in memory.
    pub(crate) fn memory(&self) -> Memory {
        let used = |(name, pid)| resident_mb(pid).map(|mb| (name, mb));
        self.processes().filter_map(used).collect()
    }

    fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let pid_of = |service: Service| {
            // The child's own note of it, which is gone when it is.
            let noted = std::fs::read_to_string(self.home(service).join("pid")).ok()?;
            Some((service.name(), noted.trim().parse().ok()?))
        };
        let broker = self.stack.broker().pid().map(|pid| ("Kafka", pid));
        Service::ALL.into_iter().filter_map(pid_of).chain(broker)
    }

    /// Where the command handler has what it could restore from Kafka.
    pub(crate) fn state_folder(&self) -> PathBuf {
        self.home(Service::CommandHandler).join("state")
    }

    fn home(&self, service: Service) -> PathBuf {
        self.child(service).folder().to_owned()
    }

    fn child(&self, service: Service) -> &Child {
        &self.services[service as usize]
    }

    fn child_mut(&mut self, service: Service) -> &mut Child {
        &mut self.services[service as usize]
    }
}

async fn is_ready(address: SocketAddr) -> anyhow::Result<bool> {
    let answer = Connection::open(address).await?.ask(get("/readyz")).await?;
    Ok(answer.status.is_success())
}

/// What was used between two looks, for 100,000 of what was done. A process that was not there before has begun at 0.
pub(crate) fn cpu_per_100k(before: &Cpu, after: &Cpu, done: usize) -> Cpu {
    // Exact up to 2^53.
    #[allow(clippy::cast_precision_loss)]
    let share = 100_000.0 / done.max(1) as f64;
    let used = after.iter().map(|(name, seconds)| {
        let before = before.get(name).copied().unwrap_or_default();
        (*name, (seconds - before).max(0.0) * share)
    });
    used.collect()
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Service, cpu_per_100k};

    #[test]
    fn cpu_time_is_scaled_to_a_hundred_thousand() {
        let before = Cpu::from([("Kafka", 2.0)]);
        let after = Cpu::from([("Kafka", 3.0), ("projector", 0.5)]);
        let used = cpu_per_100k(&before, &after, 50_000);
        assert_eq!(used, Cpu::from([("Kafka", 2.0), ("projector", 1.0)]));
    }

    #[test]
    fn services_are_found_by_their_place() {
        for (place, service) in Service::ALL.into_iter().enumerate() {
            assert_eq!(service as usize, place);
        }
    }
}
