//! Ends what a member has left open that is a member no more: it was killed, or sleeps, in the middle of a transaction.
//!
//! Kafka gives such a transaction up by itself, but not before it has timed out, and then only when the broker next looks
//! for those that have, by default every 10 s; until then nobody can lead its partitions. So whoever takes a partition over
//! asks which transactions are open, and begins in the name of those of its group who are in it no more, as their own next
//! start would: what is open in the name is aborted, and whoever wakes up with it is refused. Who sleeps and has nothing open
//! is refused as well, when it is to commit offsets: the group does not know it.

use std::collections::BTreeSet;
use std::time::Duration;

use krafka::admin::ListTransactionsOptions;
use rdkafka::error::KafkaError;

use super::group::Members;
use super::turns::{Turns, member_of, unavailable};
use crate::KafkaSettings;
use crate::producer::{answered, connect};

/// What a broker calls a transaction whose records may come.
const OPEN: &str = "Ongoing";

/// A broker that has died is asked all the same until the others miss it, and whoever waits here decides nothing.
const LIST_MAX: Duration = Duration::from_secs(3);

/// The members of a group, present or gone, who have a transaction open. Their names begin with the group's.
pub(super) fn writers(kafka: &KafkaSettings, group: &str) -> Result<BTreeSet<String>, KafkaError> {
    let listed = answered(async {
        let open = ListTransactionsOptions::default()
            .states(vec![OPEN.to_owned()])
            .timeout(LIST_MAX);
        let listed = connect(kafka).await?.admin().list_transactions(open).await?;
        // One broker's silence must not keep what another one knows from us.
        let known = listed.into_values().filter_map(|of_broker| {
            of_broker
                .map_err(|error| tracing::warn!(%error, "a broker does not say what is open"))
                .ok()
        });
        Ok(known
            .flatten()
            .map(|open| open.transactional_id)
            .collect::<Vec<_>>())
    });
    let names_of_group = format!("{group}-");
    let ids = listed.map_err(unavailable)?;
    let ids = ids.iter().filter(|id| id.starts_with(&names_of_group));
    Ok(ids.map(|id| member_of(id).to_owned()).collect())
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
    Turns::new(kafka, member).map(drop)
}
