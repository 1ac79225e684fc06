//! The keys of the people whom personal values are about: `<domain>.keys`, compacted, keyed by subject.
//!
//! A subject's key is made in the transaction of the first event of its own aggregate, by the one worker that leads it:
//! so there is one key, and whoever can refer to the aggregate has it. Erasing puts a mark in its place, which stays for
//! ever: a key that is gone without one is missing, and that is an error. Keys are kept in memory alone.

mod installed;
mod keyring;
mod record;
mod secret;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use foldline_core::personal::{Opener, Opening, Seal, Sealed};
use foldline_core::{AggregateId, AggregateInfo, Domains};

pub(crate) use self::keyring::{Held, Keyring, PARTITION};
pub(crate) use self::record::KeyRecord;
#[cfg(test)]
pub(crate) use self::record::SECRET;
use crate::KafkaSettings;
use crate::broker::Broker;
use crate::broker::KafkaBroker;
use crate::follower::FollowError;
use crate::runtime::{Runtime, Threads};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The keys of every domain that has personal values.
#[derive(Clone, Default)]
pub struct Keys {
    rings: HashMap<String, Arc<Keyring>>,
    is_read: Arc<AtomicBool>,
    is_stopped: Arc<AtomicBool>,
}

/// Names a subject within its domain, and the record of its key: `customers/8659a0d6`.
pub fn subject_name(info: &AggregateInfo, id: &AggregateId) -> String {
    [&info.subject, "/", id.as_str()].concat()
}

impl Keys {
    /// Those of these domains. Nothing is asked yet. Call it in a tokio runtime.
    pub fn new(kafka: &KafkaSettings, domains: &Domains) -> Self {
        let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(kafka));
        let runtime: Arc<dyn Runtime> = Arc::new(Threads::current());
        Self::behind(&(broker, runtime), kafka, domains)
    }

    /// Those that are behind these two.
    pub(crate) fn behind(
        seam: &(Arc<dyn Broker>, Arc<dyn Runtime>),
        kafka: &KafkaSettings,
        domains: &Domains,
    ) -> Self {
        let names = kafka.topics();
        let is_stopped = Arc::<AtomicBool>::default();
        let infos = domains.aggregates().iter().map(|aggregate| aggregate.info());
        let ring = |info: &AggregateInfo| {
            let topic = names.keys(&info.domain);
            let ring = Keyring::new(kafka, seam.clone(), topic, Arc::clone(&is_stopped));
            (info.domain.clone(), Arc::new(ring))
        };
        let personal = infos.filter(|info| info.is_personal);
        Self {
            rings: personal.map(ring).collect(),
            is_read: Arc::default(),
            is_stopped: Arc::clone(&is_stopped),
        }
    }

    /// The keys of a domain; `None` if it has no personal values.
    pub(crate) fn of(&self, domain: &str) -> Option<&Arc<Keyring>> {
        self.rings.get(domain)
    }

    pub(crate) fn rings(&self) -> impl Iterator<Item = &Arc<Keyring>> {
        self.rings.values()
    }

    /// How many subjects are known to be erased: whoever keeps what was opened drops it when this changes.
    pub(crate) fn erasures(&self) -> u64 {
        self.rings().map(|ring| ring.erasures()).sum()
    }

    /// Opens values of all these domains. Asks Kafka for a key that is not known, and blocks meanwhile: on a thread of the
    /// asynchronous runtime, [`opener_at_once`](Self::opener_at_once) is to be taken.
    pub fn opener(&self) -> Arc<dyn Opener> {
        Arc::new(Asking(self.clone()))
    }

    /// The same by the keys that are known already. Asks nobody.
    pub fn opener_at_once(&self) -> Arc<dyn Opener> {
        Arc::new(self.clone())
    }

    /// By what new values about a subject are sealed.
    pub fn seal(&self, info: &AggregateInfo, subject: &AggregateId) -> Seal {
        match self.rings.get(&info.domain).filter(|_| info.is_personal) {
            Some(ring) => ring.seal(&subject_name(info, subject)),
            None => Seal::Clear,
        }
    }

    /// The topics that they lie in.
    pub fn topics(&self) -> Vec<String> {
        self.rings().map(|ring| ring.topic().to_owned()).collect()
    }

    /// The value under which a unique value is claimed; see [`Keyring::digest`]. As it is, where there are no personal
    /// values, or no secret yet.
    pub fn claimed_as(&self, info: &AggregateInfo, name: &str, value: &str) -> String {
        match self
            .rings
            .get(&info.domain)
            .filter(|ring| info.is_personal && ring.has_secret())
        {
            Some(ring) => ring.digest(&info.name, name, value),
            None => value.to_owned(),
        }
    }

    /// Reads all there is by now. Blocks, and must not be called on a thread of the asynchronous runtime.
    pub fn catch_up(&self) -> Result<(), FollowError> {
        self.rings().try_for_each(|ring| ring.catch_up())?;
        self.is_read.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// A topic of theirs in which somebody has a transaction open. Blocks.
    pub(crate) fn held_up(&self) -> Result<Option<String>, FollowError> {
        for ring in self.rings() {
            if ring.is_held_up()? {
                return Ok(Some(ring.topic().to_owned()));
            }
        }
        Ok(None)
    }

    /// Reads all there is by now, and makes what has to be there before anything is decided.
    pub(crate) fn make_ready(&self) -> Result<(), FollowError> {
        self.rings().try_for_each(|ring| ring.make_secret())?;
        self.catch_up()
    }

    /// Whether all that there was at the start is read.
    pub fn are_read(&self) -> bool {
        self.rings.is_empty() || self.is_read.load(Ordering::SeqCst)
    }

    /// Follows the topics, until it is to stop: a thread for each.
    pub fn follow(&self) -> Vec<JoinHandle<()>> {
        let follow = |ring: &Arc<Keyring>| {
            let (keys, ring) = (self.clone(), Arc::clone(ring));
            let run = move || keys.keep_following(&ring);
            let thread = std::thread::Builder::new().name("keys".to_owned()).spawn(run);
            thread.expect("the operating system gives us a thread")
        };
        self.rings().map(follow).collect()
    }

    /// Ends what [`follow`](Self::follow) has begun, and whoever waits for a transaction to end.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn keep_following(&self, ring: &Keyring) {
        let is_stopped = || self.is_stopped.load(Ordering::SeqCst);
        while !is_stopped() {
            match self.catch_up().and_then(|()| ring.follow(&is_stopped)) {
                Ok(()) | Err(FollowError::Stopped) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot follow the keys; trying again");
                    ring.rest(RETRY_AFTER);
                }
            }
        }
    }
}

impl Opener for Keys {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        let known = self.rings().find_map(|ring| ring.known(sealed));
        known.unwrap_or(Opening::Unknown)
    }
}

/// Keys, and whoever has those that are not among them.
struct Asking(Keys);

impl Opener for Asking {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        let Self(keys) = self;
        let known = keys.open(sealed);
        // Before all that there was is read, any key may be unknown, and each look for one would read it all.
        if known != Opening::Unknown || !keys.are_read() {
            return known;
        }
        // Each is asked, because the name of a key does not say whose it is.
        let mut looked = keys.rings().filter(|ring| ring.look_for(sealed.key));
        let found = looked.find_map(|ring| ring.known(sealed));
        found.unwrap_or(Opening::Unknown)
    }
}
