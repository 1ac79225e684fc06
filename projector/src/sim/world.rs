//! What all of a run share, and the simulated log as the projector has it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use foldline_core::AggregateType;
use foldline_kafka::failpoints::OF_FULL_BATCHES;
use foldline_kafka::{
    EventLogError, Events, LogRecord, Logs, Progress, ResultBatch, ResultRecord, Results, Start,
};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use generator::is_generator;

use super::bugs::Bug;
use super::log::{Fate, Kind, Log, PARTITIONS, Place};
use crate::toy::{Spec, bar, caused};

/// Records that come of a partition at once, at most.
const FETCH_MAX: usize = 4;

/// What the coroutines of a run share.
pub(super) struct Shared {
    pub(super) rng: Rng,
    pub(super) log: Log,
    pub(super) bug: Option<Bug>,
    /// One of them has the database to itself: the others have no turn.
    is_alone: bool,
    pub(super) seen: BTreeMap<&'static str, u64>,
}

#[derive(Clone)]
pub(super) struct World(Arc<Mutex<Shared>>);

thread_local! {
    /// That of the run on this thread of the system.
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Lets others go on between two steps that must not be taken apart.
pub(super) fn point(name: &'static str) {
    // Other tests pass the points too, and have no world.
    let world = CURRENT.with_borrow(Clone::clone);
    if let Some(world) = world.filter(|_| is_generator()) {
        if OF_FULL_BATCHES.contains(&name) {
            world.note("folded on a batch that was not committed");
        }
        world.give();
    }
}

/// What a process is ended with that has no turn to be killed at.
pub(super) struct Killed;

impl World {
    pub(super) fn new(rng: Rng, bug: Option<Bug>) -> Self {
        let world = Self(Arc::new(Mutex::new(Shared {
            rng,
            log: Log::new(),
            bug,
            is_alone: false,
            seen: BTreeMap::new(),
        })));
        CURRENT.set(Some(world.clone()));
        world
    }

    /// Never to be held while a turn is given away.
    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, what: &'static str) {
        *self.shared().seen.entry(what).or_default() += 1;
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.shared().bug == Some(bug)
    }

    /// Once in so many times.
    pub(super) fn once_in(&self, times: u32) -> bool {
        self.shared().rng.u32(0..times) == 0
    }

    /// Lets others go on; who has the database to itself goes on, or is killed now and then.
    pub(super) fn give(&self) {
        if !self.shared().is_alone {
            give();
        } else if self.once_in(12) {
            self.note("killed while it has the database to itself");
            self.shared().is_alone = false;
            std::panic::resume_unwind(Box::new(Killed));
        }
    }

    /// Does something to which nobody else has a turn, because they would wait for the database.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        self.shared().is_alone = true;
        let done = work();
        self.shared().is_alone = false;
        done
    }

    fn open(
        &self,
        start: Start<'_>,
        stable: impl Fn(&Log, Place) -> usize,
    ) -> Result<Positions, EventLogError> {
        let late = i64::from(self.has(Bug::BeginsLate));
        let shared = self.shared();
        let mut positions = Positions::new();
        for place in shared.log.partitions.keys().copied() {
            let (kind, partition) = place;
            let position = start(kind.qualified(), partition);
            let high = i64::try_from(stable(&shared.log, place)).unwrap();
            if !(0..=high).contains(&position) {
                return Err(EventLogError::Truncated {
                    topic: kind.qualified().to_owned(),
                    partition,
                    position,
                    low: 0,
                    high,
                });
            }
            positions.insert(place, usize::try_from((position + late).min(high)).unwrap());
        }
        Ok(positions)
    }
}

#[allow(
    deprecated,
    reason = "the other way needs the coroutine's handle, which code that knows nothing of it cannot pass on"
)]
fn give() {
    if is_generator() {
        generator::yield_with(());
    }
}

type Positions = BTreeMap<Place, usize>;

impl Logs for World {
    fn events<'a>(
        &'a self,
        aggregates: &'a [Arc<dyn AggregateType>],
        start: Start<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Events>, EventLogError>> {
        let opened = self
            .open(start, |log, place| log.events(place).stable())
            .map(|mut positions| {
                let is_read = |kind: Kind| {
                    aggregates
                        .iter()
                        .any(|one| one.info().qualified_name() == kind.qualified())
                };
                positions.retain(|(kind, _), _| is_read(*kind));
                let world = self.clone();
                let ends = positions
                    .keys()
                    .map(|place| (*place, world.shared().log.events(*place).stable()));
                let ends = ends.collect();
                Box::new(SimEvents {
                    world,
                    positions,
                    ends,
                }) as Box<dyn Events>
            });
        ready(opened).boxed()
    }

