//! A member of a consumer group, with a transactional producer: Kafka says which partitions are ours.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldline_kafka_native::{member_id, membership};
use krafka::KrafkaError;
use krafka::consumer::ConsumerGroupMetadata;
use krafka::producer::TopicPartitionOffset;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::committer::{Committer, Sent};
use super::group::{Members, asking};
use super::reader::{AHEAD, FETCH, message};
use super::turns::Turns;
use super::{Changes, Member, Message, Place, Record, Seat, is_fenced, predecessors};
use crate::KafkaSettings;
use crate::producer::TransactionError;
use crate::security::token;
use crate::seldom::Seldom;

pub(super) const REQUEST_MAX: Duration = Duration::from_secs(10);

/// So long after a kill nobody leads. It is the least that a broker allows by default.
pub(super) const SESSION: Duration = Duration::from_secs(6);

/// The group gives a member up that it has not heard of for its session, and tells so a moment later: who is there for longer
/// is alive.
const ALIVE_AFTER: Duration = SESSION.saturating_add(Duration::from_secs(3));
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A member that the group does not know any more, and it is not known yet for whose sake.
struct Fenced {
    by: KafkaError,
    /// Who has our name there, and since when it has been seen.
    stranger: Option<(String, Instant)>,
}

pub(super) struct KafkaMember {
    kafka: KafkaSettings,
    group: String,
    name: String,
    topics: Vec<String>,
    fenced: Option<Fenced>,
    consumer: BaseConsumer<Group>,
    producers: Turns,
    committer: Committer,
    /// Who we were in the group when the open transaction began.
    metadata: Option<ConsumerGroupMetadata>,
}

impl KafkaMember {
    pub(super) fn join(kafka: &KafkaSettings, seat: Seat<'_>) -> Result<Self, KafkaError> {
        // The producers first: they end the transaction that an earlier self has left open, on which everything
        // that follows would wait.
        let producers = Turns::new(kafka, seat.member)?;
        Ok(Self {
            kafka: kafka.clone(),
            group: seat.group.to_owned(),
            name: seat.member.to_owned(),
            topics: seat.topics.iter().map(|topic| (*topic).to_owned()).collect(),
            fenced: None,
            consumer: consumer(kafka, seat, Changes::default())?,
            producers,
            committer: Committer::start(),
            metadata: None,
        })
    }

    /// Joins the group again, unless somebody else has our name there.
    ///
    /// When librdkafka has not heard of the group's coordinator for a session, as while another broker takes its place, it
    /// forgets its id. The heartbeats that it sends until it has joined again, which waits for [`take`](Member::take), come
    /// without one, and are answered as if another process had taken our name; it then does nothing any more.
    ///
    /// Who has our name with an id that we do not know may be another process, or ourselves: the answer to a request to join
    /// is lost with its connection, as where a broker was frozen. Another process is heard of, and stays.
    fn join_again(&mut self, mut fenced: Fenced) -> Result<(), KafkaError> {
        let members = asking(&self.kafka, &self.group).and_then(|asking| Members::of(&asking, &self.group));
        let members = match members {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, "fenced, and the group does not say by whom; asking again");
                self.fenced = Some(fenced);
                return Ok(());
            }
        };
        let current = members.id_of(&self.name);
        let stranger = current.filter(|id| Some(*id) != self.consumer.context().id().as_deref());
        if let Some(stranger) = stranger {
            if fenced.has_seen_for_long(stranger) {
                return Err(fenced.by);
            }
            self.fenced = Some(fenced);
            std::thread::sleep(LOOK_AGAIN);
            return Ok(());
        }
        tracing::warn!(
            "the group was not heard of for too long, and its membership forgotten; joining again"
        );
        let mut changes = self.changes();
        changes.assigned.clear();
        changes.revoked.extend(partitions(&self.consumer.assignment()?));
        let seat = Seat {
            group: &self.group,
            member: &self.name,
            topics: &self.topics.iter().map(String::as_str).collect::<Vec<_>>(),
        };
        let old = std::mem::replace(&mut self.consumer, consumer(&self.kafka, seat, changes)?);
        // A consumer is let go of when librdkafka has closed it, for which rdkafka waits without an end. Nothing may hang on
        // that here: this thread is the one that decides.
        std::thread::spawn(move || drop(old));
        Ok(())
    }
}

impl Fenced {
    /// Notes who has our name. Whether it was there for so long that it must be alive.
    fn has_seen_for_long(&mut self, stranger: &str) -> bool {
        match &self.stranger {
            Some((seen, since)) if seen == stranger => since.elapsed() > ALIVE_AFTER,
            _ => {
                tracing::warn!("somebody has our name in the group; looking whether they are alive");
                self.stranger = Some((stranger.to_owned(), Instant::now()));
                false
            }
        }
    }
}

impl Member for KafkaMember {
    fn take(
        &mut self,
        at_most: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), KafkaError> {
        if let Some(fenced) = self.fenced.take() {
            return self.join_again(fenced);
        }
        let fenced = |by| Fenced { by, stranger: None };
        let mut next = self.consumer.poll(at_most);
        while let Some(polled) = next {
            match polled {
                Ok(found) => {
                    if each(&message(&found)).is_break() {
                        break;
                    }
                }
                Err(error) if is_fenced(&error) => return self.join_again(fenced(error)),
                Err(error) => tracing::warn!(%error, "taking commands"),
            }
            next = self.consumer.poll(Duration::ZERO);
        }
        Ok(())
    }

