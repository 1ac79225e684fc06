//! What producers wrote in the clear is removed: commands that are decided, whosever they are, because Kafka removes
//! records only up to an offset; and dead letters, because nobody could read whose they are.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::settings::{Own, options, refused};
use super::{EraseError, REQUEST_MAX, Removed, Work, blocking};
use crate::broker::{Place, ranges};
use crate::failpoints::reached;
use crate::producer::TRANSACTION_MAX;
use crate::security::token;

/// Kafka goes on in a new file at the next record, and only then removes the old one. Twice: see `roll_at_once`.
const ROLL: [(&str, &str); 2] = [("segment.ms", "1"), ("segment.ms", "2")];

impl Work {
    /// Removes all there is by now of both, and notes it. Where an erasure that was killed has removed all before, the file may
    /// still be the one that Kafka writes to: so each partition goes on in a new file that ever had something.
    pub(super) async fn remove(self: &Arc<Self>, removed: &mut Vec<Removed>) -> Result<(), EraseError> {
        let ends = blocking(self, Self::removable).await?;
        let mut ranges = blocking(self, move |work| work.with_first(ends)).await?;
        ranges.retain(|range| range.to > 0);
        let there: Vec<Removed> = ranges
            .iter()
            .filter(|range| range.from < range.to)
            .cloned()
            .collect();
        if !there.is_empty() {
            self.delete_records(&there).await?;
        }
        // Before anything else can fail: the next run would not know of them.
        removed.extend(there);
        reached("records-removed");
        let mut topics: Vec<String> = ranges.iter().map(|range| range.topic.clone()).collect();
        topics.dedup();
        let mut own = Vec::new();
        for topic in &topics {
            own.push((topic.clone(), self.own_settings(topic, &ROLL, &[]).await?));
        }
        let rolled = self.roll_at_once(&own, ranges).await;
        reached("rolled");
        let mut restored = Ok(());
        for (topic, own) in own {
            restored = restored.and(self.set_all(&topic, &own).await);
        }
        rolled.and(restored)
    }

    /// Makes Kafka go on in new files. A broker applies one change of settings after the other: so who shows the second of
    /// them has applied the first, and the next record begins a new file.
    async fn roll_at_once(
        self: &Arc<Self>,
        topics: &[(String, Own)],
        ranges: Vec<Removed>,
    ) -> Result<(), EraseError> {
        for setting in ROLL {
            for (topic, own) in topics {
                self.set_beside(topic, own, &[setting]).await?;
            }
            for (topic, _) in topics {
                self.wait_until_shown(topic, setting).await?;
            }
        }
        blocking(self, move |work| work.roll(&ranges)).await
    }

    /// Up to where each partition can be removed.
    fn removable(&self) -> Result<HashMap<(String, i32), i64>, EraseError> {
        let names = self.kafka.topics();
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
            for (partition, (_, high)) in (0..).zip(self.settled(&places)?) {
                ends.insert((letters.clone(), partition), high);
            }
        }
        Ok(ends)
    }

    fn with_first(&self, ends: HashMap<(String, i32), i64>) -> Result<Vec<Removed>, EraseError> {
        let mut ends: Vec<((String, i32), i64)> = ends.into_iter().collect();
        ends.sort();
        let places: Vec<Place<'_>> = ends
            .iter()
            .map(|((topic, partition), _)| (topic.as_str(), *partition))
            .collect();
        let found = ranges(self.broker.as_ref(), &places)?;
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

    pub(super) fn roller(&self) -> ClientConfig {
        let id = format!("{}foldline-erase-{}", self.kafka.topic_prefix, self.subject.id);
        let mut config = self.kafka.client();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", TRANSACTION_MAX.as_millis().to_string());
        config
    }

    /// Writes a record to each partition that nobody will ever see, because its transaction is aborted.
    fn roll(&self, ranges: &[Removed]) -> Result<(), EraseError> {
        let producer = token::producer(&self.roller())?;
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
