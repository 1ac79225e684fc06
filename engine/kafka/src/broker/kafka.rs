//! Kafka, behind the seam.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use super::member::KafkaMember;
use super::reader::{self, KafkaReader, KafkaWatermarks};
use super::{Appender, Broker, Isolation, Member, Message, Place, Reader, Seat, Watermarks};
use crate::KafkaSettings;
use crate::follower::FollowError;
use crate::security::token::Plain;

/// How long Kafka may take to take a command. Below the time that HTTP clients wait.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// A Kafka cluster. Nothing is connected before something is asked of it.
pub(crate) struct KafkaBroker {
    settings: KafkaSettings,
}

impl KafkaBroker {
    pub(crate) fn new(settings: &KafkaSettings) -> Self {
        Self {
            settings: settings.clone(),
        }
    }
}

impl Broker for KafkaBroker {
    fn join(&self, seat: Seat<'_>) -> Result<Box<dyn Member>, KafkaError> {
        Ok(Box::new(KafkaMember::join(&self.settings, seat)?))
    }

    fn appender(&self) -> Result<Box<dyn Appender>, KafkaError> {
        let producer: FutureProducer<Plain> = self
            .settings
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("compression.codec", "lz4")
            .set("message.timeout.ms", ACKNOWLEDGED_MAX.as_millis().to_string())
            .create_with_context(Plain)?;
        Ok(Box::new(producer))
    }

    fn follow(&self, from: &[(Place<'_>, i64)]) -> Result<Box<dyn Reader>, FollowError> {
        Ok(Box::new(KafkaReader::new(&self.settings, from)?))
    }

    fn read_to_ends(
        &self,
        topic: &str,
        from: &HashMap<i32, i64>,
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<HashMap<i32, i64>, FollowError> {
        reader::read_to_ends(&self.settings, topic, from, each)
    }

    fn read_range(
        &self,
        place: Place<'_>,
        range: (i64, i64),
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), FollowError>,
    ) -> Result<(), FollowError> {
        reader::read_range(&self.settings, place, range, each)
    }

    fn watermarks(&self, isolation: Isolation) -> Result<Box<dyn Watermarks>, FollowError> {
        Ok(Box::new(KafkaWatermarks::new(&self.settings, isolation)?))
    }
}

impl Appender for FutureProducer<Plain> {
    fn append<'a>(
        &'a self,
        (topic, partition): Place<'a>,
        key: &'a str,
        value: &'a [u8],
        headers: Option<OwnedHeaders>,
    ) -> BoxFuture<'a, Result<(), KafkaError>> {
        let mut record = FutureRecord::to(topic)
            .partition(partition)
            .key(key)
            .payload(value);
        record.headers = headers;
        let sent = self.send(record, Duration::ZERO);
        sent.map(|sent| sent.map(|_| ()).map_err(|(error, _)| error))
            .boxed()
    }

    fn is_there(&self, topic: Option<&str>, at_most: Duration) -> bool {
        self.client().fetch_metadata(topic, at_most).is_ok()
    }
}
