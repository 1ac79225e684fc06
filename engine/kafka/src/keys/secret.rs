//! The secret of a domain, of which there must be one, however many processes start for the first time at once.

use std::time::Duration;

use foldline_core::Timestamp;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer};

use super::keyring::PARTITION;
use super::record::{KeyRecord, SECRET};
use crate::KafkaSettings;
use crate::follower::{FollowError, kafka_error};
use crate::producer::TRANSACTION_MAX;
use crate::security::token;

const CALL_MAX: Duration = Duration::from_secs(30);

/// Writes the secret, unless there is one. All who do it have the same transactional id: who comes later fences who came
/// before, and then sees what that one has written, or refuses it.
pub(super) fn make(
    kafka: &KafkaSettings,
    topic: &str,
    secret: [u8; 32],
    is_there: impl Fn() -> Result<bool, FollowError>,
) -> Result<(), FollowError> {
    let failed = |source: KafkaError| kafka_error(topic, source);
    let mut config = kafka.client();
    config
        .set(
            "transactional.id",
            format!("{}foldline-keys-{topic}", kafka.topic_prefix),
        )
        .set("transaction.timeout.ms", TRANSACTION_MAX.as_millis().to_string());
    let producer = token::producer(&config).map_err(failed)?;
    producer.init_transactions(CALL_MAX).map_err(failed)?;
    if is_there()? {
        return Ok(());
    }
    producer.begin_transaction().map_err(failed)?;
    let value = KeyRecord::Secret(secret).encode(now());
    let record = BaseRecord::to(topic)
        .partition(PARTITION)
        .key(SECRET)
        .payload(&value);
    producer.send(record).map_err(|(source, _)| failed(source))?;
    producer.commit_transaction(CALL_MAX).map_err(failed)
}

fn now() -> Timestamp {
    crate::worker::now()
}
