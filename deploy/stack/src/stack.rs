use crate::cache::Programs;
use crate::{Kind, Progress, Server, StackError, StackOptions};

/// The broker and the registry together. Dropping it kills both.
#[derive(Debug)]
pub struct Stack {
    // In the order in which they are to go: the registry first.
    registry: Server,
    broker: Server,
}

impl Stack {
    /// Fetches what is missing, starts both, and returns when both answer.
    pub async fn start(options: StackOptions, progress: &dyn Progress) -> Result<Self, StackError> {
        // Everything that can be refused at once is, before 150 MB are fetched.
        let mut stack = Self {
            broker: Server::open(Kind::Broker, &options, progress).await?,
            registry: Server::open(Kind::Registry, &options, progress).await?,
        };
        // Here, because the two that start together would fetch twice.
        Programs::provide(&options.cache, &options.tools, progress).await?;
        tokio::try_join!(stack.broker.start(progress), stack.registry.start(progress))?;
        Ok(stack)
    }

    /// Stops the registry, then the broker, and returns when both are gone.
    pub async fn stop(mut self) {
        self.registry.stop().await;
        self.broker.stop().await;
    }

    /// Waits until one of them ends by itself, and says which one: nothing works from then on.
    pub async fn ended(&self) -> Kind {
        tokio::select! {
            () = self.broker.ended() => Kind::Broker,
            () = self.registry.ended() => Kind::Registry,
        }
    }

    /// Where Kafka clients connect, `127.0.0.1:9092`.
    pub fn bootstrap_servers(&self) -> &str {
        self.broker.address()
    }

    /// Where registry clients connect, `http://127.0.0.1:8085/apis/ccompat/v7`.
    pub fn registry_url(&self) -> &str {
        self.registry.address()
    }

    /// The broker, to look at or to pause.
    pub fn broker(&self) -> &Server {
        &self.broker
    }

    /// The broker, to stop, kill or start.
    pub fn broker_mut(&mut self) -> &mut Server {
        &mut self.broker
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
