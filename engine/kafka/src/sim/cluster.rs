//! A cluster in memory: partitions, transactions, producers' epochs, consumer groups. What happens later (markers, a
//! request that is held up, a timeout) is a timer, which the scheduler lets go off.
//!
//! It follows the first version of Kafka's transaction protocol, as a cluster has it whose `transaction.version` is 1: an EndTxn
//! names a producer and its epoch, not a transaction, so one that comes late ends whichever is open (KAFKA-17754). A member
//! does there what its client does: after an EndTxn that had no answer it takes a new epoch first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::bugs::Bug;
use super::group::Group;
use crate::broker::Isolation;

/// As in `producer.rs`.
const TRANSACTION_MAX: Duration = Duration::from_secs(10);

/// A partition of a topic.
pub(super) type Place = (String, i32);
pub(super) type TransactionId = usize;
pub(super) type Header = (String, Option<Vec<u8>>);

/// A record that was appended.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
}

#[derive(Debug)]
enum Entry {
    Record(Option<TransactionId>, Arc<Stored>),
    /// It takes an offset, and is handed to nobody.
    Marker,
}

#[derive(Debug, Default)]
struct Partition {
    entries: Vec<Entry>,
    /// Transactions without a marker here, by the offset of their first record.
    open: BTreeMap<i64, TransactionId>,
}

impl Partition {
    fn end(&self, isolation: Isolation) -> i64 {
        let high = self.entries.len() as i64;
        match isolation {
            Isolation::ReadUncommitted => high,
            Isolation::ReadCommitted => self.open.keys().next().copied().unwrap_or(high),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ongoing,
    /// Decided; so many markers are still to be written.
    Ending {
        commit: bool,
        markers: usize,
    },
    Ended {
        commit: bool,
    },
}

#[derive(Debug)]
struct Transaction {
    state: State,
    producer: String,
    begun_at: Duration,
    /// Which it was of those that were committed.
    committed: Option<usize>,
    places: BTreeSet<Place>,
    group: Option<String>,
}

/// A committed record, and how it came to be.
pub(super) struct Committed {
    pub(super) stored: Arc<Stored>,
    /// In which commit it came; `None` if it was appended by itself.
    pub(super) commit: Option<usize>,
    /// By whom, in a transaction that was begun when.
    pub(super) by: Option<(String, Duration)>,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    /// The transaction that is not ended.
    current: Option<TransactionId>,
}

/// What happens later.
#[derive(Debug, Clone)]
pub(super) enum Timer {
    /// A marker is written; `None` for that in the group's offsets.
    Marker(TransactionId, Option<Place>),
    /// A request to end a transaction arrives that was held up.
    LateEnd {
        producer: String,
        epoch: u32,
        commit: bool,
    },
    /// The coordinator gives a transaction up.
    Timeout(TransactionId),
}

/// The producer has a newer epoch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fenced;

pub(super) struct Cluster {
    pub(super) rng: Rng,
    /// Since the beginning of the run.
    pub(super) now: Duration,
    /// Rises when anything changes that somebody may wait for.
    pub(super) version: u64,
    /// Whether anything fails. Off when it is to come to rest.
    pub(super) is_rough: bool,
    pub(super) bug: Option<Bug>,
    pub(super) groups: BTreeMap<String, Group>,
    /// What came to pass, for the floor below which a run proves nothing.
    pub(super) seen: BTreeMap<&'static str, u64>,
    partitions: BTreeMap<Place, Partition>,
    producers: BTreeMap<String, Producer>,
    transactions: Vec<Transaction>,
    timers: BTreeMap<(Duration, u64), Timer>,
    /// Requests to end a transaction, by producer and epoch, that arrive in a later one.
    held: Vec<(String, u32, bool)>,
    timers_set: u64,
    commits: usize,
}

impl Cluster {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            now: Duration::ZERO,
            version: 0,
            is_rough: true,
            bug,
            groups: BTreeMap::new(),
            seen: BTreeMap::new(),
            partitions: BTreeMap::new(),
            producers: BTreeMap::new(),
            transactions: Vec::new(),
            timers: BTreeMap::new(),
            held: Vec::new(),
            timers_set: 0,
            commits: 0,
        }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Whether something fails that does so once in so many times.
    pub(super) fn fails(&mut self, one_in: u32) -> bool {
        self.is_rough && self.rng.u32(0..one_in) == 0
    }

    /// One of two, as the seed will have it.
    pub(super) fn flips(&mut self) -> bool {
        self.rng.bool()
    }

    /// A time as a network takes it: mostly short, at times very long.
    fn delay(&mut self) -> Duration {
        let most = match self.rng.u32(0..if self.is_rough { 40 } else { 10 }) {
            0..=29 => 3,
            30..=35 => 300,
            _ => 4_000,
        };
        Duration::from_millis(self.rng.u64(0..=most))
    }

    // Partitions.

    pub(super) fn end(&self, place: &Place, isolation: Isolation) -> i64 {
        self.partitions
            .get(place)
            .map_or(0, |partition| partition.end(isolation))
    }

    /// The records at these offsets; without those that are aborted.
    pub(super) fn read(
        &self,
        place: &Place,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, Arc<Stored>)> + '_ {
        let entries = self.partitions.get(place).map_or(&[][..], |found| &found.entries);
        let is_there = |transaction: &Option<TransactionId>| match transaction {
            None => true,
            Some(id) => match self.transactions[*id].state {
                State::Ended { commit } | State::Ending { commit, .. } => commit,
                State::Ongoing => self.has(Bug::ReadsUncommitted),
            },
        };
        (0..)
            .zip(entries)
            .skip(usize::try_from(from).unwrap_or_default())
            .take_while(move |(offset, _)| *offset < to)
            .filter_map(move |(offset, entry)| match entry {
                Entry::Record(transaction, stored) if is_there(transaction) => {
                    Some((offset, Arc::clone(stored)))
                }
                _ => None,
            })
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.partitions.keys()
    }

