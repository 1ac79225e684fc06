//! A member of a simulated group, with its transactions: what librdkafka makes of what the cluster answers, and of what
//! it does not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use krafka::error::{ErrorCode, KrafkaError};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::broker::{KEYS, away, fetch, hand_over, owned};
use super::bugs::Bug;
use super::cluster::{Cluster, Fenced, Place, Stored, TransactionId};
use super::group::{Generation, Group, Heard};
use super::world::{Turn, World};
use crate::broker::{self, Changes, Isolation, Member, Message, Record, Seat};
use crate::keys::PARTITION;
use crate::producer::TransactionError;

/// How long a client goes on asking.
const INIT_MAX: Duration = Duration::from_secs(30);
const CALL_MAX: Duration = Duration::from_secs(15);
const REQUEST_MAX: Duration = Duration::from_secs(10);

pub(super) struct SimMember {
    world: World,
    group: String,
    name: String,
    topics: BTreeSet<String>,
    incarnation: u64,
    positions: BTreeMap<Place, i64>,
    paused: BTreeSet<Place>,
    changes: Changes,
    epoch: u32,
    is_troubled: bool,
    sending: Sending,
    commit: Option<Commit>,
    /// With [`Bug::AnswersBeforeCommit`], a commit that is still to be asked for.
    is_unsent: bool,
    /// With [`Bug::WritesKeysLater`], keys that are still to be written.
    unwritten: Vec<Stored>,
}

/// The transaction, as the client has it.
#[derive(Default)]
struct Sending {
    generation: Option<Generation>,
    /// What it is for the cluster, once a record was sent.
    transaction: Option<TransactionId>,
    places: BTreeSet<Place>,
    delivered: HashMap<usize, i64>,
}

/// A commit that was asked for, and whose end was not.
enum Commit {
    Begun(BTreeMap<Place, i64>),
    Ended(Result<(), TransactionError>),
}

fn group<'a>(cluster: &'a mut Cluster, name: &str) -> &'a mut Group {
    cluster.groups.entry(name.to_owned()).or_default()
}

fn place((topic, partition): broker::Place<'_>) -> Place {
    (topic.to_owned(), partition)
}

fn timed_out() -> KrafkaError {
    KrafkaError::timeout("a request")
}

fn fenced() -> KrafkaError {
    KrafkaError::fenced("another producer has this id")
}

impl SimMember {
    pub(super) fn join(world: &World, seat: Seat<'_>) -> Result<Self, KafkaError> {
        let topics: BTreeSet<String> = seat.topics.iter().map(|topic| (*topic).to_owned()).collect();
        let epoch = world.retried(INIT_MAX, |cluster| cluster.init_producer(seat.member));
        let epoch = epoch.ok_or_else(away)?;
        let incarnation = group(&mut world.cluster(), seat.group).join(seat.member, topics.clone());
        Ok(Self {
            world: world.clone(),
            group: seat.group.to_owned(),
            name: seat.member.to_owned(),
            topics,
            incarnation,
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            changes: Changes::default(),
            epoch,
            commit: None,
            is_troubled: false,
            sending: Sending::default(),
            is_unsent: false,
            unwritten: Vec::new(),
        })
    }

