//! What came before the mark is decided: only then it is known what there is, and what unique values are held.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::{EraseError, LOOK_AGAIN, REQUEST_MAX, STEP_MAX, Work, blocking};
use crate::broker::{Place, ranges};
use crate::security::token::{self, Plain};

impl Work {
    /// Waits until every command is decided that there is by now.
    pub(super) async fn wait_until_decided(self: &Arc<Self>) -> Result<(), EraseError> {
        blocking(self, |work| {
            for kind in &work.types {
                let commands = work.kafka.topics().commands(kind.info());
                work.decided(&commands, work.partitions(kind.info()))?;
            }
            Ok(())
        })
        .await
    }

    /// Waits until every command that there is by now is decided; returns up to where, for each partition.
    pub(super) fn decided(&self, topic: &str, partitions: i32) -> Result<HashMap<i32, i64>, EraseError> {
        let places: Vec<Place<'_>> = (0..partitions).map(|partition| (topic, partition)).collect();
        // Behind an open transaction lie commands that nobody can read, and nobody decides.
        let ends: HashMap<i32, i64> = (0..)
            .zip(self.settled(&places)?)
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
                if next < *end && self.has_commands((topic, *partition), (next, *end))? {
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
    fn has_commands(&self, place: Place<'_>, (from, to): (i64, i64)) -> Result<bool, EraseError> {
        let low = ranges(self.broker.as_ref(), &[place])?
            .first()
            .map_or(0, |(low, _)| *low);
        let mut found = false;
        self.broker.read_range(place, (from.max(low), to), &mut |_| {
            found = true;
            Ok(())
        })?;
        Ok(found)
    }
}