    /// All records that are committed, and how they came to be.
    pub(super) fn committed<'a>(&'a self, place: &Place) -> impl Iterator<Item = Committed> + 'a {
        let entries = self.partitions.get(place).map_or(&[][..], |found| &found.entries);
        entries.iter().filter_map(|entry| {
            let Entry::Record(transaction, stored) = entry else {
                return None;
            };
            let transaction = transaction.map(|id| &self.transactions[id]);
            if transaction.is_some_and(|transaction| transaction.committed.is_none()) {
                return None;
            }
            Some(Committed {
                stored: Arc::clone(stored),
                commit: transaction.and_then(|transaction| transaction.committed),
                by: transaction.map(|transaction| (transaction.producer.clone(), transaction.begun_at)),
            })
        })
    }

    pub(super) fn append(
        &mut self,
        place: &Place,
        stored: Stored,
        transaction: Option<TransactionId>,
    ) -> i64 {
        let partition = self.partitions.entry(place.clone()).or_default();
        let offset = partition.entries.len() as i64;
        partition
            .entries
            .push(Entry::Record(transaction, Arc::new(stored)));
        if let Some(id) = transaction
            && self.transactions[id].places.insert(place.clone())
        {
            partition.open.insert(offset, id);
        }
        if let Some(id) = transaction {
            self.let_go(id);
        }
        self.version += 1;
        offset
    }

    // Producers and their transactions.

    /// One try to begin anew under this id; `None` while an earlier transaction is being settled.
    pub(super) fn init_producer(&mut self, id: &str) -> Option<u32> {
        let producer = self.producers.entry(id.to_owned()).or_default();
        match producer.current {
            None => {
                producer.epoch += 1;
                Some(producer.epoch)
            }
            Some(transaction) => {
                if self.transactions[transaction].state == State::Ongoing {
                    producer.epoch += 1;
                    self.decide(transaction, false);
                }
                None
            }
        }
    }

    /// One try to begin a transaction; `None` while the last one's markers are written.
    pub(super) fn begin(&mut self, id: &str, epoch: u32) -> Result<Option<TransactionId>, Fenced> {
        let transaction = self.transactions.len();
        let producer = self.producers.entry(id.to_owned()).or_default();
        if producer.epoch != epoch {
            return Err(Fenced);
        }
        if producer.current.is_some() {
            return Ok(None);
        }
        producer.current = Some(transaction);
        self.transactions.push(Transaction {
            state: State::Ongoing,
            producer: id.to_owned(),
            begun_at: self.now,
            committed: None,
            places: BTreeSet::new(),
            group: None,
        });
        let at = self.now + TRANSACTION_MAX;
        self.set(at, Timer::Timeout(transaction));
        Ok(Some(transaction))
    }

    /// What the producer has open, which need not be what it thinks.
    pub(super) fn open(&mut self, id: &str, epoch: u32) -> Result<Option<TransactionId>, Fenced> {
        let producer = self.producers.entry(id.to_owned()).or_default();
        if producer.epoch != epoch {
            return Err(Fenced);
        }
        let is_ongoing = |id: &TransactionId| self.transactions[*id].state == State::Ongoing;
        Ok(producer.current.filter(is_ongoing))
    }

    pub(super) fn add_group(&mut self, transaction: TransactionId, group: &str) {
        self.transactions[transaction].group = Some(group.to_owned());
    }

    /// Ends whatever is open of the producer. Once more the same is no error.
    pub(super) fn end_transaction(&mut self, id: &str, epoch: u32, commit: bool) -> Result<(), Fenced> {
        if let Some(transaction) = self.open(id, epoch)? {
            self.decide(transaction, commit);
        }
        Ok(())
    }

    /// A request to end it that is held up: for a time, or until it does most harm.
    pub(super) fn end_transaction_late(&mut self, id: &str, epoch: u32, commit: bool) {
        if self.rng.bool() {
            self.held.push((id.to_owned(), epoch, commit));
            return;
        }
        let wait = Duration::from_millis(self.rng.u64(1..=2_000));
        let late = Timer::LateEnd {
            producer: id.to_owned(),
            epoch,
            commit,
        };
        self.set(self.now + wait, late);
    }

    pub(super) fn is_committed(&self, transaction: TransactionId) -> bool {
        matches!(
            self.transactions[transaction].state,
            State::Ended { commit: true } | State::Ending { commit: true, .. }
        )
    }

    fn decide(&mut self, id: TransactionId, commit: bool) {
        self.version += 1;
        if commit {
            self.commits += 1;
            self.transactions[id].committed = Some(self.commits);
        }
        let transaction = &self.transactions[id];
        let group = transaction.group.iter().map(|_| None);
        let targets: Vec<Option<Place>> = transaction
            .places
            .iter()
            .cloned()
            .map(Some)
            .chain(group)
            .collect();
        let markers = targets.len();
        self.transactions[id].state = State::Ending { commit, markers };
        if targets.is_empty() {
            self.ended(id, commit);
        }
        for target in targets {
            let at = self.now + self.delay();
            self.set(at, Timer::Marker(id, target));
        }
    }

    fn ended(&mut self, id: TransactionId, commit: bool) {
        let transaction = &mut self.transactions[id];
        transaction.state = State::Ended { commit };
        let producer = self.producers.entry(transaction.producer.clone()).or_default();
        producer.current.take_if(|current| *current == id);
    }

    // Timers.

    fn set(&mut self, at: Duration, timer: Timer) {
        self.timers_set += 1;
        self.timers.insert((at, self.timers_set), timer);
    }

    pub(super) fn next_timer(&self) -> Option<Duration> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// Lets go off what is due.
    pub(super) fn pass(&mut self) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Timer::Marker(id, target) => self.write_marker(id, target),
                Timer::LateEnd {
                    producer,
                    epoch,
                    commit,
                } => self.arrive(&producer, epoch, commit),
                Timer::Timeout(id) => self.time_out(id),
            }
        }
    }

    fn arrive(&mut self, producer: &str, epoch: u32, commit: bool) {
        match self.end_transaction(producer, epoch, commit) {
            Ok(()) => self.note("late EndTxn taken"),
            Err(Fenced) => self.note("late EndTxn refused"),
        }
    }

    /// What was held up of this producer arrives when a later transaction of it has some of its records.
    fn let_go(&mut self, transaction: TransactionId) {
        let producer = &self.transactions[transaction].producer;
        let held = self.held.iter().position(|(held, ..)| held == producer);
        if let Some(held) = held
            && self.rng.bool()
        {
            let (producer, epoch, commit) = self.held.swap_remove(held);
            self.arrive(&producer, epoch, commit);
        }
    }

    fn write_marker(&mut self, id: TransactionId, target: Option<Place>) {
        self.version += 1;
        let State::Ending { commit, markers } = self.transactions[id].state else {
            return;
        };
        match target {
            Some(place) => {
                let partition = self.partitions.entry(place).or_default();
                partition.entries.push(Entry::Marker);
                partition.open.retain(|_, open| *open != id);
            }
            None => {
                let Transaction { group, producer, .. } = &self.transactions[id];
                let group = group.as_ref().and_then(|name| self.groups.get_mut(name));
                group
                    .into_iter()
                    .for_each(|group| group.settle(id, producer, commit));
            }
        }
        match markers {
            1 => self.ended(id, commit),
            _ => {
                self.transactions[id].state = State::Ending {
                    commit,
                    markers: markers - 1,
                }
            }
        }
    }

    fn time_out(&mut self, id: TransactionId) {
        if self.transactions[id].state != State::Ongoing {
            return;
        }
        let name = self.transactions[id].producer.clone();
        if let Some(producer) = self.producers.get_mut(&name) {
            producer.epoch += 1;
        }
        self.note("transaction timed out");
        self.decide(id, false);
    }
}
