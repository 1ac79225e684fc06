use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use foldline_kafka::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rusqlite::Connection;

use super::{SILENCE_MAX, consumer, from_the_beginning};
use crate::bench::figures::Figures;

/// Of one SQLite transaction, as the projector's default is.
const BATCH_MAX: usize = 5_000;
const LOOK_MAX: Duration = Duration::from_millis(100);

const SCHEMA: &str = "pragma journal_mode = wal; pragma synchronous = normal;
    create table rows (key blob primary key, count integer not null, body blob not null) without rowid;
    create table offsets (partition integer primary key, next integer not null);";
const UPSERT: &str = "insert into rows values (?1, 1, ?2)
    on conflict (key) do update set count = count + 1, body = excluded.body";
const ADVANCE: &str = "insert or replace into offsets values (?1, ?2)";

/// Takes the first so many committed records of a topic, and writes each into the row of its key, exactly once. Blocks.
pub(crate) fn upsert(
    kafka: &KafkaSettings,
    topic: &str,
    file: &Path,
    records: usize,
) -> anyhow::Result<Figures> {
    let consumer = consumer(kafka, "floor-upsert")?;
    consumer.assign(&from_the_beginning(topic)?)?;
    let mut database = Connection::open(file)?;
    database.execute_batch(SCHEMA)?;
    let opened = Instant::now();
    let mut first = None;
    let mut done = 0;
    while done < records {
        let written = batch(&consumer, &mut database, records - done, &mut first)?;
        if written == 0 && opened.elapsed() > SILENCE_MAX {
            bail!("the floor found only {done} of {records} records in {topic}");
        }
        done += written;
    }
    let first = first.context("nothing to write")?;
    Ok(Figures::rate(done, first.elapsed()))
}

/// One transaction with what is there. `first` is set when the first record comes.
fn batch(
    consumer: &BaseConsumer,
    database: &mut Connection,
    at_most: usize,
    first: &mut Option<Instant>,
) -> anyhow::Result<usize> {
    let mut next = consumer.poll(LOOK_MAX);
    if next.is_some() {
        first.get_or_insert_with(Instant::now);
    }
    let transaction = database.transaction()?;
    let mut written = 0;
    let mut offsets = std::collections::HashMap::new();
    {
        let mut row = transaction.prepare_cached(UPSERT)?;
        while let Some(message) = next {
            let message = message?;
            row.execute((message.key(), message.payload()))?;
            offsets.insert(message.partition(), message.offset() + 1);
            written += 1;
            let is_full = written >= BATCH_MAX.min(at_most);
            next = (!is_full).then(|| consumer.poll(Duration::ZERO)).flatten();
        }
        let mut advance = transaction.prepare_cached(ADVANCE)?;
        for (partition, offset) in offsets {
            advance.execute((partition, offset))?;
        }
    }
    transaction.commit()?;
    Ok(written)
}
