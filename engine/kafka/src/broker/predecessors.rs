//! Ends what a member has left open that is a member no more: it was killed, or sleeps, in the middle of a transaction.
//!
//! Kafka gives such a transaction up by itself, but not before it has timed out, and then only when the broker next looks
//! for those that have, by default every 10 s; until then nobody can lead its partitions. So the offsets that are
//! committed name who has committed them, and whoever takes a partition over begins in that name, as its own next start
//! would: what is open in the name is aborted, and whoever wakes up with it is refused.

use std::collections::BTreeSet;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupMemberInfo;

use super::Place;
use super::member::{REQUEST_MAX, list};
use super::turns::Turns;
use crate::KafkaSettings;
use crate::security::token::{self, Plain};

/// Fences those of the last writers of these places who are in the group no more.
pub(super) fn fence_the_gone(
    kafka: &KafkaSettings,
    group: &str,
    own: &str,
    places: &[Place<'_>],
) -> Result<(), KafkaError> {
    let consumer = asking(kafka, group)?;
    let committed = consumer.committed_offsets(list(places), REQUEST_MAX)?;
    let writers = committed.elements();
    let writers = writers.iter().map(|element| element.metadata());
    // Versions before this one have named none.
    let writers: BTreeSet<&str> = writers.filter(|name| !name.is_empty() && *name != own).collect();
    if writers.is_empty() {
        return Ok(());
    }
    let described = consumer.fetch_group_list(Some(group), REQUEST_MAX)?;
    let members = described.groups().iter().flat_map(|group| group.members());
    let members: Vec<&GroupMemberInfo> = members.collect();
    for writer in writers {
        if members.iter().all(|member| !is_of(member.id(), writer)) {
            tracing::info!(member = writer, "ending what a lost member may have left open");
            end_what_is_open(kafka, writer)?;
        }
    }
    Ok(())
}

/// Ends what this member has left open, as its next [join](super::Broker::join) would.
pub(crate) fn end_what_is_open(kafka: &KafkaSettings, member: &str) -> Result<(), KafkaError> {
    // Each of its two producers does when it begins.
    Turns::new(kafka, member, false).map(drop)
}

/// Whether Kafka has given this id to a static member of this name: it is the name, and a UUID. Were it otherwise, a
/// member could be fenced that is still there; it would begin anew from what the log says.
fn is_of(id: &str, name: &str) -> bool {
    let rest = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| uuid::Uuid::try_parse(rest).is_ok())
}

/// Belongs to no group, and reads what is committed although a transaction is open that has offsets too.
fn asking(kafka: &KafkaSettings, group: &str) -> Result<BaseConsumer<Plain>, KafkaError> {
    let mut config = kafka.client();
    config
        .set("group.id", group)
        .set("isolation.level", "read_uncommitted")
        .set("enable.auto.commit", "false");
    token::consumer(&config, Plain)
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
