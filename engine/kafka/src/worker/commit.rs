//! Where a transaction commits: events, results, dead letters and the commands' offsets, all or nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use foldline_core::Timestamp;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::Offset;

use super::decide::{Decided, Decision};
use super::intake::{Content, DeadLetter, Taken};
use super::outcome::Made;
use super::{BatchError, Shared, Worker, reserve};
use crate::catalog::{Installed, Slice};
use crate::fold::is_remembered;
use crate::registry::begin_wire_format;
use crate::store::{Log, Position, StoreError};

/// A record that is ready to be sent.
struct Record<'a> {
    topic: &'a str,
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
    number: usize,
}

/// Records whose offsets nobody asks for.
const NOT_COUNTED: usize = usize::MAX;

impl Worker {
    /// Commits what was decided, then lets it be known: in the local store, and to who waits for it.
    pub(super) fn commit(&mut self, batch: &[Taken], decided: Decided) -> Result<(), BatchError> {
        let started_at = Instant::now();
        // All are written before the transaction begins: what cannot be written need not be aborted.
        let shared = Arc::clone(&self.shared);
        let records = records(&shared, batch, &decided)?;
        let offsets = self.offsets(batch)?;
        let group = self.consumer.group_metadata();
        let group = group.ok_or(KafkaError::Canceled)?;
        self.producer.begin()?;
        for record in &records {
            let Record {
                topic,
                partition,
                key,
                value,
                headers,
                number,
            } = record;
            let sent = BaseRecord::with_opaque_to(topic, *number)
                .partition(*partition)
                .headers(headers.clone());
            let sent = key.iter().fold(sent, |sent, key| sent.key(key.as_slice()));
            let sent = value
                .iter()
                .fold(sent, |sent, value| sent.payload(value.as_slice()));
            self.producer.send(sent)?;
        }
        self.producer.commit(&offsets, &group)?;
        metrics::histogram!("foldline_append_transaction_duration_seconds").record(started_at.elapsed());
        self.make_known(batch, decided)?;
        Ok(())
    }

    fn offsets(&self, batch: &[Taken]) -> Result<TopicPartitionList, KafkaError> {
        let mut next: HashMap<Slice, i64> = HashMap::new();
        for taken in batch {
            next.insert(taken.slice, taken.offset + 1);
        }
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (slice, offset) in next {
            let topic = &self.shared.catalog.get(slice).commands.name;
            list.add_partition_offset(topic, slice.partition, Offset::Offset(offset))?;
        }
        Ok(list)
    }

    fn make_known(&mut self, batch: &[Taken], decided: Decided) -> Result<(), StoreError> {
        let catalog = &self.shared.catalog;
        let mut changes = self.shared.store.changes();
        let mut commands: HashMap<(Slice, Log), i64> = HashMap::new();
        for (taken, decision) in batch.iter().zip(&decided.decisions) {
            let Decision::Made(made) = decision else { continue };
            commands.insert((taken.slice, Log::Results), taken.offset);
            if !made.events.is_empty() {
                commands.insert((taken.slice, Log::Events), taken.offset);
            }
            if is_remembered(&made.result) {
                changes.result(catalog.get(taken.slice), taken.slice, &made.result);
            }
        }
        for ((index, id), (state, sequence)) in &decided.states {
            changes.state(&catalog.types()[*index], id, state, *sequence);
        }
        for ((slice, log), command_offset) in commands {
            // Each had a record in this transaction, and each record has its report.
            let Some(offset) = self.producer.delivered(number(slice, log)) else {
                continue;
            };
            let position = Position {
                next: offset + 1,
                command_offset,
            };
            changes.position(catalog.get(slice), slice, log, position);
        }
        changes.apply()?;
        self.cache_and_answer(batch, decided);
        Ok(())
    }

    fn cache_and_answer(&mut self, batch: &[Taken], decided: Decided) {
        for (key, known) in decided.states {
            self.cache.put(key, known);
        }
        for (taken, decision) in batch.iter().zip(&decided.decisions) {
            let installed = self.shared.catalog.get(taken.slice);
            match decision {
                Decision::Made(made) => {
                    self.shared.waiters.answer(&made.result);
                    count(installed, made);
                }
                Decision::DeadLetter => {
                    let labels = [
                        ("source", installed.commands.name.clone()),
                        ("stage", "decode".to_owned()),
                    ];
                    metrics::counter!("foldline_dead_letters_total", &labels).increment(1);
                }
            }
        }
    }
}

fn records<'a>(
    shared: &'a Shared,
    batch: &[Taken],
    decided: &Decided,
) -> Result<Vec<Record<'a>>, BatchError> {
    let mut records = Vec::with_capacity(batch.len() * 2);
    for (taken, decision) in batch.iter().zip(&decided.decisions) {
        let installed = shared.catalog.get(taken.slice);
        match (decision, &taken.content) {
            (Decision::Made(made), _) => records_of(shared, installed, taken, made, &mut records)?,
            (Decision::DeadLetter, Content::DeadLetter(letter)) => {
                records.push(dead_letter(installed, taken, letter));
            }
            (Decision::DeadLetter, Content::Command(_)) => unreachable!("a command is decided"),
        }
    }
    Ok(records)
}

