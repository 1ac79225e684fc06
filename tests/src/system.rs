//! The three services as processes, on topics of their own.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use foldline_kafka::KafkaSettings;
use foldline_stack::{Child, Port, Quiet};

use crate::bar::MAKE;
use crate::cli::Cli;
use crate::client::Client;
use crate::killed_at::KILLED_AT;
use crate::{domains, domains_with_bar, stack};

const READY_MAX: Duration = Duration::from_secs(180);
/// What a test says that it waits is waited: a busy machine may need longer than the usual 10 s to show an event.
const READ_WAIT_MAX: &str = "60s";
/// Of the projector: full batches, which are folded one behind the other, are rare with the usual 1,500 events.
const BATCH_MAX: u32 = 100;

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Commands in, events out.
    CommandHandler,
    /// Events in, views out.
    Projector,
    /// Views out.
    QueryApi,
}

impl Service {
    /// All of them, writers first.
    pub const ALL: [Self; 3] = [Self::CommandHandler, Self::Projector, Self::QueryApi];

    /// As `foldline` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommandHandler => "command-handler",
            Self::Projector => "projector",
            Self::QueryApi => "query-api",
        }
    }

    fn index(self) -> usize {
        Self::ALL
            .iter()
            .position(|service| *service == self)
            .expect("it is one of all")
    }
}

/// A running system. Dropping it kills what runs.
pub struct System {
    /// Where Kafka is, and which topics are this system's.
    pub kafka: KafkaSettings,
    folder: PathBuf,
    /// Where the services' own data are.
    data: PathBuf,
    program: PathBuf,
    services: Vec<Child>,
    /// The make of the bar that services have from their next start on; none if they have no bar.
    pub make: Option<&'static str>,
    /// As whom services run from their next start on, if not as whoever runs the tests.
    pub user: Option<u32>,
    /// What services log from their next start on, if not what they log by themselves.
    pub log_level: Option<&'static str>,
    /// How many events the projector folds at once from its next start on, at most.
    pub batch_max: u32,
    /// Where a service kills itself after its next start: see [`KILLED_AT`].
    pub killed_at: Option<(Service, String)>,
    handler: HandlerOptions,
    /// How services know their callers.
    auth: Vec<String>,
    /// How Kafka and the registry know each of those that ask them, in the order of [`Service::ALL`].
    identities: [Vec<String>; 3],
}

/// What of the command handler a test may choose.
#[derive(Debug, Clone, Default)]
pub struct HandlerOptions {
    /// Where it finds Kafka, if not where the others do.
    pub bootstrap_servers: Option<String>,
    /// More arguments.
    pub arguments: Vec<String>,
}

impl System {
    /// Starts everything, with the bar in this make.
    pub async fn start_bar(test: &str, program: &str, make: &'static str) -> Self {
        let kafka = stack::kafka(test, &domains_with_bar()).await;
        let mut system = Self::open_on(kafka, test, program).await;
        system.make = Some(make);
        Self::started(system).await
    }

    /// Runs commands on its Kafka and its views.
    pub fn cli(&self) -> Cli {
        Cli {
            kafka: self.kafka.clone(),
            views: self.views_folder(),
            program: self.program.display().to_string(),
        }
    }

    /// Waits until a service ends by itself.
    pub async fn ended(&self, service: Service) -> ExitStatus {
        self.services[service.index()].ended().await
    }

