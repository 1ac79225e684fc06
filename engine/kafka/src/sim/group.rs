//! A consumer group: static members, cooperative rebalancing, offsets that are part of transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

use super::cluster::{Place, TransactionId};

/// As in `broker/member.rs`.
const SESSION_MAX: Duration = Duration::from_secs(6);

/// Who a member was when it asked to commit: a newer generation, or another one under its name, refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) generation: u64,
    pub(super) incarnation: u64,
}

#[derive(Debug)]
pub(super) struct Seated {
    /// Rises with each that joins under the name.
    incarnation: u64,
    topics: BTreeSet<String>,
    /// When its process fell silent; `None` while it is awake.
    silent_since: Option<Duration>,
    owned: BTreeSet<Place>,
    /// What it will hear when it polls next.
    assigned: BTreeSet<Place>,
    revoked: BTreeSet<Place>,
}

/// What a member hears of the group when it polls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// These came, and these went.
    Changes(BTreeSet<Place>, BTreeSet<Place>),
    /// It was silent for too long, has lost all, and must join anew.
    Evicted,
    /// Another has its name.
    Replaced,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    generation: u64,
    members: BTreeMap<String, Seated>,
    incarnations: u64,
    /// A rebalance waits for those that are silent.
    is_due: bool,
    /// It may move partitions, and not only give out what is free.
    moves: bool,
    offsets: BTreeMap<Place, i64>,
    /// Who has committed them.
    writers: BTreeMap<Place, String>,
    /// Offsets in open transactions.
    pending: BTreeMap<TransactionId, BTreeMap<Place, i64>>,
}

impl Group {
    /// Joins under a name. Who takes up its own name again has the partitions that it had, without a rebalance.
    pub(super) fn join(&mut self, name: &str, topics: BTreeSet<String>) -> u64 {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        if let Some(seated) = self.members.get_mut(name) {
            seated.incarnation = incarnation;
            seated.silent_since = None;
            seated.revoked.clear();
            seated.assigned = seated.owned.clone();
        } else {
            let seated = Seated {
                incarnation,
                topics,
                silent_since: None,
                owned: BTreeSet::new(),
                assigned: BTreeSet::new(),
                revoked: BTreeSet::new(),
            };
            self.members.insert(name.to_owned(), seated);
            self.ask_for_rebalance();
        }
        incarnation
    }

    pub(super) fn ask_for_rebalance(&mut self) {
        (self.is_due, self.moves) = (true, true);
    }

    pub(super) fn hear(&mut self, name: &str, incarnation: u64) -> Heard {
        let Some(seated) = self.members.get_mut(name) else {
            return Heard::Evicted;
        };
        if seated.incarnation != incarnation {
            return Heard::Replaced;
        }
        let revoked = std::mem::take(&mut seated.revoked);
        let assigned = std::mem::take(&mut seated.assigned);
        if !revoked.is_empty() {
            seated.owned.retain(|place| !revoked.contains(place));
            // They can be given to another now.
            self.is_due = true;
        }
        Heard::Changes(assigned, revoked)
    }

    pub(super) fn generation(&self, incarnation: u64) -> Generation {
        Generation {
            generation: self.generation,
            incarnation,
        }
    }

    pub(super) fn accepts(&self, name: &str, of: Generation) -> bool {
        of.generation == self.generation
            && self
                .members
                .get(name)
                .is_some_and(|seated| seated.incarnation == of.incarnation)
    }

    /// A process fell silent, or woke up.
    pub(super) fn hears(&mut self, name: &str, silent_since: Option<Duration>) {
        if let Some(seated) = self.members.get_mut(name) {
            seated.silent_since = silent_since;
        }
    }

    /// A member is no more, and does not say so: it is silent from now on, if it was not before.
    pub(super) fn falls_silent(&mut self, name: &str, incarnation: u64, now: Duration) {
        let seated = self.members.get_mut(name);
        if let Some(seated) = seated.filter(|seated| seated.incarnation == incarnation) {
            seated.silent_since.get_or_insert(now);
        }
    }

    /// When somebody will have been silent for too long.
    pub(super) fn next_eviction(&self) -> Option<Duration> {
        let since = self.members.values().filter_map(|seated| seated.silent_since);
        since.min().map(|since| since + SESSION_MAX)
    }

