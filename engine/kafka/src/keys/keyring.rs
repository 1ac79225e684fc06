use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use foldline_core::personal::{KeyId, Opener, Opening, Seal, Sealed, SubjectKey};

use super::record::KeyRecord;
use super::secret;
use crate::KafkaSettings;
use crate::broker::{Broker, Isolation, Message, Place, Watermarks};
use crate::follower::{FollowError, kafka_error};
use crate::runtime::Runtime;
use crate::settled::{OPEN_MAX, wait_until_settled};

/// A key topic has one partition: its records are few.
pub(crate) const PARTITION: i32 = 0;
const LOOK: Duration = Duration::from_millis(200);
/// A key that was looked for and is not there is not looked for again before.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long somebody may wait for it who reads a value: the key was committed with that value's first event, and is seen as
/// soon as Kafka has marked that in this topic too.
const LOOK_FOR_MAX: Duration = Duration::from_secs(5);

/// The keys of one domain.
pub struct Keyring {
    kafka: KafkaSettings,
    broker: Arc<dyn Broker>,
    runtime: Arc<dyn Runtime>,
    topic: String,
    is_stopped: Arc<AtomicBool>,
    all: RwLock<All>,
    /// The offset up to which the topic was read; held while it is.
    read_to: Mutex<i64>,
    missing: Mutex<HashMap<KeyId, Instant>>,
    erasures: AtomicU64,
}

#[derive(Default)]
struct All {
    /// By the name of the subject.
    subjects: HashMap<String, KeyId>,
    /// `None`: it is erased.
    keys: HashMap<KeyId, Option<SubjectKey>>,
    secret: Option<[u8; 32]>,
}

/// What there is of a subject's key.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Key(SubjectKey),
    Erased(KeyId),
    Nothing,
}

impl Keyring {
    /// `is_stopped` ends whatever waits here.
    pub(crate) fn new(
        kafka: &KafkaSettings,
        (broker, runtime): (Arc<dyn Broker>, Arc<dyn Runtime>),
        topic: String,
        is_stopped: Arc<AtomicBool>,
    ) -> Self {
        Self {
            kafka: kafka.clone(),
            broker,
            runtime,
            topic,
            is_stopped,
            all: RwLock::default(),
            read_to: Mutex::default(),
            missing: Mutex::default(),
            erasures: AtomicU64::new(0),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// A new key, of nobody yet.
    pub(crate) fn new_key() -> SubjectKey {
        let (mut id, mut bytes) = ([0; 12], [0; SubjectKey::LENGTH]);
        let filled = rand::fill(&mut id).and_then(|()| rand::fill(&mut bytes));
        filled.expect("the operating system gives us random bytes");
        SubjectKey::new(KeyId::new(id), bytes)
    }

    pub(crate) fn held(&self, subject: &str) -> Held {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = all.subjects.get(subject) else {
            return Held::Nothing;
        };
        match all.keys.get(id) {
            Some(Some(key)) => Held::Key(key.clone()),
            _ => Held::Erased(*id),
        }
    }

    /// By what new values about a subject are sealed, as far as its key is there.
    pub(crate) fn seal(&self, subject: &str) -> Seal {
        match self.held(subject) {
            Held::Key(key) => Seal::By(key),
            Held::Erased(key) => Seal::Erased(key),
            Held::Nothing => Seal::Clear,
        }
    }

    pub(crate) fn has_secret(&self) -> bool {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.secret.is_some()
    }

    /// How many subjects are erased.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures.load(Ordering::SeqCst)
    }

    /// Under what a unique value is claimed: a hash with a secret of the domain, so that the claim of a value can be
    /// found by whoever wants the value, and a value not by its claim. [`make_secret`](Self::make_secret) has come before.
    pub(crate) fn digest(&self, aggregate: &str, name: &str, value: &str) -> String {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let secret = all.secret.expect("the secret is made before anything is decided");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let tag = hmac::sign(&key, format!("{aggregate}/{name}/{value}").as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16])
    }

    /// Makes the secret, if there is none.
    pub(crate) fn make_secret(&self) -> Result<(), FollowError> {
        self.catch_up()?;
        if !self.has_secret() {
            let mut new = [0; 32];
            rand::fill(&mut new).expect("the operating system gives us random bytes");
            secret::make(&self.kafka, &self.topic, new, || {
                self.catch_up()?;
                Ok(self.has_secret())
            })?;
            self.catch_up()?;
        }
        Ok(())
    }

