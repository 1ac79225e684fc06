//! Settings of topics that hold for the time of an erasure only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foldline_core::Timestamp;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use tokio::task::spawn_blocking;

use super::{EraseError, LOOK_AGAIN, REQUEST_MAX, STEP_MAX, Work};
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

    /// What a topic has of its own. An erasure that was killed while it had set these has left them behind: in place of them
    /// comes what the topic was made with.
    pub(super) async fn own_settings(
        &self,
        topic: &str,
        ours: &[(&str, &str)],
        made_with: &[(&str, &str)],
    ) -> Result<Own, EraseError> {
        let topic = ResourceSpecifier::Topic(topic);
        let described = self.describe(topic, &options()).await?.entries.into_iter();
        let own = described.filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let own = own.filter_map(|entry| Some((entry.name, entry.value?)));
        let as_it_was = |(key, value): (String, String)| {
            if !ours.contains(&(key.as_str(), value.as_str())) {
                return Some((key, value));
            }
            let made_with = made_with.iter().find(|(made_with, _)| *made_with == key)?;
            Some((key, made_with.1.to_owned()))
        };
        Ok(own.filter_map(as_it_was).collect())
    }

    /// Sets these beside those.
    pub(super) async fn set_beside(
        &self,
        topic: &str,
        own: &Own,
        more: &[(&str, &str)],
    ) -> Result<(), EraseError> {
        let more = more
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let own = own.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.set_all(topic, &own.chain(more).collect()).await
    }

    /// Waits until every broker shows a topic's setting.
    pub(super) async fn wait_until_shown(
        &self,
        topic: &str,
        (key, value): (&str, &str),
    ) -> Result<(), EraseError> {
        let asked_at = Instant::now();
        for broker in self.brokers().await? {
            let asked = options().broker_id(broker);
            loop {
                let described = self.describe(ResourceSpecifier::Topic(topic), &asked).await?;
                let found = described.get(key).and_then(|entry| entry.value.as_deref());
                if found == Some(value) {
                    break;
                }
                if asked_at.elapsed() > STEP_MAX {
                    let doing = format!("change {key} of {topic}");
                    return Err(refused(&doing, &format!("broker {broker} does not show it")));
                }
                tokio::time::sleep(LOOK_AGAIN / 10).await;
            }
        }
        Ok(())
    }

    /// The brokers that are there.
    async fn brokers(&self) -> Result<Vec<i32>, EraseError> {
        let admin = self.admin()?;
        let asked = spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, REQUEST_MAX)?;
            let brokers = metadata.brokers().iter();
            Ok::<_, rdkafka::error::KafkaError>(brokers.map(rdkafka::metadata::MetadataBroker::id).collect())
        });
        Ok(asked.await.expect("asking for metadata does not panic")?)
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
        let mut left = Duration::ZERO;
        for broker in self.brokers().await? {
            let described = self
                .describe(ResourceSpecifier::Broker(broker), &options())
                .await?;
            let mut own = Duration::ZERO;
            for (key, default) in [
                ("log.retention.check.interval.ms", 300_000),
                ("log.segment.delete.delay.ms", 60_000),
            ] {
                let value = described
                    .get(key)
                    .and_then(|entry| entry.value.as_ref()?.parse().ok());
                own += Duration::from_millis(value.unwrap_or(default));
            }
            left = left.max(own);
        }
        let at = now()
            .0
            .saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
        Ok(Timestamp(at).to_string())
    }

    async fn describe(
        &self,
        what: ResourceSpecifier<'_>,
        asked: &AdminOptions,
    ) -> Result<ConfigResource, EraseError> {
        let doing = format!("describe {what:?}");
        let described = self.admin()?.describe_configs([&what], asked).await?;
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
