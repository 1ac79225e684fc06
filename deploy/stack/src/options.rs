use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::{KAFKA_VERSION, Port, REGISTRY_VERSION, Tools};

/// What a [`Stack`](crate::Stack) is to be.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Where the programs are kept, for every stack of this machine: `.foldline/cache` as a rule.
    pub cache: PathBuf,
    /// Where the data are kept. A second start on the same folder goes on with the same topics and schema
    /// ids.
    pub data: PathBuf,
    /// Where the broker listens.
    pub kafka_port: Port,
    /// Where the registry listens.
    pub registry_port: Port,
    /// The broker's heap. The registry has 256 MB.
    pub heap_mb: u32,
    /// Further nodes of Kafka: all are brokers and controllers of one cluster, and every topic that asks for nothing else
    /// is replicated to all, and written to by more than half.
    pub more_brokers: Vec<BrokerOptions>,
    /// Lines for every broker's `server.properties`, stronger than ours. In values, `@port@` and `@controller_port@` are
    /// the ports that were found.
    pub broker_config: Vec<(String, String)>,
    /// More arguments for the broker's Java: `-Dname=value`, `-XX:TieredStopAtLevel=1`.
    pub broker_java: Vec<String>,
    /// How long each program may take until it answers.
    pub start_max: Duration,
    /// Where `java` and `mvn` are looked for.
    pub tools: Tools,
}

impl StackOptions {
    /// Any free ports, a heap of 512 MB, the tools of this process's environment.
    pub fn new(cache: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            data: data.into(),
            kafka_port: Port::any(),
            registry_port: Port::any(),
            heap_mb: 512,
            more_brokers: Vec::new(),
            broker_config: Vec::new(),
            broker_java: Vec::new(),
            start_max: Duration::from_secs(60),
            tools: Tools::from_env(),
        }
    }
}

/// What one more node of Kafka has for itself.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Where it listens.
    pub port: Port,
    /// Lines for its `server.properties`, stronger than those of all.
    pub config: Vec<(String, String)>,
}

/// Hears what the stack is doing, to show it to somebody. A closure over [`Step`] will do.
pub trait Progress: Send + Sync {
    /// Called when a step begins.
    fn step(&self, step: &Step);
}

impl<F: Fn(&Step) + Send + Sync> Progress for F {
    fn step(&self, step: &Step) {
        self(step);
    }
}

/// Shows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &Step) {}
}

/// What the stack is doing now; `Display` is a line for a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Another process fetches into the same cache; we wait for it.
    WaitingForFetch,
    /// The programs are not in the cache yet.
    Fetching,
    /// What Java makes of the programs' classes is being kept, for faster starts.
    Recording,
    /// A program of ours, left over from a run that was killed, is being stopped.
    StoppingLeftover {
        /// Its process id.
        pid: u32,
    },
    /// The data folder is new: the broker's storage is being formatted.
    Formatting,
    /// A program was started and does not answer yet.
    Starting {
        /// Which one.
        name: &'static str,
    },
    /// A program answers.
    Ready {
        /// Which one.
        name: &'static str,
        /// Where.
        address: String,
        /// How long it took.
        after: Duration,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForFetch => {
                f.write_str("waiting for another process that fetches or prepares the same programs")
            }
            Self::Fetching => write!(
                f,
                "fetching Apache Kafka {KAFKA_VERSION} and Apicurio Registry {REGISTRY_VERSION} (once, 150 MB)"
            ),
            Self::Recording => {
                f.write_str("recording what Java makes of both (once for each Java), for faster starts")
            }
            Self::StoppingLeftover { pid } => {
                write!(f, "stopping process {pid}, left over from an earlier run")
            }
            Self::Formatting => f.write_str("formatting the broker's storage"),
            Self::Starting { name } => write!(f, "starting {name}"),
            Self::Ready { name, address, after } => {
                write!(
                    f,
                    "{name} answers at {address} after {:.1} s",
                    after.as_secs_f32()
                )
            }
        }
    }
}
