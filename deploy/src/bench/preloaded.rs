//! A command topic that is full when the command handler starts, and the views of what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use foldline_core::{AggregateId, AggregateType, CommandMeta, Domains, Timestamp, partition_of};
use foldline_kafka::{KafkaSettings, Registry, subjects, wire_format};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::figures::Figures;
use super::http::metric;
use super::restaurant::{COMMANDS_PER_ORDER, Restaurant};
use super::system::{Cpu, Service, cpu_per_100k};
use super::{Bench, floor};

/// Orders that are placed beside each other: their commands lie interleaved.
const IN_FLIGHT: usize = 1_000;
const SENT_MAX: Duration = Duration::from_secs(60);
const DONE_MAX: Duration = Duration::from_secs(180);
/// Seldom enough to cost next to nothing: each look is an answer of the service that is measured, and at a hundred a second they
/// had a tenth of a projector's CPU.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The command topic of an aggregate type, to write to as a producer of its own would.
pub(crate) struct Topic {
    kafka: KafkaSettings,
    aggregate: Arc<dyn AggregateType>,
    schema_id: u32,
    partitions: i32,
}

/// Commands on their way.
pub(crate) struct Sending<'a> {
    topic: &'a Topic,
    name: String,
    producer: ThreadedProducer<DefaultProducerContext>,
}

/// Writes orders.
pub(crate) struct Loader {
    topic: Topic,
    restaurant: Arc<Restaurant>,
}

impl Topic {
    pub(crate) async fn of(
        bench: &Bench,
        domains: &Domains,
        aggregate: &Arc<dyn AggregateType>,
    ) -> anyhow::Result<Self> {
        let kafka = bench.system.kafka.clone();
        let topic = kafka.topics().commands(aggregate.info());
        let all = subjects(&kafka.topics(), domains);
        let subject = all
            .iter()
            .find(|subject| subject.name == format!("{topic}-value"));
        let subject = subject.with_context(|| format!("{topic} has no subject"))?;
        let schema_id = Registry::new(&kafka)?.id_of(subject).await?;
        let cluster = foldline_kafka::check_topics(&kafka, domains).await?;
        let partitions = cluster.partitions.get(&aggregate.info().qualified_name());
        Ok(Self {
            partitions: *partitions.with_context(|| format!("{topic} is no topic"))?,
            kafka,
            aggregate: Arc::clone(aggregate),
            schema_id,
        })
    }

    pub(crate) fn aggregate(&self) -> &dyn AggregateType {
        self.aggregate.as_ref()
    }

    pub(crate) fn send(&self) -> anyhow::Result<Sending<'_>> {
        Ok(Sending {
            topic: self,
            name: self.kafka.topics().commands(self.aggregate.info()),
            producer: floor::throughput(&self.kafka).create()?,
        })
    }

    fn record(&self, meta: &CommandMeta, command: &Value) -> anyhow::Result<Vec<u8>> {
        let (_, command) = self.aggregate.command_from_json(command, None)?;
        let mut datum = Vec::with_capacity(256);
        self.aggregate
            .encode_command(&mut meta.clone(), &command, &mut datum)?;
        Ok(wire_format(self.schema_id, &datum))
    }
}

impl Sending<'_> {
    pub(crate) fn command(&mut self, meta: &CommandMeta, command: &Value) -> anyhow::Result<()> {
        let record = self.topic.record(meta, command)?;
        let id = &meta.aggregate_id;
        let record = BaseRecord::to(&self.name)
            .partition(partition_of(id, self.topic.partitions))
            .key(id.as_str())
            .payload(record.as_slice());
        floor::send(&self.producer, record)
    }

    /// Returns when Kafka has them all. Blocks.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        Ok(self.producer.flush(SENT_MAX)?)
    }
}

impl Loader {
    pub(crate) async fn new(bench: &Bench, domains: &Domains) -> anyhow::Result<Self> {
        Ok(Self {
            topic: Topic::of(bench, domains, &bench.orders).await?,
            restaurant: Arc::clone(&bench.restaurant),
        })
    }

    /// The mean size of a command's record.
    pub(crate) fn record_bytes(&self) -> anyhow::Result<usize> {
        let meta = a_command_on(&AggregateId::from(Uuid::now_v7()));
        let records = self
            .restaurant
            .order(0)
            .map(|command| self.topic.record(&meta, &command));
        let records: Vec<Vec<u8>> = records.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(records.iter().map(Vec::len).sum::<usize>() / records.len())
    }

