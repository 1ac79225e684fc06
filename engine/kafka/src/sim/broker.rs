//! The simulated cluster, as a process sees it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::bugs::Bug;
use super::cluster::{Cluster, Header, Place, Stored};
use super::member::SimMember;
use super::world::{LOOK_MAX, Turn, World};
use crate::broker::{
    self, AppendError, Appender, Broker, Headers, Isolation, Member, Message, Reader, Seat, Watermarks,
};
use crate::follower::{FollowError, kafka_error};

/// The topic of keys of the only domain.
pub(super) const KEYS: &str = "restaurant.keys";
/// Records that a reader is given at once, at most.
const FETCH_MAX: usize = 6;

#[derive(Clone)]
pub(super) struct SimBroker {
    pub(super) world: World,
}

impl Broker for SimBroker {
    fn join(&self, seat: Seat<'_>) -> Result<Box<dyn Member>, KafkaError> {
        Ok(Box::new(SimMember::join(&self.world, seat)?))
    }

    fn appender(&self) -> Result<Box<dyn Appender>, KafkaError> {
        Ok(Box::new(self.clone()))
    }

    fn follow(&self, from: &[(broker::Place<'_>, i64)]) -> Result<Box<dyn Reader>, FollowError> {
        World::give(Turn::Next);
        let owned = |((topic, partition), offset): &(broker::Place<'_>, i64)| {
            (((*topic).to_owned(), *partition), *offset)
        };
        Ok(Box::new(SimReader {
            world: self.world.clone(),
            positions: from.iter().map(owned).collect(),
        }))
    }

    fn read_to_ends(
        &self,
        topic: &str,
        from: &HashMap<i32, i64>,
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<HashMap<i32, i64>, FollowError> {
        let mut ends = from.clone();
        let sorted: BTreeMap<i32, i64> = from.iter().map(|(partition, from)| (*partition, *from)).collect();
        for (partition, from) in sorted {
            let end = self.read((topic, partition), (from, i64::MAX), each)?;
            ends.insert(partition, end);
        }
        Ok(ends)
    }

    fn read_range(
        &self,
        place: broker::Place<'_>,
        range: (i64, i64),
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<(), FollowError> {
        let end = visible_end(&self.world.cluster(), &(place.0.to_owned(), place.1));
        if end < range.1 {
            return Err(FollowError::Unsettled {
                topic: place.0.to_owned(),
            });
        }
        self.read(place, range, each).map(|_| ())
    }

    fn watermarks(&self, isolation: Isolation) -> Result<Box<dyn Watermarks>, FollowError> {
        Ok(Box::new(SimWatermarks {
            world: self.world.clone(),
            isolation,
        }))
    }
}

impl SimBroker {
    /// Returns where it ended.
    fn read(
        &self,
        (topic, partition): broker::Place<'_>,
        (from, to): (i64, i64),
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<i64, FollowError> {
        World::give(Turn::Next);
        let place = (topic.to_owned(), partition);
        let found: Vec<(i64, Arc<Stored>)>;
        let end;
        {
            let mut cluster = self.world.cluster();
            if cluster.fails(80) {
                return Err(kafka_error(topic, away()));
            }
            if (cluster.has(Bug::FoldsNothing) && topic != KEYS)
                || (cluster.has(Bug::FoldsNoResults) && topic.ends_with(".results"))
            {
                return Ok(from);
            }
            end = to.min(visible_end(&cluster, &place)).max(from);
            found = cluster.read(&place, from, end).collect();
        }
        for (offset, stored) in found {
            each(&stored.as_message(&place, offset))?;
        }
        Ok(end)
    }
}

/// The end of what a reader of committed records is given.
pub(super) fn visible_end(cluster: &Cluster, place: &Place) -> i64 {
    cluster.end(
        place,
        if cluster.has(Bug::ReadsUncommitted) {
            Isolation::ReadUncommitted
        } else {
            Isolation::ReadCommitted
        },
    )
}

pub(super) fn away() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure)
}

impl Appender for SimBroker {
    fn append<'a>(
        &'a self,
        (topic, partition): broker::Place<'a>,
        key: &'a str,
        value: &'a [u8],
        headers: krafka::Headers,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        World::give(Turn::Next);
        let lost = || {
            let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
            ready(Err(AppendError::from(error)))
        };
        let mut cluster = self.world.cluster();
        if cluster.fails(60) {
            return lost().boxed();
        }
        let stored = Stored {
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.to_vec()),
            headers: owned(headers),
        };
        cluster.append(&(topic.to_owned(), partition), stored, None);
        if cluster.fails(60) {
            return lost().boxed();
        }
        ready(Ok(())).boxed()
    }

    fn is_there(&self, _: Option<&str>, _: Duration) -> bool {
        true
    }
}

pub(super) fn owned(headers: krafka::Headers) -> Vec<Header> {
    let headers = headers.into_iter();
    headers.map(|(key, value)| (key, value.map(Vec::from))).collect()
}

impl Headers for Stored {
    fn each(&self, take: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (key, value) in &self.headers {
            take(key, value.as_deref());
        }
    }
}

impl Stored {
    pub(super) fn as_message<'a>(&'a self, (topic, partition): &'a Place, offset: i64) -> Message<'a> {
        Message {
            topic,
            partition: *partition,
            offset,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self,
        }
    }
}

struct SimReader {
    world: World,
    positions: BTreeMap<Place, i64>,
}

impl Reader for SimReader {
    /// Who looks for a moment holds a lock meanwhile, and looks again by itself: for that it does not wait.
    fn take(
        &mut self,
        at_most: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), KafkaError> {
        let look = |cluster: &mut Cluster| match cluster.fails(400) {
            true => Err(away()),
            false => Ok(fetch(cluster, self.positions.iter())),
        };
        let found = if at_most < LOOK_MAX {
            look(&mut self.world.cluster())?
        } else {
            let found = self.world.retried(at_most, |cluster| match look(cluster) {
                Ok(found) if found.is_empty() => None,
                found => Some(found),
            });
            found.unwrap_or(Ok(Vec::new()))?
        };
        hand_over(found, &mut self.positions, each);
        Ok(())
    }
}

/// What is there of some partitions, in any order of them.
pub(super) fn fetch<'a>(
    cluster: &mut Cluster,
    positions: impl Iterator<Item = (&'a Place, &'a i64)>,
) -> Vec<(Place, i64, Arc<Stored>)> {
    let mut places: Vec<(&Place, i64)> = positions
        .map(|(place, from)| (place, *from))
        .filter(|(place, from)| *from < visible_end(cluster, place))
        .filter(|(place, _)| !(cluster.has(Bug::HearsOfNoKeys) && place.0 == KEYS))
        .collect();
    cluster.rng.shuffle(&mut places);
    let mut found = Vec::new();
    for (place, from) in places {
        let most = cluster.rng.usize(1..=FETCH_MAX);
        let records = cluster.read(place, from, visible_end(cluster, place)).take(most);
        found.extend(records.map(|(offset, stored)| (place.clone(), offset, stored)));
    }
    found
}

