use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::timeout;

use crate::cache::Programs;
use crate::classes::ClassData;
use crate::cluster::Cluster;
use crate::data::Home;
use crate::port::number_of;
use crate::process::{Launch, Process};
use crate::tools::Java;
use crate::{Port, Progress, StackError, StackOptions, Step, broker, registry};

/// How long Java may take to write down what it has made of the classes.
const WRITE_MAX: Duration = Duration::from_mins(2);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Apache Kafka: a node that is broker and controller.
    Broker,
    /// The Apicurio Registry.
    Registry,
}

impl Kind {
    /// What it is called towards the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broker => "Apache Kafka",
            Self::Registry => "Apicurio Registry",
        }
    }

    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Registry => "registry",
        }
    }

    fn wanted_port(self, options: &StackOptions) -> &Port {
        match self {
            Self::Broker => &options.kafka_port,
            Self::Registry => &options.registry_port,
        }
    }

    fn address(self, port: u16) -> String {
        match self {
            Self::Broker => format!("127.0.0.1:{port}"),
            Self::Registry => format!("http://127.0.0.1:{port}{}", registry::API),
        }
    }

    async fn answers(self, port: u16) -> bool {
        match self {
            Self::Broker => broker::answers(port).await,
            Self::Registry => registry::answers(port).await,
        }
    }
}

/// What a server needs to know before it can run.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) home: Home,
    pub(crate) java: Java,
    /// For the start that is being prepared.
    pub(crate) classes: ClassData,
    pub(crate) port: Port,
    pub(crate) options: StackOptions,
    /// Which of the nodes it is, if it is one of several.
    pub(crate) node: usize,
    /// Those, if it does not run alone.
    pub(crate) cluster: Option<Cluster>,
}

/// The broker or the registry. It keeps its port and its data from one [`start`](Self::start) to the next,
/// and is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    // Before `site`, because fields are dropped in this order: the process goes before the lock on its data.
    process: Option<Process>,
    site: Site,
    address: String,
}

impl Server {
    /// Finds Java, opens the data folder and chooses the port; nothing runs yet.
    pub async fn open(
        kind: Kind,
        options: &StackOptions,
        progress: &dyn Progress,
    ) -> Result<Self, StackError> {
        Self::open_in(kind, &options.data.join(kind.folder()), options, progress).await
    }

    /// As [`open`](Self::open), a node of this cluster.
    pub(crate) async fn open_node(
        node: usize,
        cluster: &Cluster,
        options: &StackOptions,
        progress: &dyn Progress,
    ) -> Result<Self, StackError> {
        let mut options = options.clone();
        let mut folder = Kind::Broker.folder().to_owned();
        if let Some(own) = node.checked_sub(1).map(|more| options.more_brokers[more].clone()) {
            options.kafka_port = own.port;
            options.broker_config.extend(own.config);
            folder = format!("{folder}-{}", node + 1);
        }
        let folder = options.data.join(folder);
        let mut server = Self::open_in(Kind::Broker, &folder, &options, progress).await?;
        server.site.node = node;
        server.site.cluster = Some(cluster.clone());
        Ok(server)
    }

    pub(crate) async fn open_in(
        kind: Kind,
        folder: &Path,
        options: &StackOptions,
        progress: &dyn Progress,
    ) -> Result<Self, StackError> {
        let java = options.tools.java().await?;
        let home = Home::open(folder)?;
        home.stop_leftover(progress).await;
        let wanted = kind.wanted_port(options);
        let number = number_of(&wanted.reserve(kind.name())?)?;
        let site = Site {
            home,
            java,
            classes: ClassData::None,
            port: wanted.resolved(number),
            options: options.clone(),
            node: 0,
            cluster: None,
        };
        Ok(Self {
            kind,
            process: None,
            site,
            address: kind.address(number),
        })
    }

    /// Starts it, and returns when it serves. Does nothing if it runs. Fetches the programs if they are not
    /// in the cache.
    pub async fn start(&mut self, progress: &dyn Progress) -> Result<(), StackError> {
        if self.pid().is_some() {
            return Ok(());
        }
        let options = &self.site.options;
        let programs = Programs::provide(&options.cache, &options.tools, progress).await?;
        let classes = ClassData::of(self.kind, &programs, &self.site.java);
        self.start_with(&programs, classes, progress).await
    }

    /// As [`start`](Self::start), of programs that are there.
    pub(crate) async fn start_with(
        &mut self,
        programs: &Programs,
        classes: ClassData,
        progress: &dyn Progress,
    ) -> Result<(), StackError> {
        self.site.classes = classes;
        let started_at = Instant::now();
        let reserved = self.site.port.reserve(self.kind.name())?;
        let launch = match self.kind {
            Kind::Broker => broker::prepare(&self.site, programs, progress).await?,
            Kind::Registry => registry::prepare(&self.site, programs)?,
        };
        progress.step(&Step::Starting {
            name: self.kind.name(),
        });
        drop(reserved);
        self.launch(launch).await?;
        progress.step(&Step::Ready {
            name: self.kind.name(),
            address: self.address.clone(),
            after: started_at.elapsed(),
        });
        Ok(())
    }

    async fn launch(&mut self, launch: Launch) -> Result<(), StackError> {
        let process = self.process.insert(Process::spawn(launch)?);
        let (kind, port) = (self.kind, self.site.port.number());
        let ready = process
            .ready(self.site.options.start_max, || kind.answers(port))
            .await;
        if ready.is_err() {
            self.process = None;
        }
        ready
    }

    /// An orderly end: SIGTERM, and SIGKILL if that takes too long.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// As [`stop`](Self::stop), when it has something to write before its end.
    pub(crate) async fn stop_in_its_time(&mut self) {
        if let Some(process) = &self.process {
            process.signal(Signal::TERM);
            // If it takes longer, it is stopped as any other one.
            let _ = timeout(WRITE_MAX, process.wait()).await;
        }
        self.stop().await;
    }

    /// `kill -9`; returns when it is gone.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Holds it with SIGSTOP: its connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.process
            .iter()
            .for_each(|process| process.signal(Signal::STOP));
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process
            .iter()
            .for_each(|process| process.signal(Signal::CONT));
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process
            .as_ref()
            .filter(|process| process.status().is_none())
            .map(Process::pid)
    }

    /// Waits until it ends by itself, which it should not; for ever if it was not started.
    pub async fn ended(&self) {
        match &self.process {
            Some(process) => drop(process.wait().await),
            None => std::future::pending().await,
        }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients connect: `127.0.0.1:9092`, or `http://127.0.0.1:8085/apis/ccompat/v7`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The folder of its data, its configuration and its logs.
    pub fn folder(&self) -> &Path {
        self.site.home.path()
    }
}
