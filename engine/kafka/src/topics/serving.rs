//! A topic that was made is served a moment later.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::{REQUEST_MAX, TopicsError, unavailable};
use crate::KafkaSettings;
use crate::security::token::{self, Plain};

/// How long a busy broker may take.
const SERVED_MAX: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until each partition of these topics has a leader that answers.
///
/// Kafka says that a topic is made when that is decided. That the brokers know it comes later, and that they
/// lead its partitions later still: a service that starts in between would find no topic, or nobody to ask.
pub(super) async fn until_served(kafka: &KafkaSettings, topics: Vec<String>) -> Result<(), TopicsError> {
    let consumer = token::consumer(&kafka.client(), Plain).map_err(unavailable(kafka))?;
    let asking = spawn_blocking(move || {
        let started_at = Instant::now();
        loop {
            match ask(&consumer, &topics) {
                Err(error) if started_at.elapsed() > SERVED_MAX => return Err(error),
                Err(_) => std::thread::sleep(ASK_AGAIN),
                Ok(()) => return Ok(()),
            }
        }
    });
    let asked = asking.await.expect("asking for offsets does not panic");
    asked.map_err(unavailable(kafka))
}

/// Asks each partition for its end, all in one request.
fn ask(consumer: &BaseConsumer<Plain>, topics: &[String]) -> Result<(), KafkaError> {
    let metadata = consumer.fetch_metadata(None, REQUEST_MAX)?;
    let mut ends = TopicPartitionList::new();
    for name in topics {
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let partitions = topic.map_or_else(Default::default, |topic| topic.partitions());
        if partitions.is_empty() {
            return Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::UnknownTopicOrPartition,
            ));
        }
        for partition in partitions {
            ends.add_partition_offset(name, partition.id(), Offset::End)?;
        }
    }
    let found = consumer.offsets_for_times(ends, REQUEST_MAX)?;
    found.elements().iter().try_for_each(|end| end.error())
}
