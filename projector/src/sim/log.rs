//! The simulated log: events and results in partitions, written in transactions of which some are aborted and some end
//! late. Markers take a place, as they do in Kafka.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::toy::{Entry, GuestEvent, Spec, TabEvent};

/// Partitions of each topic.
pub(super) const PARTITIONS: i32 = 2;
/// By partition, the aggregates whose events lie there.
const TABS: [[&str; 2]; 2] = [["b", "d"], ["a", "c"]];
const GUESTS: [[&str; 2]; 2] = [["bob", "dan"], ["ada", "cleo"]];

/// An aggregate type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Tabs,
    Guests,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Tabs, Self::Guests];

    pub(super) fn qualified(self) -> &'static str {
        match self {
            Self::Tabs => "bar.tabs",
            Self::Guests => "bar.guests",
        }
    }
}

/// A partition of an aggregate type: of its events and its results alike.
pub(super) type Place = (Kind, i32);

/// Both logs of a partition.
#[derive(Default)]
pub(super) struct Partition {
    pub(super) events: Vec<Slot<Spec>>,
    pub(super) results: Vec<Slot<Told>>,
    /// The transaction that is open, and the sequences that it would leave.
    open: Option<(u64, BTreeMap<String, i64>)>,
    sequences: BTreeMap<String, i64>,
}

/// A place in a log.
pub(super) struct Slot<T> {
    pub(super) transaction: u64,
    /// `None` is a marker.
    pub(super) record: Option<T>,
}

/// A result: of whom, and whether it tells what no event does.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) tells: bool,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    Aborted,
}

/// All of it.
#[derive(Default)]
pub(super) struct Log {
    pub(super) partitions: BTreeMap<Place, Partition>,
    fates: BTreeMap<u64, Fate>,
    amounts: i64,
}

/// A log of one partition, read.
pub(super) struct Read<'a, T> {
    slots: &'a [Slot<T>],
    fates: &'a BTreeMap<u64, Fate>,
}

impl<T> Read<'_, T> {
    /// The end of what is settled.
    pub(super) fn stable(&self) -> usize {
        let open = |slot: &Slot<T>| self.fates[&slot.transaction] == Fate::Open;
        self.slots.iter().position(open).unwrap_or(self.slots.len())
    }

    /// The end of all there is.
    pub(super) fn end(&self) -> usize {
        self.slots.len()
    }

    /// The records from an offset on, up to another one; those of aborted transactions are passed over.
    pub(super) fn committed(&self, from: usize, to: usize) -> impl Iterator<Item = (i64, &T)> {
        self.all(from, to)
            .filter(|(_, fate, _)| *fate == Fate::Committed)
            .map(|(at, _, record)| (at, record))
    }

    pub(super) fn all(&self, from: usize, to: usize) -> impl Iterator<Item = (i64, Fate, &T)> {
        let slots = self.slots.iter().enumerate().take(to).skip(from);
        slots.filter_map(|(at, slot)| {
            let at = i64::try_from(at).unwrap();
            Some((at, self.fates[&slot.transaction], slot.record.as_ref()?))
        })
    }
}

impl Log {
    pub(super) fn new() -> Self {
        let partitions = Kind::ALL
            .into_iter()
            .flat_map(|kind| (0..PARTITIONS).map(move |number| (kind, number)));
        Self {
            partitions: partitions.map(|place| (place, Partition::default())).collect(),
            ..Self::default()
        }
    }

