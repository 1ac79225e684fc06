//! The consumer behind the log: where it begins, how it is tuned, and what it knows of the ends.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, Statistics, TopicPartitionList};

use super::{EventLogError, Place};
use crate::KafkaSettings;
use crate::broker::FETCH;
use crate::security::token;

const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Keeps the ends of the partitions, which librdkafka learns with every fetch and tells in its statistics.
#[derive(Default)]
pub(crate) struct LogContext {
    ends: Mutex<HashMap<Place, i64>>,
}

impl LogContext {
    pub(super) fn ends(&self) -> MutexGuard<'_, HashMap<Place, i64>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for LogContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token::fresh(file)
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends();
        for (name, topic) in statistics.topics {
            for (partition, seen) in topic.partitions {
                // Negative: nothing was fetched yet. Partition -1 is librdkafka's own.
                if seen.ls_offset >= 0 && partition >= 0 {
                    ends.insert((name.clone(), partition), seen.ls_offset);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // It comes to `poll` as well.
        tracing::debug!(%error, reason, "the Kafka client is disturbed");
    }
}

impl ConsumerContext for LogContext {}

/// How fast it is, and how large.
const TUNING: [(&str, &str); 6] = [
    // A fetch waits at the broker until there is something, and is answered at once then. The bound is for
    // other requests, which queue up behind it.
    ("fetch.wait.max.ms", "100"),
    ("fetch.min.bytes", "1"),
    // By default a full queue stops the fetching for a second.
    ("fetch.queue.backoff.ms", "10"),
    // What is fetched ahead is memory, of each of a projector's two readers. A fetch may bring the first of each
    // partition, whatever there is room for.
    FETCH,
    ("queued.max.messages.kbytes", "4096"),
    ("statistics.interval.ms", "1000"),
];

fn consumer_config(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = kafka.tuned(&TUNING);
    config
        // librdkafka asks for a group, though nothing is subscribed to and nothing committed.
        .set("group.id", format!("{}foldline-event-log", kafka.topic_prefix))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A log that begins later than we want to read must not be read from elsewhere.
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true");
    config
}

type Assigned = (BaseConsumer<LogContext>, HashMap<Place, i64>);

/// A consumer that reads from `starts` on, and the ends that it has to reach.
pub(crate) fn assign(kafka: &KafkaSettings, starts: &HashMap<Place, i64>) -> Result<Assigned, EventLogError> {
    let unavailable = |source| EventLogError::Unavailable {
        servers: kafka.bootstrap_servers.clone(),
        source,
    };
    let config = consumer_config(kafka);
    let consumer = token::consumer(&config, LogContext::default()).map_err(EventLogError::Client)?;
    let mut wanted = TopicPartitionList::new();
    let mut ahead = HashMap::new();
    for (place, start) in starts {
        let (low, high) = range(&consumer, place).map_err(unavailable)?;
        check_range(place, *start, (low, high))?;
        wanted
            .add_partition_offset(&place.0, place.1, Offset::Offset(*start))
            .map_err(EventLogError::Client)?;
        if *start < high {
            ahead.insert(place.clone(), high);
        }
        consumer.context().ends().insert(place.clone(), high);
    }
    consumer.assign(&wanted).map_err(EventLogError::Client)?;
    Ok((consumer, ahead))
}

/// The first offset that is there, and the end of what is committed.
pub(super) fn range(
    consumer: &BaseConsumer<LogContext>,
    (topic, partition): &Place,
) -> Result<(i64, i64), KafkaError> {
    consumer.fetch_watermarks(topic, *partition, REQUEST_MAX)
}

pub(super) fn check_range(
    place: &Place,
    position: i64,
    (low, high): (i64, i64),
) -> Result<(), EventLogError> {
    if (low..=high).contains(&position) {
        return Ok(());
    }
    Err(EventLogError::Truncated {
        topic: place.0.clone(),
        partition: place.1,
        position,
        low,
        high,
    })
}

#[cfg(test)]
mod tests {
    use super::{EventLogError, check_range};

    #[test]
    fn a_log_that_was_cut_is_told_from_one_that_is_only_at_its_end() {
        let place = ("restaurant.orders.events".to_owned(), 3);
        for position in [5, 7, 9] {
            assert!(check_range(&place, position, (5, 9)).is_ok(), "{position}");
        }
        for position in [0, 4, 10] {
            let error = check_range(&place, position, (5, 9)).unwrap_err();
            assert!(
                matches!(error, EventLogError::Truncated { low: 5, high: 9, .. }),
                "{error}"
            );
        }
    }
}
