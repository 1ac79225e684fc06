//! What producers wrote in the clear is removed: commands that are decided, whosever they are, because Kafka removes
//! records only up to an offset; and dead letters, because nobody could read whose they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::settings::{options, refused};
use super::{EraseError, LOOK_AGAIN, REQUEST_MAX, Removed, STEP_MAX, Work, blocking};
use crate::broker::{Broker, Isolation, KafkaBroker, Place, ranges};
use crate::security::token::{self, Plain};

/// Kafka goes on in a new file at the next record, and only then removes the old one.
const ROLL: [(&str, &str); 1] = [("segment.ms", "1")];

impl Work {
    /// Removes all there is by now of both.
    pub(super) async fn remove(self: &Arc<Self>) -> Result<Vec<Removed>, EraseError> {
        let ends = blocking(self, Self::removable).await?;
        let removed = blocking(self, move |work| work.with_first(ends)).await?;
        let removed: Vec<Removed> = removed
            .into_iter()
            .filter(|range| range.from < range.to)
            .collect();
        if removed.is_empty() {
            return Ok(removed);
        }
        self.delete_records(&removed).await?;
        let mut topics: Vec<String> = removed.iter().map(|range| range.topic.clone()).collect();
        topics.dedup();
        let mut own = Vec::new();
        for topic in &topics {
            own.push((topic.clone(), self.set(topic, &ROLL).await?));
        }
        let rolled = self.roll_all(&removed).await;
        let mut restored = Ok(());
        for (topic, own) in own {
            restored = restored.and(self.set_all(&topic, &own).await);
        }
        rolled.and(restored)?;
        Ok(removed)
    }

    /// Twice, because a broker hears of a setting a moment later than it is made.
    async fn roll_all(self: &Arc<Self>, removed: &[Removed]) -> Result<(), EraseError> {
        for _ in 0..2 {
            tokio::time::sleep(LOOK_AGAIN * 2).await;
            let ranges = removed.to_vec();
            blocking(self, move |work| work.roll(&ranges)).await?;
        }
        Ok(())
    }

    /// Up to where each partition can be removed.
    fn removable(&self) -> Result<HashMap<(String, i32), i64>, EraseError> {
        let (names, broker) = (self.kafka.topics(), KafkaBroker::new(&self.kafka));
        let mut ends = HashMap::new();
        for kind in &self.types {
            let partitions = self.partitions(kind.info());
            let commands = names.commands(kind.info());
            for (partition, end) in self.decided(&commands, partitions)? {
                ends.insert((commands.clone(), partition), end);
            }
            let letters = names.dead_letters(kind.info());
            let places: Vec<Place<'_>> = (0..partitions)
                .map(|partition| (letters.as_str(), partition))
                .collect();
            let highs = broker.watermarks(Isolation::ReadCommitted)?.highs(&places)?;
            for (partition, high) in (0..).zip(highs) {
                ends.insert((letters.clone(), partition), high);
            }
        }
        Ok(ends)
    }

    /// Waits until every command that there is by now is decided; returns up to where, for each partition.
    fn decided(&self, topic: &str, partitions: i32) -> Result<HashMap<i32, i64>, EraseError> {
        let broker = KafkaBroker::new(&self.kafka);
        let places: Vec<Place<'_>> = (0..partitions).map(|partition| (topic, partition)).collect();
        let ends: HashMap<i32, i64> = (0..)
            .zip(ranges(&broker, &places)?)
            .map(|(p, (_, high))| (p, high))
            .collect();
        let mut config = self.kafka.client();
        config
            .set(
                "group.id",
                format!("{}foldline-commands", self.kafka.topic_prefix),
            )
            .set("enable.auto.commit", "false");
        let group = token::consumer(&config, Plain)?;
        let asked_at = Instant::now();
        loop {
            let mut asked = TopicPartitionList::new();
            for (topic, partition) in &places {
                asked.add_partition(topic, *partition);
            }
            let committed = group.committed_offsets(asked, REQUEST_MAX)?;
            let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element
                .offset()
            {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            let committed: HashMap<i32, i64> = committed
                .elements()
                .iter()
                .map(|element| (element.partition(), offset(element)))
                .collect();
            let mut open = None;
            for (partition, end) in &ends {
                let next = committed.get(partition).copied().unwrap_or_default();
                if next < *end && self.has_commands(&broker, (topic, *partition), (next, *end))? {
                    open = Some(*partition);
                }
            }
            let Some(partition) = open else {
                return Ok(committed);
            };
            if asked_at.elapsed() > STEP_MAX {
                let topic = topic.to_owned();
                return Err(EraseError::Undecided { topic, partition });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether there is a record at all: what transactions have left behind is none.
    fn has_commands(
        &self,
        broker: &KafkaBroker,
        place: Place<'_>,
        (from, to): (i64, i64),
    ) -> Result<bool, EraseError> {
        let low = ranges(broker, &[place])?.first().map_or(0, |(low, _)| *low);
        let mut found = false;
        broker.read_range(place, (from.max(low), to), &mut |_| {
            found = true;
            Ok(())
        })?;
        Ok(found)
    }

    fn with_first(&self, ends: HashMap<(String, i32), i64>) -> Result<Vec<Removed>, EraseError> {
        let broker = KafkaBroker::new(&self.kafka);
        let mut ends: Vec<((String, i32), i64)> = ends.into_iter().collect();
        ends.sort();
        let places: Vec<Place<'_>> = ends
            .iter()
            .map(|((topic, partition), _)| (topic.as_str(), *partition))
            .collect();
        let found = ranges(&broker, &places)?;
        let removed = ends
            .iter()
            .zip(found)
            .map(|(((topic, partition), end), (low, _))| Removed {
                topic: topic.clone(),
                partition: *partition,
                from: low,
                to: *end,
            });
        Ok(removed.collect())
    }

    async fn delete_records(&self, ranges: &[Removed]) -> Result<(), EraseError> {
        let mut list = TopicPartitionList::new();
        for range in ranges {
            list.add_partition_offset(&range.topic, range.partition, Offset::Offset(range.to))?;
        }
        let removed = self.admin()?.delete_records(&list, &options()).await?;
        for element in removed.elements() {
            let doing = format!("remove records of {}/{}", element.topic(), element.partition());
            element.error().map_err(|error| refused(&doing, &error))?;
        }
        Ok(())
    }

    /// Writes a record to each partition that nobody will ever see, because its transaction is aborted.
    fn roll(&self, ranges: &[Removed]) -> Result<(), EraseError> {
        let id = format!("{}foldline-erase-{}", self.kafka.topic_prefix, self.subject.id);
        let mut config = self.kafka.client();
        let producer = token::producer(config.set("transactional.id", id))?;
        producer.init_transactions(REQUEST_MAX)?;
        producer.begin_transaction()?;
        for range in ranges {
            let record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&range.topic)
                .partition(range.partition)
                .key("#roll");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        // Kafka must have them: what is not sent yet would be dropped with the transaction.
        producer.flush(REQUEST_MAX)?;
        Ok(producer.abort_transaction(REQUEST_MAX)?)
    }
}