    /// Hears what the group has decided.
    fn hear(&mut self, cluster: &mut Cluster) -> Result<(), KafkaError> {
        let (assigned, revoked) = match group(cluster, &self.group).hear(&self.name, self.incarnation) {
            Heard::Changes(assigned, revoked) => (assigned, revoked),
            Heard::Replaced => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::FencedInstanceId));
            }
            Heard::Evicted => {
                cluster.note("member evicted");
                self.incarnation = group(cluster, &self.group).join(&self.name, self.topics.clone());
                (BTreeSet::new(), self.positions.keys().cloned().collect())
            }
        };
        for gone in &revoked {
            self.positions.remove(gone);
        }
        if !cluster.has(Bug::OverlooksRevocation) {
            self.changes.assigned.retain(|place| !revoked.contains(place));
            self.changes.revoked.extend(revoked);
        }
        for place in &assigned {
            let committed = group(cluster, &self.group).committed(place);
            self.positions.insert(place.clone(), committed.unwrap_or(0));
            self.paused.insert(place.clone());
        }
        self.changes.assigned.extend(assigned);
        Ok(())
    }

    /// The transaction that records and offsets go to now. The first of them begins it, for the cluster too.
    fn transaction(&mut self) -> Result<TransactionId, TransactionError> {
        let (name, epoch) = (self.name.clone(), self.epoch);
        let begun = self
            .world
            .retried(CALL_MAX, |cluster| match cluster.open(&name, epoch) {
                Ok(Some(open)) => Some(Ok(open)),
                Ok(None) => cluster.begin(&name, epoch).transpose(),
                Err(Fenced) => Some(Err(Fenced)),
            });
        match begun {
            Some(Ok(transaction)) => {
                self.sending.transaction = Some(transaction);
                Ok(transaction)
            }
            Some(Err(Fenced)) => Err(self.fenced()),
            None => Err(self.abort(timed_out())),
        }
    }

    fn fenced(&mut self) -> TransactionError {
        self.is_troubled = true;
        TransactionError::Fenced(fenced())
    }

    fn unknown(&mut self) -> TransactionError {
        self.is_troubled = true;
        TransactionError::Unknown(timed_out())
    }

    fn abort(&mut self, cause: KrafkaError) -> TransactionError {
        World::point();
        let world = self.world.clone();
        let mut cluster = world.cluster();
        if cluster.fails(30) {
            self.is_troubled = true;
            cluster.end_transaction_late(&self.name, self.epoch, false);
        }
        if cluster.fails(30) {
            return self.unknown();
        }
        match cluster.end_transaction(&self.name, self.epoch, false) {
            Ok(()) => TransactionError::Aborted(cause),
            Err(Fenced) => self.fenced(),
        }
    }

    /// Asks the cluster to commit. The answer may not come, nor the question.
    fn end(&mut self) -> Result<(), TransactionError> {
        let world = self.world.clone();
        let mut cluster = world.cluster();
        let trouble = cluster.fails(12).then(|| cluster.rng.u32(0..6));
        let ended = match trouble {
            Some(0) => {
                cluster.note("EndTxn held up");
                // By then it may have been asked for again, and held up again.
                cluster.end_transaction_late(&self.name, self.epoch, true);
                cluster.end_transaction_late(&self.name, self.epoch, true);
                return self.doubt(&cluster);
            }
            Some(1) => {
                cluster.note("EndTxn lost");
                return self.doubt(&cluster);
            }
            Some(2..=4) => {
                // The client connects again and asks again, and the first question is still under way.
                cluster.note("EndTxn asked twice");
                self.is_troubled = true;
                cluster.end_transaction_late(&self.name, self.epoch, true);
                cluster.end_transaction(&self.name, self.epoch, true)
            }
            _ => cluster.end_transaction(&self.name, self.epoch, true),
        };
        if trouble == Some(5) {
            cluster.note("EndTxn unanswered");
            return self.doubt(&cluster);
        }
        match (ended, self.sending.transaction) {
            (Ok(()), Some(transaction)) if cluster.is_committed(transaction) => Ok(()),
            (Ok(()), _) => Err(self.unknown()),
            (Err(Fenced), _) => Err(self.fenced()),
        }
    }

    fn doubt(&mut self, cluster: &Cluster) -> Result<(), TransactionError> {
        if cluster.has(Bug::BelievesUnknownCommit) {
            return Ok(());
        }
        if cluster.has(Bug::AbortsUnknownCommit) {
            return Err(TransactionError::Aborted(timed_out()));
        }
        Err(self.unknown())
    }

    fn send_unsent(&mut self) {
        if std::mem::take(&mut self.is_unsent) {
            // Nobody asks what becomes of it any more.
            let _ = self.end();
        }
    }

    fn commit_now(&mut self, offsets: BTreeMap<Place, i64>) -> Result<(), TransactionError> {
        let transaction = self.transaction()?;
        let is_refused = {
            let mut cluster = self.world.cluster();
            let (is_outside, is_nobodys) = (
                cluster.has(Bug::CommitsOffsetsOutside),
                cluster.has(Bug::CommitsInNobodysName),
            );
            let group = group(&mut cluster, &self.group);
            let is_ours = self
                .sending
                .generation
                .is_some_and(|of| group.accepts(&self.name, of));
            let is_refused = !is_ours && !is_nobodys;
            if !is_refused && is_outside {
                group.set(offsets, &self.name);
            } else if !is_refused {
                group.add(transaction, offsets);
                cluster.add_group(transaction, &self.group);
            }
            if is_refused {
                cluster.note("commit refused by the group");
            }
            is_refused
        };
        if is_refused {
            return Err(self.abort(KrafkaError::broker(
                ErrorCode::IllegalGeneration,
                "a generation that is over",
            )));
        }
        if self.world.cluster().has(Bug::AnswersBeforeCommit) {
            self.is_unsent = true;
            return Ok(());
        }
        World::point();
        self.end()?;
        World::point();
        Ok(())
    }
}

