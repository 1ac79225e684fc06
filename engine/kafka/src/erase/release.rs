//! Unique values of who is erased are free again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use foldline_core::{
    AggregateId, AggregateType, AnyCommand, Claim, ClaimCommand, ClaimEvent, CommandMeta, DecodedEvent,
    EncodeError, partition_of,
};
use uuid::Uuid;

use super::survey::Found;
use super::{EraseError, LOOK_AGAIN, Released, STEP_MAX, Work, blocking};
use crate::registry::begin_wire_format;
use crate::worker::now;
use crate::{RecordReader, Registry};

/// A claim that is held: its value, as it is claimed, and by whom.
pub(crate) type Holds = BTreeMap<AggregateId, (String, String)>;

impl Work {
    /// Gives up what the person's aggregates hold, and waits until that is decided. Adds what is given up by then.
    pub(super) async fn release(
        self: &Arc<Self>,
        found: &Found,
        released: &mut Vec<Released>,
    ) -> Result<(), EraseError> {
        for kind in &self.types {
            let info = kind.info();
            let holders = found.aggregates.get(&info.qualified_name());
            let holders: HashSet<String> = holders.into_iter().flatten().map(ToString::to_string).collect();
            for unique in info.unique {
                let name = Claim::type_name(&info.name, unique);
                // With the type, its claims are installed.
                let Some(claims) = self.domains.aggregate(&info.domain, &name) else {
                    continue;
                };
                released.extend(self.release_all(claims, &holders).await?);
            }
        }
        Ok(())
    }

    async fn release_all(
        self: &Arc<Self>,
        claims: &Arc<dyn AggregateType>,
        holders: &HashSet<String>,
    ) -> Result<Vec<Released>, EraseError> {
        let held = self.held(claims, holders).await?;
        for (claim, (value, holder)) in &held {
            self.ask(claims, claim, (value, holder)).await?;
        }
        let asked_at = Instant::now();
        while let Some(claim) = self.held(claims, holders).await?.into_keys().next() {
            if asked_at.elapsed() > STEP_MAX {
                let topic = self.kafka.topics().commands(claims.info());
                return Err(EraseError::NotReleased { topic, claim });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let released = held.into_keys().map(|claim| Released {
            claims: claims.info().qualified_name(),
            claim: claim.to_string(),
        });
        Ok(released.collect())
    }

    /// The claims that these aggregates hold.
    async fn held(
        self: &Arc<Self>,
        claims: &Arc<dyn AggregateType>,
        holders: &HashSet<String>,
    ) -> Result<Holds, EraseError> {
        let registry = Registry::new(&self.kafka)?;
        let topic = self.kafka.topics().events(claims.info());
        let reader = RecordReader::of_topic(&registry, &topic, claims.event_codec()).await?;
        let (claims, holders) = (Arc::clone(claims), holders.clone());
        blocking(self, move |work| {
            let partitions = work.partitions(claims.info());
            let mut held = Holds::new();
            work.read(&topic, partitions, &mut |message| {
                held_after(
                    &mut held,
                    &super::survey::decoded(&claims, &reader, message)?,
                    &holders,
                );
                Ok(())
            })?;
            Ok(held)
        })
        .await
    }

    async fn ask(
        &self,
        claims: &Arc<dyn AggregateType>,
        claim: &AggregateId,
        (value, holder): (&str, &str),
    ) -> Result<(), EraseError> {
        let topic = self.kafka.topics().commands(claims.info());
        let registry = Registry::new(&self.kafka)?;
        let writer = RecordReader::registered(&registry, &topic, claims.command_codec()).await?;
        let record = request(claims.as_ref(), writer.own_id(), claim, (value, holder))?;
        let partition = partition_of(claim, self.partitions(claims.info()));
        let appender = self.broker.appender()?;
        Ok(appender
            .append((&topic, partition), claim.as_str(), &record, Vec::new())
            .await?)
    }
}

/// What these aggregates hold after an event of a claim.
pub(crate) fn held_after(held: &mut Holds, event: &DecodedEvent, holders: &HashSet<String>) {
    let id = event.meta.aggregate_id.clone();
    match event.event.get::<Claim>() {
        Some(ClaimEvent::ValueReserved { value, holder }) if holders.contains(holder) => {
            held.insert(id, (value.clone(), holder.clone()));
        }
        _ => drop(held.remove(&id)),
    }
}

/// The record of the command that gives a claim up.
pub(crate) fn request(
    claims: &dyn AggregateType,
    schema_id: u32,
    claim: &AggregateId,
    (value, holder): (&str, &str),
) -> Result<Vec<u8>, EncodeError> {
    let command = AnyCommand::new::<Claim>(ClaimCommand::ReleaseValue {
        value: value.to_owned(),
        holder: holder.to_owned(),
    });
    // Another one each time: a person may have taken the value again before this was repeated.
    let mut meta = CommandMeta::new(Uuid::new_v4(), claim.clone(), now());
    let mut record = Vec::new();
    begin_wire_format(schema_id, &mut record);
    claims.encode_command(&mut meta, &command, &mut record)?;
    Ok(record)
}