pub(super) fn hand_over(
    found: Vec<(Place, i64, Arc<Stored>)>,
    positions: &mut BTreeMap<Place, i64>,
    each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
) {
    for (place, offset, stored) in found {
        let is_last = each(&stored.as_message(&place, offset)).is_break();
        positions.insert(place, offset + 1);
        if is_last {
            break;
        }
    }
}

struct SimWatermarks {
    world: World,
    isolation: Isolation,
}

impl Watermarks for SimWatermarks {
    fn lows(&self, places: &[broker::Place<'_>]) -> Result<Vec<i64>, FollowError> {
        World::give(Turn::Next);
        Ok(vec![0; places.len()])
    }

    fn highs(&self, places: &[broker::Place<'_>]) -> Result<Vec<i64>, FollowError> {
        World::give(Turn::Next);
        let mut cluster = self.world.cluster();
        if cluster.fails(80) {
            return Err(kafka_error("the log", away()));
        }
        let isolation = match cluster.has(Bug::WaitsForNoTransaction) {
            true => Isolation::ReadUncommitted,
            false => self.isolation,
        };
        let end = |(topic, partition): &broker::Place<'_>| {
            cluster.end(&((*topic).to_owned(), *partition), isolation)
        };
        Ok(places.iter().map(end).collect())
    }
}
