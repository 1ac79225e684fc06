use futures_util::future::{select_all, try_join_all};

use crate::cache::Programs;
use crate::cluster::Cluster;
use crate::{Kind, Progress, Server, StackError, StackOptions, classes};

/// Kafka and the registry together. Dropping it kills all.
#[derive(Debug)]
pub struct Stack {
    // In the order in which they are to go: the registry first.
    registry: Server,
    /// At least one.
    brokers: Vec<Server>,
    bootstrap_servers: String,
}

impl Stack {
    /// Fetches what is missing, starts all, and returns when all answer.
    pub async fn start(options: StackOptions, progress: &dyn Progress) -> Result<Self, StackError> {
        // Everything that can be refused at once is, before 150 MB are fetched.
        let brokers = open_brokers(&options, progress).await?;
        let addresses: Vec<&str> = brokers.iter().map(Server::address).collect();
        let mut stack = Self {
            bootstrap_servers: addresses.join(","),
            brokers,
            registry: Server::open(Kind::Registry, &options, progress).await?,
        };
        // Here, because those that start together would fetch twice.
        let programs = Programs::provide(&options.cache, &options.tools, progress).await?;
        classes::make_missing(&options, &programs, progress).await?;
        // Together, because no node answers before half of them are there.
        let brokers = stack.brokers.iter_mut().map(|broker| broker.start(progress));
        tokio::try_join!(try_join_all(brokers), stack.registry.start(progress))?;
        Ok(stack)
    }

    /// Stops the registry, then Kafka, and returns when all are gone.
    pub async fn stop(mut self) {
        self.registry.stop().await;
        for broker in &mut self.brokers {
            broker.stop().await;
        }
    }

    /// Waits until one of them ends by itself, and says which one: nothing works from then on.
    pub async fn ended(&self) -> Kind {
        let brokers = self.brokers.iter().map(|broker| Box::pin(broker.ended()));
        tokio::select! {
            _ = select_all(brokers) => Kind::Broker,
            () = self.registry.ended() => Kind::Registry,
        }
    }

    /// Where Kafka clients connect, `127.0.0.1:9092`; several with commas between them.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Where registry clients connect, `http://127.0.0.1:8085/apis/ccompat/v7`.
    pub fn registry_url(&self) -> &str {
        self.registry.address()
    }

    /// The broker, the first of them if there are several, to look at or to pause.
    pub fn broker(&self) -> &Server {
        &self.brokers[0]
    }

    /// The broker, the first of them if there are several, to stop, kill or start.
    pub fn broker_mut(&mut self) -> &mut Server {
        &mut self.brokers[0]
    }

    /// Every broker: the one at index 0 has the node id 1, and so on.
    pub fn brokers(&self) -> &[Server] {
        &self.brokers
    }

    /// Every broker, to stop, kill or start.
    pub fn brokers_mut(&mut self) -> &mut [Server] {
        &mut self.brokers
    }

    /// The registry, to look at or to pause.
    pub fn registry(&self) -> &Server {
        &self.registry
    }

    /// The registry, to stop, kill or start.
    pub fn registry_mut(&mut self) -> &mut Server {
        &mut self.registry
    }
}

async fn open_brokers(options: &StackOptions, progress: &dyn Progress) -> Result<Vec<Server>, StackError> {
    let nodes = 1 + options.more_brokers.len();
    if nodes == 1 {
        return Ok(vec![Server::open(Kind::Broker, options, progress).await?]);
    }
    let cluster = Cluster::of(nodes)?;
    let mut brokers = Vec::new();
    for node in 0..nodes {
        brokers.push(Server::open_node(node, &cluster, options, progress).await?);
    }
    Ok(brokers)
}
