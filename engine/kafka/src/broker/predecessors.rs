//! Ends what a member has left open that is a member no more: it was killed, or sleeps, in the middle of a transaction.
//!
//! Kafka gives such a transaction up by itself, but not before it has timed out, and then only when the broker next looks
//! for those that have, by default every 10 s; until then nobody can lead its partitions. So the offsets that are
//! committed name who has committed them, and whoever takes a partition over begins in that name, as its own next start
//! would: what is open in the name is aborted, and whoever wakes up with it is refused.

use std::collections::BTreeSet;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::Place;
use super::group::Members;
use super::member::{REQUEST_MAX, list};
use super::turns::Turns;
use crate::KafkaSettings;
use crate::security::token::Plain;

/// Who has last committed offsets of these places.
pub(super) fn writers(
    consumer: &BaseConsumer<Plain>,
    places: &[Place<'_>],
) -> Result<BTreeSet<String>, KafkaError> {
    let committed = consumer.committed_offsets(list(places), REQUEST_MAX)?;
    let elements = committed.elements();
    let names = elements.iter().map(|element| element.metadata());
    // Versions before this one have named none.
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Fences those of the writers who are in the group no more.
pub(super) fn fence_the_gone(
    kafka: &KafkaSettings,
    writers: &BTreeSet<String>,
    members: &Members,
) -> Result<(), KafkaError> {
    for writer in writers {
        if members.id_of(writer).is_none() {
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
