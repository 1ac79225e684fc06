use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use foldline_kafka::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{SILENCE_MAX, consumer};
use crate::bench::figures::Figures;

const LOOK_MAX: Duration = Duration::from_millis(100);
const TRANSACTION_MAX: Duration = Duration::from_secs(30);
/// A transaction takes what is there, but not for longer than this.
const GATHER_MAX: Duration = Duration::from_millis(20);

/// Takes so many records from one topic and puts each into all of the others, exactly once. Blocks.
pub(crate) fn pipe(
    kafka: &KafkaSettings,
    name: &str,
    from: &str,
    to: &[&str],
    records: usize,
) -> anyhow::Result<Figures> {
    let mut pipe = Pipe::open(kafka, name, from, to)?;
    let opened = Instant::now();
    let mut first = None;
    let mut done = 0;
    while done < records {
        let before = Instant::now();
        let moved = pipe.turn(GATHER_MAX)?;
        if moved > 0 {
            // What the first poll has waited for is the group, which is not what is measured.
            first.get_or_insert(pipe.took_at);
        } else if before.duration_since(opened) > SILENCE_MAX {
            bail!("the floor's pipe found only {done} of {records} records");
        }
        done += moved;
    }
    let first = first.context("a pipe without records")?;
    Ok(Figures::rate(done, first.elapsed()))
}

/// Consume, produce, commit the offsets with what was produced: no more.
pub(super) struct Pipe {
    consumer: BaseConsumer,
    producer: ThreadedProducer<Deliveries>,
    outstanding: Arc<Outstanding>,
    from: String,
    to: Vec<String>,
    /// When the first record of the last turn came.
    took_at: Instant,
}

impl Pipe {
    pub(super) fn open(kafka: &KafkaSettings, name: &str, from: &str, to: &[&str]) -> anyhow::Result<Self> {
        let outstanding = Arc::<Outstanding>::default();
        let mut config = kafka.client();
        config
            .set("transactional.id", name)
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "100000")
            .set("queue.buffering.max.messages", "1000000")
            // The next transaction meets the markers of the last one; with the default it waits 100 ms for them.
            .set("retry.backoff.ms", "1");
        let producer: ThreadedProducer<_> =
            config.create_with_context(Deliveries(Arc::clone(&outstanding)))?;
        producer.init_transactions(TRANSACTION_MAX)?;
        let consumer = consumer(kafka, name)?;
        consumer.subscribe(&[from])?;
        Ok(Self {
            consumer,
            producer,
            outstanding,
            from: from.to_owned(),
            to: to.iter().map(|&topic| topic.to_owned()).collect(),
            took_at: Instant::now(),
        })
    }

    /// One transaction with what is there, gathered for so long at most. Returns how many records it took: 0 if none
    /// came.
    pub(super) fn turn(&mut self, gather: Duration) -> anyhow::Result<usize> {
        let Some(first) = self.consumer.poll(LOOK_MAX) else {
            return Ok(0);
        };
        let took_at = Instant::now();
        self.producer.begin_transaction()?;
        let mut next = Some(first);
        let mut offsets = HashMap::new();
        let mut taken = 0;
        while let Some(message) = next {
            let message = message?;
            self.copy(&message)?;
            offsets.insert(message.partition(), message.offset() + 1);
            taken += 1;
            next = (took_at.elapsed() < gather)
                .then(|| self.consumer.poll(Duration::ZERO))
                .flatten();
        }
        self.commit(offsets)?;
        self.took_at = took_at;
        Ok(taken)
    }

    fn copy(&self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        for topic in &self.to {
            let record = BaseRecord::to(topic)
                .key(message.key().unwrap_or_default())
                .payload(message.payload().unwrap_or_default())
                .partition(message.partition());
            self.outstanding.add();
            let sent = self.producer.send(record);
            // The queue holds far more than a transaction.
            sent.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    fn commit(&self, offsets: HashMap<i32, i64>) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.from, partition, Offset::Offset(offset))?;
        }
        let group = self.consumer.group_metadata().context("a consumer of a group")?;
        self.producer
            .send_offsets_to_transaction(&list, &group, TRANSACTION_MAX)?;
        // Before the commit, which sleeps in steps of 100 ms while anything is on its way.
        self.outstanding.wait_for_none();
        while self.producer.in_flight_count() > 0 {
            std::thread::yield_now();
        }
        Ok(self.producer.commit_transaction(TRANSACTION_MAX)?)
    }
}

/// How many records have no report yet.
#[derive(Default)]
struct Outstanding {
    count: Mutex<usize>,
    none: Condvar,
}

impl Outstanding {
    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn done(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.none.notify_all();
        }
    }

    fn wait_for_none(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.none.wait_while(count, |count| *count > 0));
    }
}

struct Deliveries(Arc<Outstanding>);

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        eprintln!("the floor's producer: {error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {
        // A record that failed fails its transaction's commit too.
        self.0.done();
    }
}