    fn changes(&mut self) -> Changes {
        let mut changes = self.consumer.context().changes();
        std::mem::take(&mut *changes)
    }

    fn fence_the_gone(&mut self) -> Result<(), KafkaError> {
        let mut writers = predecessors::writers(&self.kafka, &self.group)?;
        writers.remove(&self.name);
        if writers.is_empty() {
            return Ok(());
        }
        // Not our own consumer: it would wait for what is open.
        let asking = asking(&self.kafka, &self.group)?;
        let members = Members::of(&asking, &self.group)?;
        predecessors::fence_the_gone(&self.kafka, &writers, &members)
    }

    fn committed(&self, places: &[Place<'_>]) -> Result<Vec<Option<i64>>, KafkaError> {
        let committed = self.consumer.committed_offsets(list(places), REQUEST_MAX)?;
        let offset = |(topic, partition): &Place<'_>| {
            let element = committed.find_partition(topic, *partition)?;
            match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        };
        Ok(places.iter().map(offset).collect())
    }

    /// A partition that was just assigned cannot be sought before its fetcher has started.
    fn seek(&mut self, to: &[(Place<'_>, Option<i64>)]) -> Result<(), KafkaError> {
        let to = list_with(to.iter().map(|(place, offset)| {
            let offset = offset.map_or(Offset::Beginning, Offset::Offset);
            (*place, offset)
        }))?;
        let started_at = Instant::now();
        loop {
            let sought = self.consumer.seek_partitions(to.clone(), REQUEST_MAX);
            let failed = sought.and_then(|list| {
                let mut elements = list.elements().into_iter();
                elements.try_for_each(|element: TopicPartitionListElem<'_>| element.error())
            });
            match failed {
                Ok(()) => return Ok(()),
                Err(error) if started_at.elapsed() > REQUEST_MAX => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn resume(&mut self, places: &[Place<'_>]) -> Result<(), KafkaError> {
        self.consumer.resume(&list(places))
    }

    fn end_of(&self, (topic, partition): Place<'_>) -> Result<i64, KafkaError> {
        Ok(self.consumer.fetch_watermarks(topic, partition, REQUEST_MAX)?.1)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        let of = membership(self.consumer.client());
        self.metadata =
            of.map(|of| ConsumerGroupMetadata::new(of.group, of.generation, of.member, of.instance));
        self.producers.next().lock().begin()
    }

    fn send(&mut self, record: Record<'_>) -> Result<(), TransactionError> {
        self.producers.current().lock().send(record)
    }

    fn begin_commit(&mut self, offsets: &[(Place<'_>, i64)]) -> Result<(), TransactionError> {
        let producer = self.producers.current().clone();
        let Some(metadata) = self.metadata.take() else {
            let nobody = KrafkaError::transaction_abortable("no member of the group");
            return Err(producer.lock().abort(nobody));
        };
        let offsets = offsets.iter();
        let offsets =
            offsets.map(|((topic, partition), next)| TopicPartitionOffset::new(*topic, *partition, *next));
        self.committer.begin(Sent {
            producer,
            offsets: offsets.collect(),
            metadata,
        });
        Ok(())
    }

    fn end_commit(&mut self) -> Result<(), TransactionError> {
        self.committer.end()
    }

    fn delivered(&self, number: usize) -> Option<i64> {
        self.producers.current().lock().delivered(number)
    }

    fn renew(&mut self) -> Result<(), KafkaError> {
        self.producers.renew()
    }

    fn is_in_doubt(&self) -> bool {
        self.fenced.is_some()
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.consumer.unsubscribe();
    }
}

/// Notes what the group has decided, for the loop to act on between two batches.
struct Group {
    changes: Mutex<Changes>,
    /// Which member it took us for when it decided last.
    id: Mutex<Option<String>>,
    seldom: Seldom,
}

impl Group {
    fn changes(&self) -> std::sync::MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Group {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, file: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token::fresh(file)
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.seldom.tell("command consumer", &error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let mut changes = self.changes();
            let gone = partitions(list);
            changes.assigned.retain(|partition| !gone.contains(partition));
            changes.revoked.extend(gone);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            *self.id() = member_id(consumer.client());
            // Nothing may be taken from a partition before it is caught up.
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "cannot pause new partitions; what comes of them is dropped and read again");
            }
            self.changes().assigned.extend(partitions(list));
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

/// A consumer whose group has decided this already.
fn consumer(
    kafka: &KafkaSettings,
    seat: Seat<'_>,
    changes: Changes,
) -> Result<BaseConsumer<Group>, KafkaError> {
    let mut config: ClientConfig = kafka.tuned(&[
        ("session.timeout.ms", &SESSION.as_millis().to_string()),
        FETCH,
        AHEAD,
    ]);
    config
        .set("group.id", seat.group)
        // A static member: a quick restart takes up its partitions without a rebalance (KIP-345).
        .set("group.instance.id", seat.member)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("heartbeat.interval.ms", "1000")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // Also what makes the group's offsets wait for an open transaction of a predecessor (KIP-447).
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.queue.backoff.ms", "2");
    let decided = Group {
        changes: Mutex::new(changes),
        id: Mutex::default(),
        seldom: Seldom::default(),
    };
    let consumer = token::consumer(&config, decided)?;
    consumer.subscribe(seat.topics)?;
    Ok(consumer)
}

pub(super) fn list(places: &[Place<'_>]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition(topic, *partition);
    }
    list
}

fn list_with<'a>(
    places: impl Iterator<Item = (Place<'a>, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in places {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}