fn records_of<'a>(
    shared: &'a Shared,
    installed: &'a Installed,
    taken: &Taken,
    made: &Made,
    records: &mut Vec<Record<'a>>,
) -> Result<(), BatchError> {
    let key = || Some(made.result.aggregate_id.as_str().as_bytes().to_vec());
    let trace = taken.traceparent.as_deref();
    for (meta, event) in &made.events {
        let mut meta = meta.clone();
        let mut value = begun(installed.events.reader.own_id());
        installed.aggregate.encode_event(&mut meta, event, &mut value)?;
        records.push(Record {
            topic: &installed.events.name,
            partition: taken.slice.partition,
            key: key(),
            value: Some(value),
            headers: cloud_event(installed, &meta, trace),
            number: number(taken.slice, Log::Events),
        });
    }
    let mut value = begun(installed.results.reader.own_id());
    installed.result_codec.encode_meta(&made.result, &mut value)?;
    records.push(Record {
        topic: &installed.results.name,
        partition: taken.slice.partition,
        key: key(),
        value: Some(value),
        headers: traced(OwnedHeaders::new(), trace),
        number: number(taken.slice, Log::Results),
    });
    for value in &made.released {
        let Some(claims) = reserve::claims_on(shared, installed, value) else {
            continue;
        };
        let (mut meta, command) = reserve::release(value, &made.result);
        let mut bytes = begun(claims.commands.reader.own_id());
        claims.aggregate.encode_command(&mut meta, &command, &mut bytes)?;
        records.push(Record {
            topic: &claims.commands.name,
            partition: claims.slice_of(&meta.aggregate_id).partition,
            key: Some(meta.aggregate_id.as_str().as_bytes().to_vec()),
            value: Some(bytes),
            headers: traced(OwnedHeaders::new(), trace),
            number: NOT_COUNTED,
        });
    }
    Ok(())
}

fn count(installed: &Installed, made: &Made) {
    let labels = [
        ("aggregate", installed.name.clone()),
        ("command", made.result.command_type.clone()),
        (
            "outcome",
            if made.result.replayed {
                "replayed".to_owned()
            } else {
                made.result.outcome.clone()
            },
        ),
    ];
    metrics::counter!("foldline_commands_total", &labels).increment(1);
    metrics::counter!("foldline_events_appended_total", "aggregate" => installed.name.clone())
        .increment(made.events.len() as u64);
}

/// What [`TransactionalProducer::delivered`](crate::producer::TransactionalProducer::delivered) is asked by.
fn number(slice: Slice, log: Log) -> usize {
    // Partitions are counted from 0, and Kafka has far fewer than 2^24 of a topic.
    let partition = usize::try_from(slice.partition).unwrap_or_default();
    (slice.index << 24 | partition) << 1 | usize::from(log == Log::Results)
}

fn begun(schema_id: u32) -> Vec<u8> {
    let mut value = Vec::with_capacity(256);
    begin_wire_format(schema_id, &mut value);
    value
}

/// CloudEvents' binary mode for Kafka: the record stays as it is, and the headers say what it is.
fn cloud_event(installed: &Installed, meta: &foldline_core::EventMeta, trace: Option<&[u8]>) -> OwnedHeaders {
    let source = format!("/{}", installed.name.replace('.', "/"));
    let time = Timestamp::to_string(&meta.recorded_at);
    let id = meta.event_id.to_string();
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", &source),
        ("ce_type", &meta.event_type),
        ("ce_subject", meta.aggregate_id.as_str()),
        ("ce_time", &time),
        ("ce_correlationid", &meta.correlation_id),
        ("content-type", "application/vnd.confluent.avro"),
    ];
    let headers = headers
        .into_iter()
        .fold(OwnedHeaders::new_with_capacity(9), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        });
    traced(headers, trace)
}

fn traced(headers: OwnedHeaders, trace: Option<&[u8]>) -> OwnedHeaders {
    match trace {
        Some(value) => headers.insert(Header {
            key: "traceparent",
            value: Some(value),
        }),
        None => headers,
    }
}

/// The record as it was found, and why it is no command.
fn dead_letter<'a>(installed: &'a Installed, taken: &Taken, letter: &DeadLetter) -> Record<'a> {
    tracing::warn!(
        topic = installed.commands.name,
        partition = taken.slice.partition,
        offset = taken.offset,
        reason = letter.reason,
        "not a command; to the dead-letter topic"
    );
    let found = letter
        .headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: value.as_ref(),
            })
        });
    let context = [
        ("__foldline.errors.topic", installed.commands.name.clone()),
        ("__foldline.errors.partition", taken.slice.partition.to_string()),
        ("__foldline.errors.offset", taken.offset.to_string()),
        ("__foldline.errors.stage", "decode".to_owned()),
        ("__foldline.errors.reason", letter.reason.clone()),
    ];
    let headers = context.iter().fold(found, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    });
    Record {
        topic: &installed.dead_letters,
        partition: taken.slice.partition,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers,
        number: NOT_COUNTED,
    }
}
