//! The installed aggregate types with everything that belongs to them on the cluster.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldline_core::{
    AggregateId, AggregateType, CommandMeta, Domains, RecordCodec, partition_of, result_codec, snapshot_codec,
};
use uuid::Uuid;

use crate::broker::Place;
use crate::keys::{Keyring, Keys};
use crate::registry::{Registry, RegistryError};
use crate::{Cluster, KafkaSettings, RecordReader};

/// Every installed aggregate type.
pub(crate) struct Catalog {
    pub(crate) cluster_id: String,
    pub(crate) keys: Keys,
    types: Vec<Arc<Installed>>,
    by_command_topic: HashMap<String, usize>,
}

/// An aggregate type with its topics and its schemas.
pub(crate) struct Installed {
    /// Its place in the catalog.
    pub(crate) index: usize,
    /// Begins its keys in the local store: the same whichever other types are installed.
    pub(crate) tag: [u8; 4],
    pub(crate) aggregate: Arc<dyn AggregateType>,
    /// As tokens name it.
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) commands: Topic,
    pub(crate) events: Topic,
    pub(crate) results: Topic,
    pub(crate) snapshots: Topic,
    pub(crate) dead_letters: String,
    /// `source` of its events, as CloudEvents have it.
    pub(crate) event_source: Bytes,
    pub(crate) result_codec: Arc<RecordCodec>,
    pub(crate) snapshot_codec: Arc<RecordCodec>,
    /// The keys of the people whom its personal values are about; none if it has no such values.
    pub(crate) keys: Option<Arc<Keyring>>,
}

/// A topic and what reads its records.
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) reader: RecordReader,
}

/// A partition of an aggregate type: of its command, event and result topics alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slice {
    /// The type's place in the catalog.
    pub(crate) index: usize,
    pub(crate) partition: i32,
}

impl Catalog {
    /// Looks the schemas up, which must be registered.
    pub(crate) async fn load(
        kafka: &KafkaSettings,
        domains: &Domains,
        cluster: &Cluster,
    ) -> Result<Self, RegistryError> {
        let registry = Registry::new(kafka)?;
        let names = kafka.topics();
        let keys = Keys::new(kafka, domains);
        let mut types = Vec::new();
        for (index, aggregate) in domains.aggregates().iter().enumerate() {
            let info = aggregate.info();
            let name = info.qualified_name();
            let result_codec = Arc::new(result_codec(info));
            let snapshot_codec = Arc::new(snapshot_codec(info));
            let topic = async |topic: String, codec: &RecordCodec| {
                let reader = RecordReader::registered(&registry, &topic, codec).await?;
                Ok(Topic { name: topic, reader })
            };
            types.push(Arc::new(Installed {
                index,
                tag: tag(&name),
                aggregate: Arc::clone(aggregate),
                partitions: cluster.partitions.get(&name).copied().unwrap_or(1),
                commands: topic(names.commands(info), aggregate.command_codec()).await?,
                events: topic(names.events(info), aggregate.event_codec()).await?,
                results: topic(names.results(info), &result_codec).await?,
                snapshots: topic(names.snapshots(info), &snapshot_codec).await?,
                dead_letters: names.dead_letters(info),
                event_source: format!("/{}", name.replace('.', "/")).into(),
                result_codec,
                snapshot_codec,
                keys: keys.of(&info.domain).filter(|_| info.is_personal).cloned(),
                name,
            }));
        }
        Ok(Self::new(cluster.id.clone(), keys, types))
    }

    fn new(cluster_id: String, keys: Keys, types: Vec<Arc<Installed>>) -> Self {
        let by_command_topic = types
            .iter()
            .map(|installed| (installed.commands.name.clone(), installed.index))
            .collect();
        Self {
            cluster_id,
            keys,
            types,
            by_command_topic,
        }
    }