/// Its process may go on, without it.
impl Drop for SimMember {
    fn drop(&mut self) {
        let mut cluster = self.world.cluster();
        let now = cluster.now;
        group(&mut cluster, &self.group).falls_silent(&self.name, self.incarnation, now);
    }
}

impl Member for SimMember {
    fn take(
        &mut self,
        at_most: Duration,
        each: &mut dyn FnMut(&Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), KafkaError> {
        World::give(Turn::Next);
        self.send_unsent();
        let world = self.world.clone();
        let deadline = world.now() + at_most;
        loop {
            let found = {
                let mut cluster = world.cluster();
                self.hear(&mut cluster)?;
                let awake = self
                    .positions
                    .iter()
                    .filter(|(place, _)| !self.paused.contains(*place));
                fetch(&mut cluster, awake)
            };
            let has_changed = !self.changes.assigned.is_empty() || !self.changes.revoked.is_empty();
            if !found.is_empty() || has_changed || world.now() >= deadline {
                hand_over(found, &mut self.positions, each);
                return Ok(());
            }
            World::give(Turn::Look(deadline));
        }
    }

    fn changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    fn fence_the_gone(&mut self) -> Result<(), KafkaError> {
        World::point();
        let gone = group(&mut self.world.cluster(), &self.group).gone();
        for name in gone.iter().filter(|name| **name != self.name) {
            World::point();
            self.world.cluster().note("lost member fenced");
            let fenced = self
                .world
                .retried(INIT_MAX, |cluster| cluster.init_producer(name));
            fenced.ok_or_else(away)?;
        }
        Ok(())
    }

    fn committed(&self, places: &[broker::Place<'_>]) -> Result<Vec<Option<i64>>, KafkaError> {
        let places: Vec<Place> = places.iter().map(|found| place(*found)).collect();
        let committed = self.world.retried(REQUEST_MAX, |cluster| {
            let takes_any = cluster.has(Bug::ReadsUnstableOffsets);
            let group = group(cluster, &self.group);
            let is_stable = takes_any || !places.iter().any(|place| group.is_unstable(place));
            is_stable.then(|| places.iter().map(|place| group.committed(place)).collect())
        });
        committed.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::RequestTimedOut))
    }

    fn seek(&mut self, to: &[(broker::Place<'_>, Option<i64>)]) -> Result<(), KafkaError> {
        World::give(Turn::Next);
        if self.world.cluster().has(Bug::SeeksNowhere) {
            return Ok(());
        }
        for (found, offset) in to {
            let Some(position) = self.positions.get_mut(&place(*found)) else {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition));
            };
            *position = offset.unwrap_or(0);
        }
        Ok(())
    }