    pub(super) fn events(&self, place: Place) -> Read<'_, Spec> {
        Read {
            slots: &self.partitions[&place].events,
            fates: &self.fates,
        }
    }

    pub(super) fn results(&self, place: Place) -> Read<'_, Told> {
        Read {
            slots: &self.partitions[&place].results,
            fates: &self.fates,
        }
    }

    /// A writer takes a step in some partition: it begins a transaction, adds to it, or ends it one way or the other.
    pub(super) fn write(&mut self, rng: &mut Rng) {
        let kind = Kind::ALL[rng.usize(0..2)];
        let place = (kind, rng.i32(0..PARTITIONS));
        match self.partitions[&place].open.is_some() {
            true if rng.u32(0..3) == 0 => {
                let fate = [Fate::Committed, Fate::Committed, Fate::Aborted][rng.usize(0..3)];
                self.end(place, fate);
            }
            // Most end at once, as they do; some are left open for a while.
            true => self.add(place, rng),
            false => {
                self.begin(place);
                (0..rng.u32(1..4)).for_each(|_| self.add(place, rng));
                if rng.u32(0..3) > 0 {
                    self.end(
                        place,
                        if rng.u32(0..5) == 0 {
                            Fate::Aborted
                        } else {
                            Fate::Committed
                        },
                    );
                }
            }
        }
    }

    /// Ends whatever is open.
    pub(super) fn settle(&mut self, rng: &mut Rng) {
        let places: Vec<Place> = self.partitions.keys().copied().collect();
        for place in places {
            if self.partitions[&place].open.is_some() {
                self.end(
                    place,
                    if rng.bool() {
                        Fate::Aborted
                    } else {
                        Fate::Committed
                    },
                );
            }
        }
    }

    fn begin(&mut self, place: Place) {
        let number = u64::try_from(self.fates.len()).unwrap();
        self.fates.insert(number, Fate::Open);
        let partition = self.partitions.get_mut(&place).unwrap();
        partition.open = Some((number, partition.sequences.clone()));
    }

    fn add(&mut self, (kind, number): Place, rng: &mut Rng) {
        let id = ids(kind, number)[rng.usize(0..2)];
        self.amounts += 1;
        let entry = match kind {
            Kind::Tabs => Entry::Tab(tab_event(self.amounts, rng)),
            Kind::Guests => Entry::Guest(GuestEvent::Named {
                name: format!("{id}-{}", self.amounts),
            }),
        };
        let partition = self.partitions.get_mut(&(kind, number)).unwrap();
        let (transaction, sequences) = partition.open.as_mut().unwrap();
        let sequence = sequences.entry(id.to_owned()).or_default();
        *sequence += 1;
        let spec = Spec {
            key: Some(id.parse().unwrap()),
            entry,
            sequence: *sequence,
            partition: number,
            offset: i64::try_from(partition.events.len()).unwrap(),
        };
        let told = Told {
            id: id.to_owned(),
            tells: rng.bool(),
        };
        let transaction = *transaction;
        partition.events.push(Slot {
            transaction,
            record: Some(spec),
        });
        partition.results.push(Slot {
            transaction,
            record: Some(told),
        });
    }

    fn end(&mut self, place: Place, fate: Fate) {
        let partition = self.partitions.get_mut(&place).unwrap();
        let (transaction, sequences) = partition.open.take().unwrap();
        if fate == Fate::Committed {
            partition.sequences = sequences;
        }
        partition.events.push(Slot {
            transaction,
            record: None,
        });
        partition.results.push(Slot {
            transaction,
            record: None,
        });
        self.fates.insert(transaction, fate);
    }
}

fn tab_event(amount: i64, rng: &mut Rng) -> TabEvent {
    match rng.u32(0..8) {
        0 => TabEvent::TabOpened {},
        1 => TabEvent::TabClosed {},
        _ => {
            let mut guests: Vec<String> = GUESTS
                .as_flattened()
                .iter()
                .map(|guest| (*guest).to_owned())
                .collect();
            rng.shuffle(&mut guests);
            guests.truncate(rng.usize(0..3));
            TabEvent::Spent {
                guests,
                // Not the amount at which the views of the toy panic.
                amount: amount + 100,
            }
        }
    }
}

/// The aggregates of a place.
pub(super) fn ids(kind: Kind, partition: i32) -> [&'static str; 2] {
    let ids = match kind {
        Kind::Tabs => TABS,
        Kind::Guests => GUESTS,
    };
    ids[usize::try_from(partition).unwrap()]
}
