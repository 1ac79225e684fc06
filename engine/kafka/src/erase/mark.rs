use std::collections::HashMap;
use std::sync::Arc;

use foldline_core::Timestamp;
use foldline_core::personal::KeyId;

use super::{EraseError, Work, blocking};
use crate::broker::{Appender, Broker, KafkaBroker};
use crate::keys::{KeyRecord, Keyring, PARTITION};
use crate::worker::now;

/// The mark in place of a key.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    pub(super) topic: String,
    pub(super) id: KeyId,
    pub(super) at: Timestamp,
    pub(super) was_erased: bool,
    /// Where the key itself lies, as often as it was written; nothing once it is compacted away.
    pub(super) keys_at: Vec<i64>,
    /// Whether there ever was a key.
    pub(super) is_known: bool,
}

#[derive(Default)]
struct Found {
    key: Option<KeyId>,
    keys_at: Vec<i64>,
    erased: Option<KeyId>,
}

impl Work {
    /// Puts the mark there, unless it is: from then on no process opens what is sealed by the key.
    pub(super) async fn mark(self: &Arc<Self>) -> Result<Marked, EraseError> {
        let found = blocking(self, Self::find_key).await?;
        let topic = self.kafka.topics().keys(&self.subject.info().domain);
        let id = found.erased.or(found.key);
        let marked = Marked {
            topic,
            // Who has none gets the mark all the same, so that nothing personal is kept of them from now on.
            id: id.unwrap_or_else(|| Keyring::new_key().id()),
            at: now(),
            was_erased: found.erased.is_some(),
            keys_at: found.keys_at,
            is_known: id.is_some(),
        };
        if !marked.is_known && !self.exists().await? {
            return Err(EraseError::Unknown(self.subject.name()));
        }
        self.append_mark(&marked).await?;
        Ok(marked)
    }

    pub(super) async fn append_mark(&self, marked: &Marked) -> Result<(), EraseError> {
        let appender: Box<dyn Appender> = KafkaBroker::new(&self.kafka).appender()?;
        let value = KeyRecord::Erased { key: marked.id }.encode(marked.at);
        let place = (marked.topic.as_str(), PARTITION);
        Ok(appender.append(place, &self.subject.name(), &value, None).await?)
    }

    fn find_key(&self) -> Result<Found, EraseError> {
        let (mut found, subject) = (Found::default(), self.subject.name());
        let topic = self.kafka.topics().keys(&self.subject.info().domain);
        let from = HashMap::from([(PARTITION, 0)]);
        KafkaBroker::new(&self.kafka).read_to_ends(&topic, &from, &mut |message| {
            if message.key != Some(subject.as_bytes()) {
                return Ok(());
            }
            match message.value.and_then(KeyRecord::decode) {
                Some(KeyRecord::Key(key)) => {
                    found.key.get_or_insert(key.id());
                    found.keys_at.push(message.offset);
                }
                Some(KeyRecord::Erased { key }) => found.erased = Some(key),
                _ => {}
            }
            Ok(())
        })?;
        Ok(found)
    }
}