    /// Lets go who was silent for too long, and rebalances when all that are left can take part. Returns how many were
    /// let go, if anything changed.
    pub(super) fn pass(
        &mut self,
        now: Duration,
        partitions: &BTreeMap<String, i32>,
        rng: &mut Rng,
    ) -> Option<usize> {
        let before = self.members.len();
        self.members
            .retain(|_, seated| seated.silent_since.is_none_or(|since| now < since + SESSION_MAX));
        let gone = before - self.members.len();
        if gone > 0 {
            self.ask_for_rebalance();
        }
        if !self.is_due || self.members.values().any(|seated| seated.silent_since.is_some()) {
            return (gone > 0).then_some(gone);
        }
        self.is_due = false;
        self.rebalance(partitions, rng);
        Some(gone)
    }

    /// Gives each partition to somebody.
    fn rebalance(&mut self, partitions: &BTreeMap<String, i32>, rng: &mut Rng) {
        self.generation += 1;
        let moves = std::mem::take(&mut self.moves);
        for (topic, count) in partitions {
            let takers = self.members.iter();
            let takers = takers.filter(|(_, seated)| seated.topics.contains(topic));
            let takers: Vec<String> = takers.map(|(name, _)| name.clone()).collect();
            if takers.is_empty() {
                continue;
            }
            let places: Vec<Place> = (0..*count).map(|partition| (topic.clone(), partition)).collect();
            let mut targets: Vec<String> = Vec::new();
            for place in &places {
                // Any assignment will do; Kafka's own seldom moves one.
                let kept = self.owner(place).filter(|_| !moves || rng.bool());
                targets.push(kept.unwrap_or_else(|| takers[rng.usize(0..takers.len())].clone()));
            }
            for taker in &takers {
                // But nobody goes without, if there is one to be had.
                let is_to_be_had = |index: &usize| {
                    let target = &targets[*index];
                    let count = targets.iter().filter(|other| *other == target).count();
                    count > 1 && (moves || self.owner(&places[*index]).is_none())
                };
                if !targets.contains(taker)
                    && let Some(index) = (0..places.len()).find(is_to_be_had)
                {
                    targets[index].clone_from(taker);
                }
            }
            for (place, target) in places.into_iter().zip(targets) {
                self.give(place, &target);
            }
        }
    }

    fn owner(&self, place: &Place) -> Option<String> {
        let mut members = self.members.iter();
        let owner = members.find(|(_, seated)| seated.owned.contains(place));
        owner.map(|(name, _)| name.clone())
    }

    /// Gives a partition to a member; if another one has it, that one is told to let go of it first.
    fn give(&mut self, place: Place, target: &str) {
        let owner = self.owner(&place);
        if owner.as_deref() == Some(target) {
            return;
        }
        let is_free = owner.is_none();
        let Some(seated) = self.members.get_mut(owner.as_deref().unwrap_or(target)) else {
            return;
        };
        if is_free {
            seated.owned.insert(place.clone());
            seated.assigned.insert(place);
        } else {
            seated.assigned.remove(&place);
            seated.revoked.insert(place);
        }
    }

    // Offsets.

    pub(super) fn committed(&self, place: &Place) -> Option<i64> {
        self.offsets.get(place).copied()
    }

    /// Whether an open transaction has an offset of it.
    pub(super) fn is_unstable(&self, place: &Place) -> bool {
        self.pending.values().any(|offsets| offsets.contains_key(place))
    }

    pub(super) fn add(&mut self, transaction: TransactionId, offsets: BTreeMap<Place, i64>) {
        self.pending.entry(transaction).or_default().extend(offsets);
    }

    pub(super) fn set(&mut self, offsets: BTreeMap<Place, i64>, writer: &str) {
        let signed = offsets.keys().map(|place| (place.clone(), writer.to_owned()));
        self.writers.extend(signed);
        self.offsets.extend(offsets);
    }

    pub(super) fn settle(&mut self, transaction: TransactionId, writer: &str, commit: bool) {
        let offsets = self.pending.remove(&transaction).unwrap_or_default();
        if commit {
            self.set(offsets, writer);
        }
    }

    /// Those who have last committed offsets of a place and are members no more.
    pub(super) fn gone(&self) -> BTreeSet<String> {
        let gone = self
            .writers
            .values()
            .filter(|writer| !self.members.contains_key(*writer));
        gone.cloned().collect()
    }
}
