//! `foldline dev`, which is what `cargo run` does: everything on this machine, for as long as it runs.
//!
//! - `options`: what can be chosen. `folders`: where things are kept.
//! - `services`: the three services as child processes. `kept`: such a process, started again when it dies.
//! - `console`: what is seen on the terminal meanwhile. `first_steps`: what is seen at the end.

mod console;
mod first_steps;
mod folders;
mod kept;
mod options;
mod services;

use std::sync::Arc;

use anyhow::Context;
use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, TopicPlan, apply_topics, register_schemas};
use foldline_service::Shutdown;
use foldline_stack::{Kind, Stack, StackOptions};

use self::console::Console;
use self::folders::Folders;
use self::services::Services;

pub(crate) use self::options::DevOptions;

/// Runs until a signal.
pub(crate) async fn run(options: DevOptions, domains: Domains) -> anyhow::Result<()> {
    let existing = options.existing_kafka()?;
    let shutdown = Shutdown::on_signals()?;
    let console = Arc::new(Console::new());
    let folders = Folders::open(&options)?;

    let starting = System::start(&options, existing, &folders, &domains, &console);
    let started = tokio::select! {
        started = starting => Some(started),
        // What was started so far is killed as it is dropped, which Kafka takes as it takes a crash.
        () = shutdown.wait() => None,
    };
    console.clear();
    let Some(started) = started else {
        console.line("stopped before everything was up");
        return Ok(());
    };
    let mut system = started?;
    print!("{}", first_steps::text(&system.addresses, &domains));
    let ended = tokio::select! {
        ended = system.keep(&console) => ended,
        () = shutdown.wait() => Ok(()),
    };
    system.stop(&console).await;
    let kept = if folders.is_ephemeral() {
        "nothing is kept".to_owned()
    } else {
        format!("the data stay in {}", folders.data().display())
    };
    console.line(&format!("stopped; {kept}"));
    ended
}

/// Where everything is.
pub(crate) struct Addresses {
    kafka: String,
    registry: String,
    command_handler: String,
    projector: String,
    query_api: String,
    data: String,
}

/// Everything that runs.
struct System {
    /// In front of the stack, because fields are dropped in this order.
    services: Services,
    /// `None` if Kafka is somebody else's.
    stack: Option<Stack>,
    addresses: Addresses,
}

impl System {
    /// Refuses first whatever can be refused, then starts one after the other.
    async fn start(
        options: &DevOptions,
        existing: Option<KafkaSettings>,
        folders: &Folders,
        domains: &Domains,
        console: &Arc<Console>,
    ) -> anyhow::Result<Self> {
        let mut services = Services::open(&options.ports, folders, console.as_ref()).await?;
        let (stack, kafka) = match existing {
            Some(kafka) => (None, kafka),
            None => {
                let stack = start_stack(options, folders, console.as_ref()).await?;
                let kafka = options.kafka(stack.bootstrap_servers(), stack.registry_url())?;
                (Some(stack), kafka)
            }
        };
        prepare(&kafka, domains, console).await?;
        services.start(&kafka, console).await?;
        let addresses = Addresses {
            kafka: kafka.bootstrap_servers,
            registry: kafka.schema_registry,
            command_handler: services.address("command-handler"),
            projector: services.address("projector"),
            query_api: services.address("query-api"),
            data: folders.data().display().to_string(),
        };
        Ok(Self {
            services,
            stack,
            addresses,
        })
    }

    /// Waits for Kafka or the registry to end, which they should not, and starts them again. Ends if that fails.
    async fn keep(&mut self, console: &Console) -> anyhow::Result<()> {
        let Some(stack) = &mut self.stack else {
            return std::future::pending().await;
        };
        loop {
            let kind = stack.ended().await;
            console.line(&format!("{} ended; starting it again", kind.name()));
            let server = match kind {
                Kind::Broker => stack.broker_mut(),
                Kind::Registry => stack.registry_mut(),
            };
            server.start(console).await?;
        }
    }

    /// Readers before writers, and what everything stands on last.
    async fn stop(self, console: &Console) {
        self.services.stop(console).await;
        if let Some(stack) = self.stack {
            console.begin("stopping Apicurio Registry and Apache Kafka");
            stack.stop().await;
            console.clear();
        }
    }
}

async fn start_stack(options: &DevOptions, folders: &Folders, console: &Console) -> anyhow::Result<Stack> {
    let mut stack = StackOptions::new(folders.cache(), folders.data());
    stack.kafka_port = options.ports.of_kafka();
    stack.registry_port = options.ports.of_registry();
    Ok(Stack::start(stack, console).await?)
}

async fn prepare(kafka: &KafkaSettings, domains: &Domains, console: &Console) -> anyhow::Result<()> {
    console.begin("making topics");
    let made = apply_topics(kafka, domains, &TopicPlan::default())
        .await
        .context("topics")?;
    console.end("making topics", &format!("topics: {} made", made.len()));
    console.begin("registering schemas");
    let registered = register_schemas(kafka, domains).await.context("schemas")?;
    let new = registered.iter().filter(|schema| schema.new).count();
    console.end(
        "registering schemas",
        &format!("schemas: {} registered, {new} of them new", registered.len()),
    );
    Ok(())
}
