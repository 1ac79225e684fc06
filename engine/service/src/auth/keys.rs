//! The public keys of the issuer, by their ids. Issuers change them: a token with an id that is not known has them
//! read again, and so has their age.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::time::Instant;
use tracing::{info, warn};

/// Between two readings, whatever tokens say: who sends unknown ids must not have us ask the issuer each time.
const APART: Duration = Duration::from_secs(5);
/// A key that the issuer has withdrawn is not taken any more after so long.
const AGE_MAX: Duration = Duration::from_secs(300);
/// When the issuer is away, it is asked again after so long, and what is known goes on being used meanwhile.
const AWAY: Duration = Duration::from_secs(30);
/// How long the issuer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const BYTES_MAX: usize = 256 * 1024;

/// The keys of the issuer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the keys in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The URL does not answer, or not with 200.
    #[error("cannot get the keys: {0}")]
    Url(#[from] reqwest::Error),
    /// There is more than there can be.
    #[error("the keys are longer than {BYTES_MAX} bytes")]
    TooLong,
    /// What was read is no key set.
    #[error("this is no JSON Web Key Set: {0}")]
    NotKeys(#[from] serde_json::Error),
    /// No key in it can check a signature.
    #[error("no key in the JSON Web Key Set can check a signature")]
    NoKey,
    /// Anybody on the way could put keys of their own into it.
    #[error(
        "--auth-jwks can be an http:// URL on the loopback address alone: give an https:// URL, or a file"
    )]
    PlainUrl,
}

/// Where the keys are.
pub(super) enum Source {
    File(PathBuf),
    Url { client: reqwest::Client, url: String },
}

/// A public key.
pub(super) struct Key {
    pub(super) key: DecodingKey,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
}

/// There is no key for a token.
#[derive(Debug)]
pub(super) enum NoKey {
    Unknown,
    Away(String),
}

type ById = HashMap<String, Arc<Key>>;

pub(super) struct Keys {
    source: Source,
    apart: Duration,
    age_max: Duration,
    known: Mutex<Known>,
    /// One reading at a time, for all who wait for it.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// Those of the last set that could be read, which may be none; `None` before the first one.
    keys: Option<Arc<ById>>,
    fresh_until: Option<Instant>,
    tried_at: Option<Instant>,
}

impl Source {
    pub(super) fn url(url: &str) -> Result<Self, KeysError> {
        if url.starts_with("http://") && !is_loopback(url) {
            return Err(KeysError::PlainUrl);
        }
        // An issuer that sends us elsewhere is not the one that was set.
        let client = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .redirect(reqwest::redirect::Policy::none());
        let (client, url) = (client.build()?, url.to_owned());
        Ok(Self::Url { client, url })
    }

    async fn read(&self) -> Result<ById, KeysError> {
        let bytes = match self {
            Self::File(path) => tokio::fs::read(path).await.map_err(|source| KeysError::File {
                path: path.clone(),
                source,
            })?,
            Self::Url { client, url } => {
                let mut answer = client.get(url).send().await?.error_for_status()?;
                let mut bytes = Vec::new();
                while let Some(chunk) = answer.chunk().await? {
                    bytes.extend_from_slice(&chunk);
                    if bytes.len() > BYTES_MAX {
                        return Err(KeysError::TooLong);
                    }
                }
                bytes
            }
        };
        by_id(&bytes)
    }
}

