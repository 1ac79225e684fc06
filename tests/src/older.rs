//! Events as another version of the code writes them: by a schema that is kept, in a revision of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use foldline_core::{AggregateType, AnyEvent, EventHash, EventMeta, Timestamp, partition_of};
use foldline_kafka::{Compatibility, KafkaSettings, Registry, Subject, wire_format};
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::stack::{PARTITIONS, workspace};

/// Writes to the event topic of an aggregate type.
pub struct OtherWriter {
    aggregate: Arc<dyn AggregateType>,
    topic: String,
    ours: Schema,
    schema: Schema,
    schema_id: u32,
    producer: FutureProducer,
}

impl OtherWriter {
    /// One that has the kept version of the events' schema.
    pub async fn of(kafka: &KafkaSettings, aggregate: &Arc<dyn AggregateType>, version: u32) -> Self {
        let info = aggregate.info();
        let file: PathBuf = [&info.domain, &info.name, "events", &format!("v{version}.avsc")]
            .iter()
            .collect();
        let kept =
            fs::read_to_string(workspace().join("schemas").join(file)).expect("a version that is kept");
        let topic = kafka.topics().events(info);
        let subject = Subject {
            name: format!("{topic}-value"),
            schema: serde_json::from_str(&kept).expect("JSON"),
            compatibility: Compatibility::FullTransitive,
        };
        let registry = Registry::new(kafka).expect("a client");
        let registered = registry.register(&subject).await.expect("it fits");
        Self {
            ours: Schema::parse(aggregate.event_codec().schema()).expect("our schema"),
            schema: Schema::parse_str(&kept).expect("a schema"),
            schema_id: registered.id,
            producer: kafka.client().create().expect("a producer"),
            aggregate: Arc::clone(aggregate),
            topic,
        }
    }

    /// Appends an event to an aggregate, in this revision. Returns the hash of its record.
    pub async fn append(&self, id: &str, sequence: i64, event: AnyEvent, revision: i32) -> EventHash {
        let command_id = Uuid::now_v7();
        let mut meta = EventMeta {
            event_id: EventMeta::id_of(&command_id, 0),
            event_type: String::new(),
            aggregate_id: id.parse().expect("an id"),
            sequence,
            revision,
            occurred_at: Timestamp(1_490_442_531_250),
            recorded_at: Timestamp(1_490_442_531_251),
            command_id,
            correlation_id: command_id.to_string(),
            causation_id: command_id.to_string(),
            actor: None,
            index: 0,
            count: 1,
            command_offset: -1,
            previous_hash: None,
            written_revision: revision,
        };
        let mut today = Vec::new();
        let encoded = self.aggregate.encode_event(&mut meta, &event, &mut today);
        encoded.expect("an event of this type");
        let value = wire_format(self.schema_id, &self.rewritten(&today, revision));
        let partition = partition_of(&meta.aggregate_id, PARTITIONS);
        let record = FutureRecord::to(&self.topic)
            .key(id)
            .payload(&value)
            .partition(partition);
        let sent = self.producer.send(record, None).await;
        sent.map_err(|(error, _)| error).expect("it is written");
        EventHash::of(&value)
    }

    /// As Avro's schema resolution has it in this writer's schema.
    fn rewritten(&self, today: &[u8], revision: i32) -> Vec<u8> {
        let reader = GenericDatumReader::builder(&self.ours)
            .reader_schema(&self.schema)
            .build();
        let value = reader
            .expect("both resolve")
            .read_value(&mut &*today)
            .expect("they fit");
        let Value::Record(mut fields) = value else {
            unreachable!("events are records")
        };
        let of = fields.iter_mut().find(|(name, _)| name == "revision");
        of.expect("events have a revision").1 = Value::Int(revision);
        let writer = GenericDatumWriter::builder(&self.schema)
            .build()
            .expect("it resolves");
        writer
            .write_value_to_vec(Value::Record(fields))
            .expect("they fit")
    }
}