    /// Without a registry, and without keys: each topic has the next id. `salt` tells the keys of its local store from those of others.
    #[cfg(test)]
    pub(crate) fn offline(registry: &Registry, domains: &Domains, partitions: i32, salt: u8) -> Self {
        let mut ids = 1..;
        let mut topic = |name: String, what: &str| Topic {
            name: format!("{name}.{what}"),
            reader: RecordReader::new(registry, ids.next().unwrap_or_default()),
        };
        let install = |(index, aggregate): (usize, &Arc<dyn AggregateType>)| {
            let info = aggregate.info();
            let name = info.qualified_name();
            let [a, b, c, d] = tag(&name);
            Arc::new(Installed {
                index,
                tag: [a, b, c, d ^ salt],
                aggregate: Arc::clone(aggregate),
                partitions,
                commands: topic(name.clone(), "commands"),
                events: topic(name.clone(), "events"),
                results: topic(name.clone(), "results"),
                snapshots: topic(name.clone(), "snapshots"),
                dead_letters: format!("{name}.commands.dlt"),
                event_source: Bytes::from_static(b"/"),
                result_codec: Arc::new(result_codec(info)),
                snapshot_codec: Arc::new(snapshot_codec(info)),
                keys: None,
                name,
            })
        };
        let types = domains.aggregates().iter().enumerate().map(install).collect();
        Self::new("simulated".to_owned(), Keys::default(), types)
    }

    /// The same with these keys: a process that is started has none of those that an earlier one had.
    #[cfg(test)]
    pub(crate) fn with_keys(&self, keys: Keys) -> Self {
        let topic = |topic: &Topic| Topic {
            name: topic.name.clone(),
            reader: topic.reader.again(),
        };
        let with = |installed: &Arc<Installed>| {
            let info = installed.aggregate.info();
            Arc::new(Installed {
                index: installed.index,
                tag: installed.tag,
                aggregate: Arc::clone(&installed.aggregate),
                name: installed.name.clone(),
                partitions: installed.partitions,
                commands: topic(&installed.commands),
                events: topic(&installed.events),
                results: topic(&installed.results),
                snapshots: topic(&installed.snapshots),
                dead_letters: installed.dead_letters.clone(),
                event_source: installed.event_source.clone(),
                result_codec: Arc::clone(&installed.result_codec),
                snapshot_codec: Arc::clone(&installed.snapshot_codec),
                keys: keys.of(&info.domain).filter(|_| info.is_personal).cloned(),
            })
        };
        let types = self.types.iter().map(with).collect();
        Self::new(self.cluster_id.clone(), keys, types)
    }

    pub(crate) fn types(&self) -> &[Arc<Installed>] {
        &self.types
    }

    /// Those whose commands come from elsewhere, not from the engine itself.
    pub(crate) fn asked_by_others(&self) -> impl Iterator<Item = &Arc<Installed>> {
        let types = self.types.iter();
        types.filter(|installed| !installed.aggregate.info().is_internal())
    }

    pub(crate) fn get(&self, slice: Slice) -> &Arc<Installed> {
        &self.types[slice.index]
    }

    /// The partition that a slice's commands come from.
    pub(crate) fn commands(&self, slice: Slice) -> Place<'_> {
        (&self.get(slice).commands.name, slice.partition)
    }

    pub(crate) fn by_command_topic(&self, topic: &str) -> Option<&Arc<Installed>> {
        self.by_command_topic.get(topic).map(|index| &self.types[*index])
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Installed>> {
        self.types.iter().find(|installed| installed.name == name)
    }

    /// Another type of the same domain.
    pub(crate) fn sibling(&self, of: &Installed, name: &str) -> Option<&Arc<Installed>> {
        let domain = &of.aggregate.info().domain;
        self.types.iter().find(|installed| {
            let info = installed.aggregate.info();
            info.name == name && info.domain == *domain
        })
    }

    pub(crate) fn of(&self, aggregate: &dyn AggregateType) -> Option<&Arc<Installed>> {
        self.by_name(&aggregate.info().qualified_name())
    }
}

impl Installed {
    /// The id in a command's record, even if the rest of it is no command. Blocks as [`RecordReader::datum`] does.
    pub(crate) fn command_id(&self, value: &[u8]) -> Option<Uuid> {
        let codec = self.aggregate.command_codec();
        let datum = self.commands.reader.datum(codec, value).ok()?;
        let meta: CommandMeta = codec.peek_meta(&datum).ok()?;
        Some(meta.command_id)
    }

    pub(crate) fn slice(&self, partition: i32) -> Slice {
        Slice {
            index: self.index,
            partition,
        }
    }

    /// Where an aggregate lies.
    pub(crate) fn slice_of(&self, id: &AggregateId) -> Slice {
        self.slice(partition_of(id, self.partitions))
    }

    pub(crate) fn slices(&self) -> impl Iterator<Item = Slice> + '_ {
        (0..self.partitions).map(|partition| self.slice(partition))
    }
}

fn tag(name: &str) -> [u8; 4] {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}
