use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldline_core::Timestamp;
use foldline_core::personal::KeyId;

use super::{EraseError, STEP_MAX, Work, blocking};
use crate::broker::{AppendError, Broker};
use crate::follower::FollowError;
use crate::keys::{KeyRecord, Keyring, PARTITION};
use crate::runtime::Runtime;
use crate::settled::settled_ranges;
use crate::worker::now;

/// The mark in place of a key.
#[derive(Debug, Clone)]
pub(crate) struct Marked {
    pub(super) topic: String,
    pub(super) id: KeyId,
    /// Whatever else a key of theirs was called.
    pub(super) others: Vec<KeyId>,
    pub(super) at: Timestamp,
    pub(super) was_erased: bool,
    /// Where the key itself lies, as often as it was written; nothing once it is compacted away.
    pub(super) keys_at: Vec<i64>,
    /// Whether there ever was a key.
    pub(crate) is_known: bool,
}

/// What the topic of keys has about a subject.
#[derive(Default)]
pub(crate) struct Noted {
    keys: Vec<KeyId>,
    keys_at: Vec<i64>,
    /// What marks name.
    erased: Vec<KeyId>,
}

impl Work {
    /// Puts the mark there, unless it is: from then on no process opens what is sealed by the key.
    pub(super) async fn mark(self: &Arc<Self>) -> Result<Marked, EraseError> {
        let topic = self.kafka.topics().keys(&self.subject.info().domain);
        let mut marked = Marked::instead_of(self.noted(&topic).await?, topic.clone());
        if !marked.is_known {
            if !self.exists().await? {
                return Err(EraseError::Unknown(self.subject.name()));
            }
            // That has taken its time, in which a worker may have made the key.
            marked = Marked::instead_of(self.noted(&topic).await?, topic);
        }
        self.append_mark(&marked).await?;
        Ok(marked)
    }

    async fn noted(self: &Arc<Self>, topic: &str) -> Result<Noted, EraseError> {
        let (topic, subject) = (topic.to_owned(), self.subject.name());
        blocking(self, move |work| {
            Ok(noted(work.seam(), &topic, &subject, STEP_MAX)?)
        })
        .await
    }

    pub(super) async fn append_mark(&self, marked: &Marked) -> Result<(), EraseError> {
        Ok(append(self.broker.as_ref(), marked, &self.subject.name()).await?)
    }
}

impl Marked {
    /// The mark that comes in place of what there is.
    pub(crate) fn instead_of(noted: Noted, topic: String) -> Self {
        let was_erased = !noted.erased.is_empty();
        let mut ids: Vec<KeyId> = Vec::new();
        // The key first: if it was made at that moment, values have its name, and hardly any that of the mark before it.
        for id in noted.keys.into_iter().chain(noted.erased) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut ids = ids.into_iter();
        let id = ids.next();
        Self {
            topic,
            // Who has none gets the mark all the same, so that nothing personal is kept of them from now on.
            id: id.unwrap_or_else(|| Keyring::new_key().id()),
            others: ids.collect(),
            at: now(),
            was_erased,
            keys_at: noted.keys_at,
            is_known: id.is_some(),
        }
    }

    /// Tells whether there is something in a record that was sealed by a key of theirs.
    pub(super) fn has_sealed(&self) -> impl Fn(&[u8]) -> bool + use<> {
        let ids = [self.id].into_iter().chain(self.others.iter().copied());
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        move |value| {
            ids.iter()
                .any(|id| memchr::memmem::find(value, id.as_bytes()).is_some())
        }
    }
}

pub(crate) async fn append(broker: &dyn Broker, marked: &Marked, subject: &str) -> Result<(), AppendError> {
    let appender = broker.appender()?;
    let mark = KeyRecord::Erased {
        key: marked.id,
        others: marked.others.clone(),
    };
    let value = mark.encode(marked.at);
    appender
        .append((&marked.topic, PARTITION), subject, &value, Vec::new())
        .await
}

/// Reads what the topic of keys has about a subject, once all of it can be read.
pub(crate) fn noted(
    (broker, runtime): (&dyn Broker, &dyn Runtime),
    topic: &str,
    subject: &str,
    at_most: Duration,
) -> Result<Noted, FollowError> {
    settled_ranges((broker, runtime), &[(topic, PARTITION)], at_most)?;
    let mut noted = Noted::default();
    let from = HashMap::from([(PARTITION, 0)]);
    broker.read_to_ends(topic, &from, &mut |message| {
        if message.key != Some(subject.as_bytes()) {
            return Ok(());
        }
        match message.value.and_then(KeyRecord::decode) {
            Some(KeyRecord::Key(key)) => {
                noted.keys.push(key.id());
                noted.keys_at.push(message.offset);
            }
            Some(KeyRecord::Erased { key, others }) => noted.erased.extend([key].into_iter().chain(others)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(noted)
}
