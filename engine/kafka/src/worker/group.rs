//! Membership of the consumer group: Kafka says which partitions are ours.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::seldom::Seldom;

use super::{Post, Shared, WorkerError};

/// Notes what the group has decided, for the loop to act on between two batches.
#[derive(Default)]
pub(super) struct Group {
    changes: Mutex<Changes>,
    seldom: Seldom,
}

/// Topics and partitions that came and went.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) assigned: Vec<(String, i32)>,
    pub(super) revoked: Vec<(String, i32)>,
}

impl Group {
    pub(super) fn take_changes(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Group {
    fn error(&self, error: KafkaError, reason: &str) {
        self.seldom.tell("command consumer", &error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = partitions(list);
            changes.assigned.retain(|partition| !gone.contains(partition));
            changes.revoked.extend(gone);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // Nothing may be taken from a partition before it is caught up.
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "cannot pause new partitions; what comes of them is dropped and read again");
            }
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            changes.assigned.extend(partitions(list));
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

/// A member of the post's group.
pub(super) fn join(shared: &Shared, post: &Post) -> Result<BaseConsumer<Group>, WorkerError> {
    let mut config: ClientConfig = shared.kafka.client();
    config
        .set("group.id", &post.group)
        // A static member: a quick restart takes up its partitions without a rebalance (KIP-345).
        .set("group.instance.id", &post.member)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // Also what makes the group's offsets wait for an open transaction of a predecessor (KIP-447).
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.queue.backoff.ms", "2");
    let consumer: BaseConsumer<Group> = config.create_with_context(Group::default())?;
    let topics: Vec<&str> = post
        .types
        .iter()
        .map(|index| shared.catalog.types()[*index].commands.name.as_str())
        .collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

/// Another process has joined under our name.
pub(super) fn is_fenced(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced)
    )
}
