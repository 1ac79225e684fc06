//! The current snapshots of a type, for whoever wants to look at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateSnapshot, AggregateType, Checkpoint, Snapshot, snapshot_codec};
use tokio::task::spawn_blocking;

use crate::broker::{Broker, KafkaBroker, Place};
use crate::follower::FollowError;
use crate::runtime::Threads;
use crate::settled::{OPEN_MAX, settled_ranges};
use crate::{Cluster, KafkaSettings, ReadError, RecordReader, Registry, RegistryError};

/// What stands on the snapshot topic of an aggregate type. The states are as old as their sequences say: events
/// may have come since.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CurrentSnapshots {
    /// The newest snapshot of each aggregate that has one, whatever its shape.
    pub aggregates: BTreeMap<AggregateId, AggregateSnapshot>,
    /// How far each partition's snapshots are complete. A partition that is not in it has never been.
    pub checkpoints: BTreeMap<i32, Checkpoint>,
    /// The newest record of each key that cannot be used, by its key.
    pub damaged: BTreeMap<String, DamagedSnapshot>,
}

/// A record of a snapshot topic that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// Where it lies.
    pub partition: i32,
    /// Where it lies.
    pub offset: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// The snapshots of a type cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotsError {
    /// See [`RegistryError`].
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// See [`FollowError`].
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// Reads the newest snapshot of every aggregate of a type, once all that was written by now can be read. All are held in memory
/// at once.
pub async fn read_snapshots(
    kafka: &KafkaSettings,
    aggregate: &Arc<dyn AggregateType>,
    cluster: &Cluster,
) -> Result<CurrentSnapshots, SnapshotsError> {
    let info = aggregate.info();
    let topic = kafka.topics().snapshots(info);
    let codec = snapshot_codec(info);
    let registry = Registry::new(kafka)?;
    let reader = RecordReader::of_topic(&registry, &topic, &codec).await?;
    let partitions = cluster
        .partitions
        .get(&info.qualified_name())
        .copied()
        .unwrap_or_default();
    let broker = KafkaBroker::new(kafka);
    let reading = spawn_blocking(move || {
        let places: Vec<Place<'_>> = (0..partitions)
            .map(|partition| (topic.as_str(), partition))
            .collect();
        let found = settled_ranges((&broker, &Threads::current()), &places, OPEN_MAX)?;
        let starts = (0..)
            .zip(found)
            .map(|(partition, (low, _))| (partition, low))
            .collect();
        let mut current = CurrentSnapshots::default();
        broker.read_to_ends(&topic, &starts, &mut |message| {
            let snapshot = match decode(&reader, &codec, message.value) {
                Err(ReadError::Registry(away)) => {
                    return Err(FollowError::Record {
                        topic: topic.clone(),
                        partition: message.partition,
                        offset: message.offset,
                        source: away.into(),
                    });
                }
                read => read.map_err(|error| error.to_string()),
            };
            let key = String::from_utf8_lossy(message.key.unwrap_or_default());
            current.take(message.partition, message.offset, &key, snapshot);
            Ok(())
        })?;
        Ok::<_, FollowError>(current)
    });
    let read = reading.await.expect("reading snapshots does not panic");
    Ok(read?)
}

fn decode(
    reader: &RecordReader,
    codec: &foldline_core::RecordCodec,
    value: Option<&[u8]>,
) -> Result<Snapshot, ReadError> {
    let datum = reader.datum(codec, value.unwrap_or_default())?;
    Ok(Snapshot::decode(codec, &datum)?)
}

impl CurrentSnapshots {
    fn take(&mut self, partition: i32, offset: i64, key: &str, read: Result<Snapshot, String>) {
        self.damaged.remove(key);
        let reason = match read {
            Ok(Snapshot::Aggregate(snapshot)) if snapshot.is_whole() => {
                self.aggregates.insert(snapshot.aggregate_id.clone(), snapshot);
                return;
            }
            Ok(Snapshot::Checkpoint(checkpoint)) => {
                self.checkpoints.insert(partition, checkpoint);
                return;
            }
            Ok(Snapshot::CommandIds(ids)) if ids.is_whole() => return,
            Ok(_) => "its checksum is not that of its content".to_owned(),
            Err(reason) => reason,
        };
        // What was there before is gone: the newest record of a key is the one that counts.
        if let Ok(id) = key.parse::<AggregateId>() {
            self.aggregates.remove(&id);
        }
        let damaged = DamagedSnapshot {
            partition,
            offset,
            reason,
        };
        self.damaged.insert(key.to_owned(), damaged);
    }
}
