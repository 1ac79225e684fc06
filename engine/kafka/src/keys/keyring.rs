use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
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

/// A key topic has one partition: its records are few.
pub(crate) const PARTITION: i32 = 0;
const LOOK: Duration = Duration::from_millis(200);
/// A key that was looked for and is not there is not looked for again before.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The keys of one domain.
pub struct Keyring {
    kafka: KafkaSettings,
    broker: Arc<dyn Broker>,
    topic: String,
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
    pub(crate) fn new(kafka: &KafkaSettings, broker: Arc<dyn Broker>, topic: String) -> Self {
        Self {
            kafka: kafka.clone(),
            broker,
            topic,
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
                }
            }
            KeyRecord::Erased { key } => {
                all.subjects.insert(subject.to_owned(), key);
                if !matches!(all.keys.insert(key, None), Some(None)) {
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

    /// Reads up to the end as it is now, whoever has a transaction open below it.
    pub(crate) fn catch_up(&self) -> Result<(), FollowError> {
        let mut read_to = self.read_to.lock().unwrap_or_else(PoisonError::into_inner);
        let place: [Place<'_>; 1] = [(&self.topic, PARTITION)];
        let end = |of: &dyn Watermarks| -> Result<i64, FollowError> {
            Ok(of.highs(&place)?.first().copied().unwrap_or_default())
        };
        let high = end(&*self.broker.watermarks(Isolation::ReadUncommitted)?)?;
        if *read_to >= high {
            return Ok(());
        }
        let stable = self.broker.watermarks(Isolation::ReadCommitted)?;
        while end(&*stable)? < high {
            std::thread::sleep(Duration::from_millis(2));
        }
        let from = HashMap::from([(PARTITION, *read_to)]);
        let ends = self.broker.read_to_ends(&self.topic, &from, &mut |message| {
            self.read(message);
            Ok(())
        })?;
        *read_to = ends.get(&PARTITION).copied().unwrap_or(*read_to);
        Ok(())
    }

    /// Reads what comes, until it is to stop.
    pub(super) fn follow(&self, is_stopped: &dyn Fn() -> bool) -> Result<(), FollowError> {
        let read_to = *self.read_to.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// What is known after all that there is was read: another process may have made the key just now.
    pub(super) fn look_for(&self, sealed: &Sealed<'_>) -> Option<Opening> {
        let missing = || self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let looked_at = missing().get(&sealed.key).copied();
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return None;
        }
        if let Err(error) = self.catch_up() {
            tracing::warn!(%error, key = %sealed.key, "cannot look for a key");
        }
        let found = self.known(sealed);
        match found {
            Some(_) => missing().remove(&sealed.key),
            None => {
                tracing::error!(key = %sealed.key, topic = self.topic, "a key is missing that was not erased");
                missing().insert(sealed.key, Instant::now())
            }
        };
        found
    }
}

impl Opener for Keyring {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        let found = self.known(sealed).or_else(|| self.look_for(sealed));
        found.unwrap_or(Opening::Unknown)
    }
}

#[cfg(test)]
mod tests;
