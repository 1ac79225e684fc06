use std::collections::HashMap;
use std::sync::Arc;

use foldline_core::Timestamp;
use foldline_core::personal::KeyId;
use rdkafka::error::KafkaError;

use super::{EraseError, Work, blocking};
use crate::broker::Broker;
use crate::follower::FollowError;
use crate::keys::{KeyRecord, Keyring, PARTITION};
use crate::worker::now;

/// The mark in place of a key.
#[derive(Debug, Clone)]
pub(crate) struct Marked {
    pub(super) topic: String,
    pub(super) id: KeyId,
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
    key: Option<KeyId>,
    keys_at: Vec<i64>,
    erased: Option<KeyId>,
}

impl Work {
    /// Puts the mark there, unless it is: from then on no process opens what is sealed by the key.
    pub(super) async fn mark(self: &Arc<Self>) -> Result<Marked, EraseError> {
        let topic = self.kafka.topics().keys(&self.subject.info().domain);
        let subject = self.subject.name();
        let noted = {
            let (topic, subject) = (topic.clone(), subject.clone());
            blocking(self, move |work| {
                Ok(noted(work.broker.as_ref(), &topic, &subject)?)
            })
            .await?
        };
        let marked = Marked::instead_of(noted, topic);
        if !marked.is_known && !self.exists().await? {
            return Err(EraseError::Unknown(subject));
        }
        self.append_mark(&marked).await?;
        Ok(marked)
    }

    pub(super) async fn append_mark(&self, marked: &Marked) -> Result<(), EraseError> {
        Ok(append(self.broker.as_ref(), marked, &self.subject.name()).await?)
    }
}

impl Marked {
    /// The mark that comes in place of what there is.
    pub(crate) fn instead_of(noted: Noted, topic: String) -> Self {
        let id = noted.erased.or(noted.key);
        Self {
            topic,
            // Who has none gets the mark all the same, so that nothing personal is kept of them from now on.
            id: id.unwrap_or_else(|| Keyring::new_key().id()),
            at: now(),
            was_erased: noted.erased.is_some(),
            keys_at: noted.keys_at,
            is_known: id.is_some(),
        }
    }
}

pub(crate) async fn append(broker: &dyn Broker, marked: &Marked, subject: &str) -> Result<(), KafkaError> {
    let appender = broker.appender()?;
    let value = KeyRecord::Erased { key: marked.id }.encode(marked.at);
    appender
        .append((&marked.topic, PARTITION), subject, &value, None)
        .await
}

/// Reads what the topic of keys has about a subject.
pub(crate) fn noted(broker: &dyn Broker, topic: &str, subject: &str) -> Result<Noted, FollowError> {
    let mut noted = Noted::default();
    let from = HashMap::from([(PARTITION, 0)]);
    broker.read_to_ends(topic, &from, &mut |message| {
        if message.key != Some(subject.as_bytes()) {
            return Ok(());
        }
        match message.value.and_then(KeyRecord::decode) {
            Some(KeyRecord::Key(key)) => {
                noted.key.get_or_insert(key.id());
                noted.keys_at.push(message.offset);
            }
            Some(KeyRecord::Erased { key }) => noted.erased = Some(key),
            _ => {}
        }
        Ok(())
    })?;
    Ok(noted)
}