    fn resume(&mut self, places: &[broker::Place<'_>]) -> Result<(), KafkaError> {
        for found in places {
            self.paused.remove(&place(*found));
        }
        Ok(())
    }

    fn end_of(&self, found: broker::Place<'_>) -> Result<i64, KafkaError> {
        Ok(self.world.cluster().end(&place(found), Isolation::ReadCommitted))
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.send_unsent();
        if self.is_troubled && !self.world.cluster().has(Bug::KeepsTroubledProducer) {
            self.renew().map_err(|_| TransactionError::Aborted(timed_out()))?;
        }
        let generation = group(&mut self.world.cluster(), &self.group).generation(self.incarnation);
        self.sending = Sending {
            generation: Some(generation),
            ..Sending::default()
        };
        Ok(())
    }

    fn send(&mut self, record: Record<'_>) -> Result<(), TransactionError> {
        if self.world.cluster().fails(400) {
            return Err(self.abort(timed_out()));
        }
        World::point();
        let before = self.sending.transaction;
        let transaction = self.transaction()?;
        if self.sending.transaction != before {
            for key in std::mem::take(&mut self.unwritten) {
                let keys = (KEYS.to_owned(), PARTITION);
                self.world.cluster().append(&keys, key, Some(transaction));
            }
        }
        let place = (record.topic.to_owned(), record.partition);
        if before != Some(transaction) && self.sending.places.contains(&place) {
            // The partition is none of this transaction's, of which the client does not know.
            return Err(self.abort(KrafkaError::transaction_abortable("a record is refused")));
        }
        let stored = Stored {
            key: record.key.map(Vec::from),
            value: record.value.map(Vec::from),
            headers: owned(record.headers),
        };
        let mut cluster = self.world.cluster();
        if record.topic == KEYS {
            cluster.note("key made");
            if cluster.has(Bug::WritesKeysLater) {
                self.unwritten.push(stored);
                return Ok(());
            }
        }
        let is_outside = record.topic == KEYS && cluster.has(Bug::WritesKeysOutside);
        let offset = cluster.append(&place, stored, (!is_outside).then_some(transaction));
        drop(cluster);
        if is_outside {
            return Ok(());
        }
        self.sending.places.insert(place);
        self.sending.delivered.insert(record.number, offset);
        Ok(())
    }

    /// The thread that commits is given its turn at once, or when its end is waited for.
    fn begin_commit(&mut self, offsets: &[(broker::Place<'_>, i64)]) -> Result<(), TransactionError> {
        let offsets = offsets.iter().map(|(found, offset)| (place(*found), *offset));
        let offsets = offsets.collect();
        let is_quick = self.world.cluster().flips();
        self.commit = Some(match is_quick {
            true => Commit::Ended(self.commit_now(offsets)),
            false => Commit::Begun(offsets),
        });
        Ok(())
    }

    fn end_commit(&mut self) -> Result<(), TransactionError> {
        match self.commit.take() {
            Some(Commit::Ended(result)) => result,
            Some(Commit::Begun(offsets)) => self.commit_now(offsets),
            None => Err(TransactionError::Unknown(KrafkaError::closed(
                "nothing was begun",
            ))),
        }
    }

    fn delivered(&self, number: usize) -> Option<i64> {
        self.sending.delivered.get(&number).copied()
    }

    fn renew(&mut self) -> Result<(), KafkaError> {
        if !self.world.cluster().has(Bug::RenewsWithoutEpoch) {
            let epoch = self
                .world
                .retried(INIT_MAX, |cluster| cluster.init_producer(&self.name));
            self.epoch = epoch.ok_or_else(away)?;
        }
        self.is_troubled = false;
        Ok(())
    }
}