    /// Writes so many orders. Blocks.
    fn load(&self, orders: usize) -> anyhow::Result<()> {
        let mut sending = self.topic.send()?;
        for first in (0..orders).step_by(IN_FLIGHT) {
            let numbers = first..orders.min(first + IN_FLIGHT);
            let flight: Vec<_> = numbers
                .map(|number| (AggregateId::from(Uuid::now_v7()), self.restaurant.order(number)))
                .collect();
            for step in 0..COMMANDS_PER_ORDER {
                for (id, commands) in &flight {
                    sending.command(&a_command_on(id), &commands[step])?;
                }
            }
        }
        sending.end()
    }
}

/// A new command, issued now.
pub(crate) fn a_command_on(id: &AggregateId) -> CommandMeta {
    CommandMeta::new(Uuid::now_v7(), id.clone(), now())
}

/// Now, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One round of commands. The command handler and the projector have stopped when it begins; the projector has not
/// started when it ends.
pub(crate) async fn commands(bench: &mut Bench, loader: &Arc<Loader>) -> anyhow::Result<(Figures, Cpu)> {
    let orders = bench.plan.commands / COMMANDS_PER_ORDER;
    let load = Arc::clone(loader);
    bench.doing.next("commands from a preloaded topic: loading it");
    spawn_blocking(move || load.load(orders)).await??;
    bench.doing.next("commands from a preloaded topic: deciding");
    bench.system.launch(Service::CommandHandler)?;
    let counted = Counted {
        service: Service::CommandHandler,
        metric: "foldline_commands_total",
        kind: ("aggregate", loader.topic.aggregate.info().qualified_name()),
        outcome: "accepted",
    };
    counted.watch(bench, bench.plan.commands).await
}

/// One round of views: the projector starts on the events of the last round of commands.
pub(crate) async fn views(bench: &mut Bench) -> anyhow::Result<(Figures, Cpu)> {
    bench.doing.next("events into the views: folding");
    bench.system.launch(Service::Projector)?;
    let counted = Counted {
        service: Service::Projector,
        metric: "foldline_projection_events_total",
        kind: ("projection", "orders".to_owned()),
        outcome: "applied",
    };
    // Each command of the workload makes one event.
    counted.watch(bench, bench.plan.commands).await
}

/// A service's own count of what it has done since it started.
pub(crate) struct Counted {
    pub(crate) service: Service,
    pub(crate) metric: &'static str,
    pub(crate) kind: (&'static str, String),
    /// How each must have ended.
    pub(crate) outcome: &'static str,
}

impl Counted {
    /// From the first that was seen to be done to the last of so many.
    pub(crate) async fn watch(&self, bench: &Bench, wanted: usize) -> anyhow::Result<(Figures, Cpu)> {
        let begun = Instant::now();
        let mut first = None;
        loop {
            let done = self.done(bench, &[]).await.unwrap_or_default();
            if done > 0 && first.is_none() {
                first = Some((done, Instant::now(), bench.system.cpu()));
            }
            if done >= wanted {
                break;
            }
            if begun.elapsed() > DONE_MAX {
                bail!(
                    "the {} has done {done} of {wanted} within {DONE_MAX:?}",
                    self.service.name()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (before, started, cpu) = first.context("something was to be done")?;
        let took = started.elapsed();
        let done = wanted.saturating_sub(before);
        if done == 0 {
            bail!("{wanted} are too few to be timed");
        }
        let cpu = cpu_per_100k(&cpu, &bench.system.cpu(), done);
        let well = self.done(bench, &[("outcome", self.outcome)]).await?;
        if well < wanted {
            bail!("only {well} of {wanted} were {}", self.outcome);
        }
        Ok((Figures::rate(done, took), cpu))
    }

    async fn done(&self, bench: &Bench, outcome: &[(&str, &str)]) -> anyhow::Result<usize> {
        let (key, value) = &self.kind;
        let labels: Vec<(&str, &str)> = [(*key, value.as_str())]
            .into_iter()
            .chain(outcome.iter().copied())
            .collect();
        metric(bench.system.address(self.service), self.metric, &labels).await
    }
}