    /// Takes note of what a record says. In any order: what is erased stays so, and the first key is the key.
    pub(crate) fn note(&self, subject: &str, record: KeyRecord) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        match record {
            KeyRecord::Key(key) => {
                let id = *all.subjects.entry(subject.to_owned()).or_insert(key.id());
                if id == key.id() {
                    all.keys.entry(id).or_insert(Some(key));
                } else if matches!(all.keys.get(&id), Some(None)) {
                    // Made by who had not heard of the erasure yet: not missing, but gone.
                    all.keys.insert(key.id(), None);
                }
            }
            KeyRecord::Erased { key, others } => {
                let before = all.subjects.get(subject).copied();
                let was_erased = before.is_some_and(|before| matches!(all.keys.get(&before), Some(None)));
                // Who had no key when they were erased may have got one at that moment, under another name.
                for id in others.into_iter().chain(before).chain([key]) {
                    all.keys.insert(id, None);
                }
                // A later mark may begin with another name: states and their events are sealed by one all the same.
                if !was_erased {
                    all.subjects.insert(subject.to_owned(), key);
                    self.erasures.fetch_add(1, Ordering::SeqCst);
                }
            }
            KeyRecord::Secret(secret) => {
                all.secret.get_or_insert(secret);
            }
        }
    }

    fn read(&self, message: &Message<'_>) {
        let key = message.key.and_then(|key| std::str::from_utf8(key).ok());
        let record = message.value.and_then(KeyRecord::decode);
        match (key, record) {
            (Some(key), Some(record)) => self.note(key, record),
            _ => tracing::error!(
                topic = self.topic,
                offset = message.offset,
                "a record of the key topic is damaged"
            ),
        }
    }

    /// Reads up to the end as it is now, whoever has a transaction open below it: waits until it is settled, but not for
    /// longer than Kafka leaves one open, and not when all is to stop.
    pub(crate) fn catch_up(&self) -> Result<(), FollowError> {
        self.catch_up_within(OPEN_MAX)
    }

    fn catch_up_within(&self, at_most: Duration) -> Result<(), FollowError> {
        let high = self.end(&*self.broker.watermarks(Isolation::ReadUncommitted)?)?;
        if *self.read_to() >= high {
            return Ok(());
        }
        // Nobody else waits for it who has no need to: what is read is locked later.
        let seam = (&*self.broker, &*self.runtime);
        let place: [Place<'_>; 1] = [(&self.topic, PARTITION)];
        let is_stopped = || self.is_stopped.load(Ordering::SeqCst);
        wait_until_settled(seam, (&place, &[high]), at_most, &is_stopped)?;
        let mut read_to = self.read_to();
        let from = HashMap::from([(PARTITION, *read_to)]);
        let ends = self.broker.read_to_ends(&self.topic, &from, &mut |message| {
            self.read(message);
            Ok(())
        })?;
        *read_to = ends.get(&PARTITION).copied().unwrap_or(*read_to);
        Ok(())
    }

    /// Whether a transaction is open in the topic.
    pub(super) fn is_held_up(&self) -> Result<bool, FollowError> {
        let high = self.end(&*self.broker.watermarks(Isolation::ReadUncommitted)?)?;
        Ok(self.end(&*self.broker.watermarks(Isolation::ReadCommitted)?)? < high)
    }

    fn end(&self, of: &dyn Watermarks) -> Result<i64, FollowError> {
        let place: [Place<'_>; 1] = [(&self.topic, PARTITION)];
        Ok(of.highs(&place)?.first().copied().unwrap_or_default())
    }

    fn read_to(&self) -> MutexGuard<'_, i64> {
        self.read_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rest(&self, time: Duration) {
        self.runtime.sleep(time);
    }

    /// Whether somebody has a lock that others may want.
    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.read_to.try_lock(), Err(std::sync::TryLockError::WouldBlock))
    }

    /// Reads what comes, until it is to stop.
    pub(super) fn follow(&self, is_stopped: &dyn Fn() -> bool) -> Result<(), FollowError> {
        let read_to = *self.read_to();
        let mut reader = self.broker.follow(&[((&self.topic, PARTITION), read_to)])?;
        while !is_stopped() {
            let taken = reader.take(LOOK, &mut |message| {
                self.read(message);
                ControlFlow::Continue(())
            });
            taken.map_err(|source| kafka_error(&self.topic, source))?;
        }
        Ok(())
    }

    /// What is known of a value without asking Kafka.
    pub(super) fn known(&self, sealed: &Sealed<'_>) -> Option<Opening> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let key = match all.keys.get(&sealed.key)? {
            Some(key) => key.clone(),
            None => return Some(Opening::Erased),
        };
        drop(all);
        // A value that was written when its key was already gone is empty.
        Some(key.open(sealed).map_or(Opening::Erased, Opening::Says))
    }

    /// Reads all that there is for a key that is not known: another process may have made it just now. Returns whether it is
    /// known then. Blocks, and must not be called while something is read or written with personal values in it.
    pub(super) fn look_for(&self, key: KeyId) -> bool {
        let missing = || self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let looked_at = missing().get(&key).copied();
        if looked_at.is_some_and(|at| self.runtime.now() - at < LOOK_AGAIN) {
            return false;
        }
        let read = self.catch_up_within(LOOK_FOR_MAX);
        let is_found = {
            let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
            all.keys.contains_key(&key)
        };
        if is_found {
            missing().remove(&key);
            return true;
        }
        match read {
            Ok(()) => tracing::error!(%key, topic = self.topic, "a key is missing that was not erased"),
            // What could not be read may have it.
            Err(error) => tracing::warn!(%error, %key, "cannot look for a key"),
        }
        // As it is now: a look may take longer than a note holds, and then nobody would ever go by the note.
        missing().insert(key, self.runtime.now());
        false
    }
}

/// By what is known here already. For what is not, [`look_for`](Keyring::look_for) is called when nothing is read.
impl Opener for Keyring {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        self.known(sealed).unwrap_or(Opening::Unknown)
    }
}

#[cfg(test)]
mod tests;
