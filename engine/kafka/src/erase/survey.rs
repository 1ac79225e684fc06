//! What the log has about a person.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldline_core::personal::count_unsealed;
use foldline_core::{AggregateId, AggregateType, DecodedEvent};

use super::mark::Marked;
use super::rows::Rows;
use super::{EraseError, Offsets, Receipt, STEP_MAX, Work, blocking};
use crate::broker::{Message, Place, Range};
use crate::follower::FollowError;
use crate::settled::settled_ranges;
use crate::{ReadError, RecordReader, Registry};

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The aggregates about the person, by the qualified name of their type.
    pub(super) aggregates: HashMap<String, HashSet<AggregateId>>,
    sealed: BTreeMap<(String, i32), Vec<i64>>,
    in_the_clear: BTreeMap<(String, i32), Vec<i64>>,
    events: u64,
    /// Where the API serves the rows that hold something of the person.
    rows: Vec<String>,
}

impl Found {
    pub(super) fn told(&self, receipt: &mut Receipt) {
        receipt.sealed = listed(&self.sealed);
        receipt.in_the_clear = listed(&self.in_the_clear);
        receipt.events = self.events;
        receipt.rows = self.rows.clone();
        receipt.aggregates = self.aggregates.values().map(|ids| ids.len() as u64).sum();
    }
}

fn listed(found: &BTreeMap<(String, i32), Vec<i64>>) -> Vec<Offsets> {
    let listed = |((topic, partition), offsets): (&(String, i32), &Vec<i64>)| Offsets {
        topic: topic.clone(),
        partition: *partition,
        offsets: offsets.clone(),
    };
    found.iter().map(listed).collect()
}

impl Work {
    /// Reads the events and the snapshots of all types that have personal values about such people.
    pub(super) async fn survey(self: &Arc<Self>, key: &Marked) -> Result<Found, EraseError> {
        let registry = Registry::new(&self.kafka)?;
        let mut found = Found::default();
        let mut rows = Rows::of(&self.domains, &self.subject.info().domain);
        for kind in &self.types {
            let topic = self.kafka.topics().events(kind.info());
            let reader = RecordReader::of_topic(&registry, &topic, kind.event_codec()).await?;
            let (kind, key) = (Arc::clone(kind), key.clone());
            (found, rows) = blocking(self, move |work| {
                work.survey_type(&kind, &reader, &key, (&mut found, &mut rows))?;
                Ok((found, rows))
            })
            .await?;
        }
        found.rows = rows.sealed(key.has_sealed());
        Ok(found)
    }

    /// Whether the person's own aggregate has any event.
    pub(super) async fn exists(self: &Arc<Self>) -> Result<bool, EraseError> {
        blocking(self, |work| {
            let topic = work.kafka.topics().events(work.subject.info());
            let mut exists = false;
            work.read(&topic, work.partitions(work.subject.info()), &mut |message| {
                exists |= message.key == Some(work.subject.id.as_str().as_bytes());
                Ok(())
            })?;
            Ok(exists)
        })
        .await
    }

    fn survey_type(
        &self,
        kind: &Arc<dyn AggregateType>,
        reader: &RecordReader,
        key: &Marked,
        (found, rows): (&mut Found, &mut Rows),
    ) -> Result<(), EraseError> {
        let (info, names) = (kind.info(), self.kafka.topics());
        let (events, snapshots) = (names.events(info), names.snapshots(info));
        let is_sealed = key.has_sealed();
        let mut about = HashSet::new();
        self.read(&events, self.partitions(info), &mut |message| {
            let value = message.value.unwrap_or_default();
            let event = decoded(kind, reader, message)?;
            let id = &event.meta.aggregate_id;
            if event.meta.sequence == 1 && self.is_about(kind, &event) {
                about.insert(id.clone());
            }
            if !about.contains(id) {
                return Ok(());
            }
            found.events += 1;
            rows.apply(&info.name, &event);
            if is_sealed(value) {
                note(&mut found.sealed, message);
            }
            if count_unsealed(|| kind.event_json(&event.event)) > 0 {
                note(&mut found.in_the_clear, message);
            }
            Ok(())
        })?;
        self.read(&snapshots, self.partitions(info), &mut |message| {
            if is_sealed(message.value.unwrap_or_default()) {
                note(&mut found.sealed, message);
            }
            Ok(())
        })?;
        found.aggregates.insert(info.qualified_name(), about);
        Ok(())
    }

    /// Whether an aggregate is about the person: its first event says it.
    fn is_about(&self, kind: &Arc<dyn AggregateType>, first: &DecodedEvent) -> bool {
        let mut state = kind.initial();
        kind.evolve(&mut state, &first.event);
        kind.subject(&state, &first.meta.aggregate_id).as_ref() == Some(&self.subject.id)
    }

    /// Hands over all that is committed on a topic by now. Kafka may take its time to mark it so, also when it is known to be
    /// decided.
    pub(super) fn read(
        &self,
        topic: &str,
        partitions: i32,
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<(), FollowError> {
        let places: Vec<Place<'_>> = (0..partitions).map(|partition| (topic, partition)).collect();
        let from: HashMap<i32, i64> = (0..)
            .zip(self.settled(&places)?)
            .map(|(partition, (low, _))| (partition, low))
            .collect();
        if !from.is_empty() {
            self.broker.read_to_ends(topic, &from, each)?;
        }
        Ok(())
    }

    /// The ranges of partitions, once all of it can be read.
    pub(super) fn settled(&self, places: &[Place<'_>]) -> Result<Vec<Range>, FollowError> {
        settled_ranges(self.seam(), places, STEP_MAX)
    }
}

pub(super) fn decoded(
    kind: &Arc<dyn AggregateType>,
    reader: &RecordReader,
    message: &Message<'_>,
) -> Result<DecodedEvent, FollowError> {
    let read = reader.event(kind.as_ref(), message.value.unwrap_or_default());
    read.map_err(|source: ReadError| FollowError::Record {
        topic: message.topic.to_owned(),
        partition: message.partition,
        offset: message.offset,
        source,
    })
}

fn note(found: &mut BTreeMap<(String, i32), Vec<i64>>, message: &Message<'_>) {
    let place = (message.topic.to_owned(), message.partition);
    found.entry(place).or_default().push(message.offset);
}
