//! The key itself: Kafka keeps of each subject the newest record, which is the mark, once it has compacted the topic.

use std::sync::Arc;
use std::time::Instant;

use super::mark::Marked;
use super::{EraseError, LOOK_AGAIN, STEP_MAX, Work, blocking};
use crate::failpoints::reached;
use crate::keys::{KeyRecord, PARTITION};
use crate::topics::KEEP_NEWEST;

/// For the time of it, the topic is compacted at once, whatever that costs. Values as Kafka shows them again.
const AT_ONCE: [(&str, &str); 4] = [
    ("segment.ms", "1"),
    ("min.cleanable.dirty.ratio", "0.0"),
    ("min.compaction.lag.ms", "0"),
    ("max.compaction.lag.ms", "1"),
];

impl Work {
    /// Has the topic compacted, and returns when the key is not in it any more.
    pub(super) async fn forget(self: &Arc<Self>, key: &Marked) -> Result<(), EraseError> {
        let found = self.own_settings(&key.topic, &[], &[]).await?;
        let own = self.own_settings(&key.topic, &AT_ONCE, &KEEP_NEWEST).await?;
        if key.keys_at.is_empty() {
            // Whoever saw it go may have been killed before it set the topic back.
            if found != own {
                self.set_all(&key.topic, &own).await?;
            }
            return Ok(());
        }
        self.set_beside(&key.topic, &own, &AT_ONCE).await?;
        reached("compacting");
        let forgotten = self.until_it_is_gone(key).await;
        reached("compacted");
        self.set_all(&key.topic, &own).await?;
        forgotten
    }

    async fn until_it_is_gone(self: &Arc<Self>, key: &Marked) -> Result<(), EraseError> {
        let begun_at = Instant::now();
        let mut marked_at: Option<Instant> = None;
        while let Some(offset) = self.lies_at(key).await? {
            if begun_at.elapsed() > STEP_MAX {
                let topic = key.topic.clone();
                return Err(EraseError::KeyStays { topic, offset });
            }
            // Kafka goes on in a new file with a new record, and never compacts the one that it writes to: the first mark
            // closes the file with the key, the second one that with the first mark.
            if marked_at.is_none_or(|at| at.elapsed() > LOOK_AGAIN * 8) {
                self.append_mark(key).await?;
                tokio::time::sleep(LOOK_AGAIN / 10).await;
                self.append_mark(key).await?;
                marked_at = Some(Instant::now());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Where the key still lies.
    async fn lies_at(self: &Arc<Self>, key: &Marked) -> Result<Option<i64>, EraseError> {
        let key = key.clone();
        blocking(self, move |work| {
            for at in &key.keys_at {
                let mut is_there = false;
                work.broker
                    .read_range((&key.topic, PARTITION), (*at, at + 1), &mut |message| {
                        is_there |=
                            matches!(message.value.and_then(KeyRecord::decode), Some(KeyRecord::Key(_)));
                        Ok(())
                    })?;
                if is_there {
                    return Ok(Some(*at));
                }
            }
            Ok(None)
        })
        .await
    }
}
