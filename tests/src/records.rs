//! The records of command and event topics, decoded.

use std::sync::Arc;

use foldline_core::{AggregateType, CommandMeta, EventMeta};
use foldline_kafka::KafkaSettings;
use serde_json::Value;

use crate::domains;
use crate::log::{self, Record};

/// An event with the record that holds it.
#[derive(Debug, Clone)]
pub struct Event {
    /// As it lies in its topic.
    pub record: Record,
    /// Who, when, why.
    pub meta: EventMeta,
    /// What.
    pub payload: Value,
}

/// The installed aggregate type with this qualified name, `restaurant.orders`.
pub fn aggregate(name: &str) -> Arc<dyn AggregateType> {
    let (domain, aggregate) = name.split_once('.').expect("a qualified name");
    let domains = domains();
    Arc::clone(domains.aggregate(domain, aggregate).expect("it is installed"))
}

/// Every event of an aggregate type.
pub fn events(kafka: &KafkaSettings, name: &str) -> Vec<Event> {
    let aggregate = aggregate(name);
    let records = log::read(kafka, &kafka.topics().events(aggregate.info()));
    let decoded = records.into_iter().map(|record| {
        let event = aggregate.decode_event(&record.value[5..]).expect("an event");
        Event {
            payload: aggregate.event_json(&event.event),
            meta: event.meta,
            record,
        }
    });
    decoded.collect()
}

/// Every event of one aggregate.
pub fn events_of(kafka: &KafkaSettings, name: &str, id: &str) -> Vec<Event> {
    let mut events = events(kafka, name);
    events.retain(|event| event.meta.aggregate_id.as_str() == id);
    events
}

/// Every command of an aggregate type that can be read as one.
pub fn commands(kafka: &KafkaSettings, name: &str) -> Vec<(Record, CommandMeta)> {
    let aggregate = aggregate(name);
    let records = log::read(kafka, &kafka.topics().commands(aggregate.info()));
    let decoded = records.into_iter().filter_map(|record| {
        let command = aggregate.decode_command(record.value.get(5..)?).ok()?;
        Some((record, command.meta))
    });
    decoded.collect()
}

/// The dead letters of an aggregate type.
pub fn dead_letters(kafka: &KafkaSettings, name: &str) -> Vec<Record> {
    log::read(kafka, &kafka.topics().dead_letters(aggregate(name).info()))
}