/// Whether nobody is on the way between us and the host.
fn is_loopback(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    // An IPv6 address stands in brackets.
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The keys that can check a signature. An issuer that has withdrawn all has none.
fn by_id(bytes: &[u8]) -> Result<ById, KeysError> {
    // One by one: a key of a kind that we do not know must not take the others with it.
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(bytes)?;
    let keys = set.keys.into_iter();
    let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let set = JwkSet { keys: keys.collect() };
    let keys = set.keys.iter().filter(|jwk| checks_signatures(jwk));
    let keys = keys.filter_map(|jwk| {
        let key = Key {
            key: DecodingKey::from_jwk(jwk).ok()?,
            algorithm: jwk.common.key_algorithm.and_then(|name| name.try_into().ok()),
        };
        Some((jwk.common.key_id.clone().unwrap_or_default(), Arc::new(key)))
    });
    Ok(keys.collect())
}

/// A secret in a set of public keys is a mistake, and would let everybody sign who can read the set.
fn checks_signatures(jwk: &Jwk) -> bool {
    let is_public = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
    let usage = jwk.common.public_key_use.as_ref();
    is_public && usage.is_none_or(|usage| *usage == PublicKeyUse::Signature)
}

impl Key {
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        let is_its_own = self.algorithm.is_none_or(|own| own == algorithm);
        is_its_own && self.key.family().algorithms().contains(&algorithm)
    }
}

impl Keys {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            apart: APART,
            age_max: AGE_MAX,
            known: Mutex::default(),
            reading: tokio::sync::Mutex::new(()),
        }
    }

    #[cfg(test)]
    pub(super) fn read_at_most(self, apart: Duration, age_max: Duration) -> Self {
        Self {
            apart,
            age_max,
            ..self
        }
    }

    /// Reads the keys if they are in a file: one that cannot be read, or has none, will not get better by itself.
    pub(super) async fn check_file(&self) -> Result<(), KeysError> {
        if let Source::Url { .. } = self.source {
            return Ok(());
        }
        match self.source.read().await?.is_empty() {
            true => Err(KeysError::NoKey),
            false => Ok(()),
        }
    }

    /// The key with this id; without an id, the only one that there is.
    pub(super) async fn get(&self, id: Option<&str>) -> Result<Arc<Key>, NoKey> {
        if let Some(key) = self.fresh(id) {
            return Ok(key);
        }
        let failed = self.read_anew(id).await;
        match &self.known().keys {
            Some(keys) => find(keys, id).ok_or(NoKey::Unknown),
            None => Err(NoKey::Away(failed.unwrap_or_default())),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key of a reading that is not too old.
    fn fresh(&self, id: Option<&str>) -> Option<Arc<Key>> {
        let known = self.known();
        let is_fresh = known.fresh_until.is_some_and(|until| Instant::now() < until);
        let keys = known.keys.as_ref().filter(|_| is_fresh)?;
        find(keys, id)
    }

    /// Reads them, unless that was tried a moment ago. Says what went wrong.
    async fn read_anew(&self, id: Option<&str>) -> Option<String> {
        let _turn = self.reading.lock().await;
        // Who was before us may have read them.
        if self.fresh(id).is_some() {
            return None;
        }
        let tried_at = self.known().tried_at.replace(Instant::now());
        if tried_at.is_some_and(|at| at.elapsed() < self.apart) {
            self.known().tried_at = tried_at;
            return Some("they could not be read a moment ago".to_owned());
        }
        let read = self.source.read().await;
        // Once more, because it may have taken as long as two readings are apart: those who wait behind it would each read
        // again, one after the other. What was noted before it counts for a request that is given up meanwhile.
        self.known().tried_at = Some(Instant::now());
        match read {
            Ok(keys) => {
                if keys.is_empty() {
                    warn!("the issuer has no key that can check a signature: no token is good");
                }
                info!(keys = keys.len(), "the keys of the issuer were read");
                let mut known = self.known();
                // Also if there is none: what the issuer has withdrawn is not to be believed because nothing replaces it.
                known.keys = Some(Arc::new(keys));
                known.fresh_until = Some(Instant::now() + self.age_max);
                None
            }
            Err(error) => {
                warn!(%error, "the keys of the issuer could not be read");
                self.known().fresh_until = Some(Instant::now() + AWAY);
                Some(error.to_string())
            }
        }
    }
}

fn find(keys: &ById, id: Option<&str>) -> Option<Arc<Key>> {
    match id {
        Some(id) => keys.get(id).cloned(),
        None if keys.len() == 1 => keys.values().next().cloned(),
        None => None,
    }
}
