//! An upstream producer: commands straight on a command topic, written by the registered schema.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldline_core::{
    AggregateId, AggregateType, AnyCommand, CommandMeta, CommandResult, Timestamp, partition_of,
};
use foldline_kafka::{KafkaSettings, Registry, subjects, wire_format};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::domains;
use crate::results::Results;
use crate::stack::PARTITIONS;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The partition of its topic.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// A record that need be no command.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    /// The partition it is put in, whatever its key.
    pub partition: i32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(&'static str, &'static str)>,
}

/// Sends commands to one aggregate type, and reads what becomes of them.
pub struct Upstream {
    /// The aggregate type.
    pub aggregate: Arc<dyn AggregateType>,
    topic: String,
    schema_id: u32,
    producer: FutureProducer,
    results: Mutex<Results>,
}

impl Upstream {
    /// To the aggregate type with this qualified name, `restaurant.orders`.
    pub async fn to(kafka: &KafkaSettings, name: &str) -> Self {
        let (domain, aggregate) = name.split_once('.').expect("a qualified name");
        let domains = domains();
        let aggregate = domains.aggregate(domain, aggregate).expect("it is installed");
        let topic = kafka.topics().commands(aggregate.info());
        let producer = kafka.client().set("linger.ms", "0").set("acks", "all").create();
        Self {
            schema_id: schema_id(kafka, &topic).await,
            results: Mutex::new(Results::open(kafka, aggregate.info())),
            producer: producer.expect("a producer"),
            aggregate: Arc::clone(aggregate),
            topic,
        }
    }

    /// A command as a client writes it in JSON.
    pub fn command(&self, body: &Value) -> AnyCommand {
        let read = self.aggregate.command_from_json(body, None);
        read.expect("a command of the right form").1
    }

    /// Sends a command, and returns where it lies.
    pub async fn send(&self, meta: CommandMeta, command: &AnyCommand) -> Place {
        self.send_raw(self.record(meta, command)).await
    }

    /// Sends a command, and returns its outcome.
    pub async fn ask(&self, meta: CommandMeta, command: &AnyCommand) -> CommandResult {
        let place = self.send(meta, command).await;
        self.outcome(place).await
    }

    /// A command's record.
    pub fn record(&self, mut meta: CommandMeta, command: &AnyCommand) -> Raw {
        let mut datum = Vec::new();
        let written = self.aggregate.encode_command(&mut meta, command, &mut datum);
        written.expect("a command can be written");
        Raw {
            partition: partition_of(&meta.aggregate_id, PARTITIONS),
            key: Some(meta.aggregate_id.as_str().into()),
            value: Some(wire_format(self.schema_id, &datum)),
            headers: Vec::new(),
        }
    }

    /// Sends anything.
    pub async fn send_raw(&self, raw: Raw) -> Place {
        let headers = raw
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(*value),
                })
            });
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic)
            .partition(raw.partition)
            .headers(headers);
        record.key = raw.key.as_deref();
        record.payload = raw.value.as_deref();
        let sent = self.producer.send(record, Duration::from_secs(10)).await;
        let sent = sent.expect("Kafka takes a record");
        Place {
            partition: sent.partition,
            offset: sent.offset,
        }
    }

    /// What became of the command that lies there.
    pub async fn outcome(&self, place: Place) -> CommandResult {
        self.results.lock().await.of(place).await
    }
}

/// What a producer says about a command, at the least.
pub fn meta(id: &str, command_id: Uuid) -> CommandMeta {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let issued_at = Timestamp(i64::try_from(since_1970.as_millis()).expect("a time of this age"));
    CommandMeta::new(command_id, id.parse().expect("an id"), issued_at)
}

/// The id of the schema of a topic, as the registry has it.
pub async fn schema_id(kafka: &KafkaSettings, topic: &str) -> u32 {
    let registry = Registry::new(kafka).expect("a client of the registry");
    let name = format!("{topic}-value");
    let subjects = subjects(&kafka.topics(), &domains());
    let subject = subjects.iter().find(|subject| subject.name == name);
    let id = registry.id_of(subject.expect("a topic of ours")).await;
    id.expect("it is registered")
}

/// An id that belongs to this partition.
pub fn id_in(partition: i32, name: &str) -> String {
    let ids = (0..).map(|n| format!("{name}-{n}"));
    let belongs = |id: &String| {
        let id: AggregateId = id.parse().expect("an id");
        partition_of(&id, PARTITIONS) == partition
    };
    ids.into_iter().find(belongs).expect("one in four does")
}