    fn results<'a>(
        &'a self,
        _: &'a [Arc<dyn AggregateType>],
        start: Start<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Results>, EventLogError>> {
        let opened = self
            .open(start, |log, place| log.results(place).stable())
            .map(|positions| {
                let world = self.clone();
                Box::new(SimResults { world, positions }) as Box<dyn Results>
            });
        ready(opened).boxed()
    }
}

struct SimEvents {
    world: World,
    positions: Positions,
    /// As they were when it was opened.
    ends: Positions,
}

impl Events for SimEvents {
    fn poll(&mut self, max_records: usize, _: Duration) -> Result<Vec<LogRecord>, EventLogError> {
        self.world.give();
        let mut shared = self.world.shared();
        let shared = &mut *shared;
        // Kafka is away, or has nothing just now.
        if shared.rng.u32(0..12) == 0 {
            return Ok(Vec::new());
        }
        let mut places: Vec<Place> = self.positions.keys().copied().collect();
        shared.rng.shuffle(&mut places);
        let mut found = Vec::new();
        for place in places {
            let most = shared.rng.usize(1..=FETCH_MAX).min(max_records - found.len());
            let position = self.positions.get_mut(&place).expect("it is one of them");
            found.extend(fetch(&shared.log, place, position, most, shared.bug));
            if shared.bug == Some(Bug::SwapsRecords) && found.len() > 1 && shared.rng.u32(0..20) == 0 {
                let last = found.len() - 1;
                found.swap(last - 1, last);
            }
            if shared.bug == Some(Bug::DropsRecord) && shared.rng.u32(0..100) == 0 {
                found.pop();
            }
        }
        Ok(found.iter().map(Spec::record).collect())
    }

    fn has_caught_up(&mut self) -> bool {
        self.positions
            .iter()
            .all(|(place, position)| *position >= self.ends[place])
    }

    fn progress(&self) -> Vec<Progress> {
        let of = |(&(kind, partition), &position): (&Place, &usize)| {
            let end = self.world.shared().log.events((kind, partition)).stable();
            let name = kind.qualified().trim_start_matches("bar.");
            Progress {
                aggregate: Arc::clone(bar().aggregate("bar", name).expect("it is installed")),
                partition,
                position: i64::try_from(position).expect("a short log"),
                end: i64::try_from(end.max(position)).expect("a short log"),
            }
        };
        self.positions.iter().map(of).collect()
    }
}

fn fetch(log: &Log, place: Place, position: &mut usize, most: usize, bug: Option<Bug>) -> Vec<Spec> {
    let read = log.events(place);
    let end = match bug {
        Some(Bug::ReadsUncommitted | Bug::ReadsPastOpen) => read.end(),
        _ => read.stable(),
    };
    let is_given = |fate| fate == Fate::Committed || bug == Some(Bug::ReadsUncommitted);
    let mut found = Vec::new();
    for (at, fate, spec) in read.all(*position, end) {
        if found.len() == most {
            return found;
        }
        *position = usize::try_from(at).expect("an offset") + 1;
        if is_given(fate) {
            found.push(spec.clone());
        }
    }
    // Markers at the end count as read.
    *position = end.max(*position);
    found
}

struct SimResults {
    world: World,
    positions: Positions,
}

impl Results for SimResults {
    fn poll(&mut self, _: usize) -> Result<ResultBatch, EventLogError> {
        self.world.give();
        let mut shared = self.world.shared();
        let mut batch = ResultBatch::default();
        for (&place, position) in &mut self.positions {
            let most = shared.rng.usize(0..=FETCH_MAX);
            let read = shared.log.results(place);
            for (at, told) in read.committed(*position, read.stable()).take(most) {
                *position = usize::try_from(at).expect("an offset") + 1;
                batch.seen += 1;
                batch
                    .next
                    .insert((place.0.qualified().to_owned(), place.1), at + 1);
                if told.tells {
                    batch.results.push(ResultRecord {
                        aggregate: place.0.qualified().to_owned(),
                        partition: place.1,
                        offset: at,
                        result: caused(&told.id, at),
                    });
                }
            }
        }
        Ok(batch)
    }
}

/// A partition has as many results as it has events, so that both are asked for alike.
pub(super) fn places() -> impl Iterator<Item = Place> {
    Kind::ALL
        .into_iter()
        .flat_map(|kind| (0..PARTITIONS).map(move |number| (kind, number)))
}

/// Checkpoints by place.
pub(super) fn by_place(
    positions: impl IntoIterator<Item = (foldline_views::CheckpointKey, foldline_views::Position)>,
) -> HashMap<Place, usize> {
    let place = |key: &foldline_views::CheckpointKey| {
        places().find(|(kind, number)| kind.qualified() == key.aggregate && *number == key.partition)
    };
    positions
        .into_iter()
        .filter_map(|(key, position)| Some((place(&key)?, usize::try_from(position.next_offset).ok()?)))
        .collect()
}
