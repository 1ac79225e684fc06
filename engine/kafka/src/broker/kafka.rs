//! Kafka, behind the seam.

use std::collections::HashMap;

use rdkafka::error::KafkaError;

use super::appender::KafkaAppender;
use super::member::KafkaMember;
use super::reader::{self, KafkaReader, KafkaWatermarks};
use super::{Appender, Broker, Isolation, Member, Message, Place, Reader, Seat, Watermarks};
use crate::KafkaSettings;
use crate::follower::FollowError;

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
        Ok(Box::new(KafkaAppender::new(&self.settings)?))
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
