//! Settings of topics that hold for the time of an erasure only.

use std::collections::BTreeMap;
use std::time::Duration;

use foldline_core::Timestamp;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use tokio::task::spawn_blocking;

use super::{EraseError, REQUEST_MAX, Work};
use crate::security::token;
use crate::worker::now;

/// The settings of a topic that are its own.
pub(super) type Own = BTreeMap<String, String>;

impl Work {
    pub(super) fn admin(&self) -> Result<AdminClient<DefaultClientContext>, EraseError> {
        let config = self.kafka.client();
        let admin: AdminClient<_> = config.create()?;
        token::introduce(&config, admin.inner())?;
        Ok(admin)
    }

    /// Sets these beside those that a topic has; returns those that it had.
    pub(super) async fn set(&self, topic: &str, more: &[(&str, &str)]) -> Result<Own, EraseError> {
        let described = self.describe(ResourceSpecifier::Topic(topic)).await?;
        let own = described
            .entries
            .into_iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let own: Own = own.filter_map(|entry| Some((entry.name, entry.value?))).collect();
        let mut own = own;
        // Left behind by an erasure that was killed in between.
        own.retain(|key, value| !more.contains(&(key.as_str(), value.as_str())));
        let mut wanted = own.clone();
        wanted.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        self.set_all(topic, &wanted).await?;
        Ok(own)
    }

    /// Sets all that a topic has of its own.
    pub(super) async fn set_all(&self, topic: &str, own: &Own) -> Result<(), EraseError> {
        let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let wanted = own
            .iter()
            .fold(wanted, |wanted, (key, value)| wanted.set(key, value));
        let altered = self.admin()?.alter_configs([&wanted], &options()).await?;
        for result in altered {
            result.map_err(|(_, code)| refused(&format!("change the settings of {topic}"), &code))?;
        }
        Ok(())
    }

    /// When Kafka has removed from its disks what was removed by now: it looks for what can go now and then, and leaves
    /// files for a while under another name.
    pub(super) async fn gone_by(&self) -> Result<String, EraseError> {
        let admin = self.admin()?;
        let asked = spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, REQUEST_MAX)?;
            Ok::<_, rdkafka::error::KafkaError>(
                metadata
                    .brokers()
                    .first()
                    .map(rdkafka::metadata::MetadataBroker::id),
            )
        });
        let broker = asked.await.expect("asking for metadata does not panic")?;
        let mut left = Duration::ZERO;
        if let Some(broker) = broker {
            let described = self.describe(ResourceSpecifier::Broker(broker)).await?;
            for (key, default) in [
                ("log.retention.check.interval.ms", 300_000),
                ("log.segment.delete.delay.ms", 60_000),
            ] {
                let value = described
                    .get(key)
                    .and_then(|entry| entry.value.as_ref()?.parse().ok());
                left += Duration::from_millis(value.unwrap_or(default));
            }
        }
        let at = now()
            .0
            .saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
        Ok(Timestamp(at).to_string())
    }

    async fn describe(&self, what: ResourceSpecifier<'_>) -> Result<ConfigResource, EraseError> {
        let doing = format!("describe {what:?}");
        let described = self.admin()?.describe_configs([&what], &options()).await?;
        let described = described.into_iter().next();
        let described = described.ok_or_else(|| refused(&doing, &"no answer"))?;
        described.map_err(|code| refused(&doing, &code))
    }
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_MAX))
        .operation_timeout(Some(REQUEST_MAX))
}

pub(super) fn refused(doing: &str, reason: &dyn std::fmt::Display) -> EraseError {
    EraseError::Refused {
        doing: doing.to_owned(),
        reason: reason.to_string(),
    }
}