    /// How a service has ended, if it has ended by itself; `None` if it runs, or was not started.
    pub async fn has_ended(&self, service: Service) -> Option<ExitStatus> {
        tokio::time::timeout(Duration::ZERO, self.ended(service))
            .await
            .ok()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts everything, and returns when all are ready. `program` is `foldline-under-test`.
    pub async fn start(test: &str, program: &str) -> Self {
        let system = Self::open(test, program).await;
        Self::started(system).await
    }

    /// As [`start`](Self::start), on a broker of the test's own.
    pub async fn start_on(kafka: KafkaSettings, test: &str, program: &str) -> Self {
        let system = Self::open_on(kafka, test, program).await;
        Self::started(system).await
    }

    /// As [`start_on`](Self::start_on), with a command handler of the test's choice.
    pub async fn start_with(
        kafka: KafkaSettings,
        test: &str,
        program: &str,
        handler: HandlerOptions,
    ) -> Self {
        let system = Self::open_on(kafka, test, program).await;
        Self::started(Self { handler, ..system }).await
    }

    /// Starts everything, with services that know their callers so.
    pub async fn start_guarded(test: &str, program: &str, auth: Vec<String>) -> Self {
        let system = Self::open(test, program).await;
        Self::started(Self { auth, ..system }).await
    }

    /// As [`start_guarded`](Self::start_guarded), on a broker of the test's own to which services say who they are, and
    /// with all that they can log.
    pub async fn start_secured(
        kafka: KafkaSettings,
        test: &str,
        program: &str,
        auth: Vec<String>,
        identity: impl Fn(Service) -> Vec<String>,
    ) -> Self {
        let system = Self::open_on(kafka, test, program).await;
        Self::started(Self {
            auth,
            identities: Service::ALL.map(identity),
            log_level: Some("trace"),
            ..system
        })
        .await
    }

    /// Starts everything as this user, who may write to a folder of the system's own and nowhere else. The program must be
    /// where that user can run it. For root only.
    pub async fn start_as(user: u32, folder: PathBuf, test: &str, program: &str) -> Self {
        let mut system = Self::open(test, program).await;
        std::os::unix::fs::chown(&folder, Some(user), Some(user)).expect("root may give a folder away");
        (system.user, system.data) = (Some(user), folder);
        Self::started(system).await
    }

    /// Starts everything with services that keep their own data in this folder.
    pub async fn start_in(data: PathBuf, test: &str, program: &str) -> Self {
        let system = Self::open(test, program).await;
        Self::started(Self { data, ..system }).await
    }

    async fn started(mut system: Self) -> Self {
        for service in Service::ALL {
            system.launch(service);
        }
        for service in Service::ALL {
            system.wait_until_ready(service).await;
        }
        system
    }

    async fn open(test: &str, program: &str) -> Self {
        let kafka = stack::kafka(test, &domains()).await;
        Self::open_on(kafka, test, program).await
    }

    async fn open_on(kafka: KafkaSettings, test: &str, program: &str) -> Self {
        let folder = stack::folder().join(stack::unique_name(test));
        let mut services = Vec::new();
        for service in Service::ALL {
            let home = folder.join(service.name());
            let child = Child::open(service.name(), &home, &Port::any(), &Quiet).await;
            services.push(child.expect("a folder and a port for a service"));
        }
        Self {
            kafka,
            data: folder.clone(),
            folder,
            program: program.into(),
            services,
            make: None,
            batch_max: BATCH_MAX,
            killed_at: None,
            handler: HandlerOptions::default(),
            auth: vec!["--auth".to_owned(), "none".to_owned()],
            identities: Default::default(),
            log_level: None,
            user: None,
        }
    }

    /// Starts a service that is not running, and returns when it is ready.
    pub async fn restart(&mut self, service: Service) {
        self.launch(service);
        self.wait_until_ready(service).await;
    }

    /// Starts a service that is not running.
    pub fn launch(&mut self, service: Service) {
        let mut command = Command::new(&self.program);
        command.arg(service.name()).args(self.arguments(service));
        command.envs(self.make.map(|make| (MAKE, make)));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let killed_at = self.killed_at.as_ref().filter(|(killed, _)| *killed == service);
        command.envs(killed_at.map(|(_, point)| (KILLED_AT, point)));
        self.services[service.index()]
            .start(command)
            .expect("a service starts");
    }

    fn arguments(&self, service: Service) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut arguments = vec!["--listen".to_owned(), format!("127.0.0.1:{}", self.port(service))];
        let mut add = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        add("log-format", "text".to_owned());
        let chosen = match service {
            Service::CommandHandler => self.handler.bootstrap_servers.clone(),
            _ => None,
        };
        add("topic-prefix", self.kafka.topic_prefix.clone());
        if let Some(filter) = self.log_level {
            add("log-level", filter.to_owned());
        }
        let usual = || self.kafka.bootstrap_servers.clone();
        add("bootstrap-servers", chosen.unwrap_or_else(usual));
        if service != Service::QueryApi {
            add("schema-registry", self.kafka.schema_registry.clone());
        }
        match service {
            Service::CommandHandler => {
                add("state-dir", path(&self.state_folder()));
                add("query-api", self.url(Service::QueryApi));
            }
            Service::Projector => {
                add("data-dir", path(&self.views_folder()));
                add("batch-max", self.batch_max.to_string());
            }
            Service::QueryApi => {
                add("views", path(&self.views_folder().join("views.db")));
                add("command-api", self.url(Service::CommandHandler));
                add("wait-max", READ_WAIT_MAX.to_owned());
            }
        }
        if service != Service::Projector {
            arguments.extend(self.auth.clone());
        }
        arguments.extend(self.identities[service.index()].clone());
        if service == Service::CommandHandler {
            arguments.extend(self.handler.arguments.clone());
        }
        arguments
    }

    /// Returns when a service says that it is ready.
    pub async fn wait_until_ready(&self, service: Service) {
        let client = Client::new(&self.url(service));
        let child = &self.services[service.index()];
        let ready = child.ready(READY_MAX, || client.is_ready()).await;
        if let Err(error) = ready {
            panic!(
                "{} is not ready: {error}\n{}",
                service.name(),
                self.log_of(service)
            );
        }
    }

    /// SIGTERM; returns when it is gone.
    pub async fn stop(&mut self, service: Service) {
        self.services[service.index()].stop().await;
    }

    /// SIGKILL; returns when it is gone.
    pub async fn kill(&mut self, service: Service) {
        self.services[service.index()].kill().await;
    }

    /// SIGSTOP.
    pub fn pause(&self, service: Service) {
        self.services[service.index()].pause();
    }

    /// SIGCONT.
    pub fn resume(&self, service: Service) {
        self.services[service.index()].resume();
    }

    /// A client of the write API.
    pub fn write(&self) -> Client {
        Client::new(&self.url(Service::CommandHandler))
    }

    /// A client of the read API.
    pub fn read(&self) -> Client {
        Client::new(&self.url(Service::QueryApi))
    }

    /// Where a service is.
    pub fn url(&self, service: Service) -> String {
        format!("http://127.0.0.1:{}", self.port(service))
    }

    /// What the command handler keeps and may lose.
    pub fn state_folder(&self) -> PathBuf {
        self.data.join("state")
    }

    /// What the projector keeps and may lose.
    pub fn views_folder(&self) -> PathBuf {
        self.data.join("views")
    }

    /// What a service has logged since it was last started.
    pub fn log_of(&self, service: Service) -> String {
        std::fs::read_to_string(self.services[service.index()].log()).unwrap_or_default()
    }

    /// The process that a service runs in.
    pub fn pid(&self, service: Service) -> u32 {
        self.services[service.index()].pid().expect("it runs")
    }

    fn port(&self, service: Service) -> u16 {
        self.services[service.index()].port()
    }
}
