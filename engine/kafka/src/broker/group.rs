//! Who is in a consumer group, as Kafka tells anybody who asks.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::KafkaSettings;
use crate::security::token::{self, Plain};

/// Every broker is asked, and one that has just died does not answer; then nothing is known, and nobody waits for long.
const DESCRIBED_MAX: Duration = Duration::from_secs(3);

/// Belongs to no group, and reads what is committed although a transaction is open that has offsets too.
pub(super) fn asking(kafka: &KafkaSettings, group: &str) -> Result<BaseConsumer<Plain>, KafkaError> {
    let mut config = kafka.client();
    config
        .set("group.id", group)
        .set("isolation.level", "read_uncommitted")
        .set("enable.auto.commit", "false");
    token::consumer(&config, Plain)
}

/// The ids of a group's members.
pub(super) struct Members(Vec<String>);

impl Members {
    pub(super) fn of(consumer: &BaseConsumer<Plain>, group: &str) -> Result<Self, KafkaError> {
        let described = consumer.fetch_group_list(Some(group), DESCRIBED_MAX)?;
        let members = described.groups().iter().flat_map(|group| group.members());
        Ok(Self(members.map(|member| member.id().to_owned()).collect()))
    }

    /// The id of the static member of this name. A new one comes with each process, and each consumer, that joins under it.
    pub(super) fn id_of(&self, name: &str) -> Option<&str> {
        let mut ids = self.0.iter().map(String::as_str);
        ids.find(|id| is_of(id, name))
    }
}

/// Whether Kafka has given this id to a static member of this name: it is the name, and a UUID. Were it otherwise, a
/// member could be fenced that is still there; it would begin anew from what the log says.
fn is_of(id: &str, name: &str) -> bool {
    let rest = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| uuid::Uuid::try_parse(rest).is_ok())
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn the_id_of_a_static_member_tells_its_name() {
        let id = "foldline-commands-a-1-6f1e1f70-24a5-4a34-9c5d-0d8a3c3f7a11";
        assert!(is_of(id, "foldline-commands-a-1"));
        assert!(!is_of(id, "foldline-commands-a"));
        assert!(!is_of(id, "foldline-commands-a-10"));
        assert!(!is_of("foldline-commands-a-1", "foldline-commands-a-1"));
    }
}
