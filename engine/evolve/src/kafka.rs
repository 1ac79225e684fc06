//! The log on Kafka.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldline_core::personal::open;
use foldline_core::{
    AggregateId, AggregateType, CommandResult, DecodedCommand, DecodedEvent, Domains, RecordCodec,
    partition_of, result_codec,
};
use foldline_kafka::{
    Cluster, KafkaSettings, Keys, ReadError, RecordReader, Registry, Scan, ScannedRecord, TopicNames,
    find_topics, read_snapshots,
};

use crate::EvolveError;
use crate::log::{Log, Snapshots};
use crate::recording::Ends;
use crate::refold::{CommandAt, EventAt, Partition, Tape};

/// The topics of a program's aggregate types, as far as they are there. Blocking.
pub(crate) struct KafkaLog {
    kafka: KafkaSettings,
    /// The types whose topics are there.
    cluster: Cluster,
    names: TopicNames,
    readers: HashMap<String, Readers>,
    keys: Keys,
    // One for each of the three, because they are read side by side.
    events: Scan,
    results: Scan,
    commands: Scan,
}

struct Readers {
    events: RecordReader,
    results: RecordReader,
    commands: RecordReader,
    result_codec: RecordCodec,
}

impl KafkaLog {
    /// Asks which topics there are, and which schemas are registered. A type without topics has no events yet, and
    /// schemas of this program need not be registered: it has not been deployed.
    pub(crate) async fn open(kafka: &KafkaSettings, domains: &Domains) -> Result<Self, EvolveError> {
        let cluster = find_topics(kafka, domains).await?;
        let registry = Registry::new(kafka)?;
        let names = kafka.topics();
        let mut readers = HashMap::new();
        for aggregate in domains.aggregates() {
            let info = aggregate.info();
            let result_codec = result_codec(info);
            let reader = async |topic: &str, codec: &RecordCodec| {
                RecordReader::of_topic(&registry, topic, codec).await
            };
            let of_type = Readers {
                events: reader(&names.events(info), aggregate.event_codec()).await?,
                results: reader(&names.results(info), &result_codec).await?,
                commands: reader(&names.commands(info), aggregate.command_codec()).await?,
                result_codec,
            };
            readers.insert(info.qualified_name(), of_type);
        }
        Ok(Self {
            kafka: kafka.clone(),
            cluster,
            names,
            readers,
            keys: Keys::new(kafka, domains),
            events: Scan::new(kafka)?,
            results: Scan::new(kafka)?,
            commands: Scan::new(kafka)?,
        })
    }

    /// Reads the keys of personal values. A system from before there were any has none.
    pub(crate) fn read_keys(&self) -> Result<(), EvolveError> {
        let is_there = |topic: &String| self.events.range(topic, 0).is_ok();
        match self.keys.topics().iter().all(is_there) {
            true => Ok(self.keys.catch_up()?),
            false => Ok(()),
        }
    }

    fn end_of(&self, name: &str, kind: &str, number: i32) -> Result<i64, EvolveError> {
        let topic = format!("{}{name}.{kind}", self.kafka.topic_prefix);
        Ok(self.events.range(&topic, number)?.1)
    }
}

impl Log for KafkaLog {
    fn cluster(&self) -> &str {
        &self.cluster.id
    }

    fn topic_prefix(&self) -> &str {
        &self.kafka.topic_prefix
    }

    fn keys(&self) -> Keys {
        self.keys.clone()
    }

    fn ends(&mut self) -> Result<BTreeMap<String, Vec<Ends>>, EvolveError> {
        let places = self.cluster.partitions.iter();
        let places = places.flat_map(|(name, count)| (0..*count).map(move |number| (name.as_str(), number)));
        let places: Vec<(&str, i32)> = places.collect();
        let ends_of = |kind: &str| {
            let end = |(name, number): &(&str, i32)| self.end_of(name, kind, *number);
            places.iter().map(end).collect::<Result<Vec<i64>, EvolveError>>()
        };
        // The results of all types first: whatever one of them tells of was committed before the events' ends are asked for.
        let (results, events, commands) = (ends_of("results")?, ends_of("events")?, ends_of("commands")?);
        let mut all: BTreeMap<String, Vec<Ends>> = BTreeMap::new();
        for (((name, _), results), (events, commands)) in
            places.iter().zip(results).zip(events.into_iter().zip(commands))
        {
            // In the order of the numbers, as the places are.
            all.entry((*name).to_owned()).or_default().push(Ends {
                events,
                results,
                commands,
            });
        }
        Ok(all)
    }

    fn events<'a>(
        &'a mut self,
        aggregate: &'a Arc<dyn AggregateType>,
        number: i32,
        end: i64,
    ) -> Result<Tape<'a, EventAt>, EvolveError> {
        let readers = &self.readers[&aggregate.info().qualified_name()];
        self.events
            .begin(&self.names.events(aggregate.info()), number, 0, end)?;
        Ok(event_tape(&mut self.events, aggregate, readers, &self.keys))
    }

    fn snapshots(&mut self, aggregate: &Arc<dyn AggregateType>) -> Result<Snapshots, EvolveError> {
        let topic = self.names.snapshots(aggregate.info());
        if self.events.range(&topic, 0).is_err() {
            // A system from before there were any; that Kafka is there has been seen.
            return Ok(Snapshots::new());
        }
        let reading = read_snapshots(&self.kafka, aggregate, &self.cluster);
        let current = tokio::runtime::Handle::current().block_on(reading)?;
        let mut states = Snapshots::new();
        for (id, snapshot) in current.aggregates {
            let count = self.cluster.partitions.get(&aggregate.info().qualified_name());
            let partition = partition_of(&id, count.copied().unwrap_or(1));
            let checkpoint = current.checkpoints.get(&partition);
            // One of an older form is not used by the system either.
            if checkpoint.is_some_and(|checkpoint| checkpoint.shape == snapshot.shape)
                && let Ok(state) = serde_json::from_str(&snapshot.state)
            {
                states.insert(id, (snapshot.sequence, state));
            }
        }
        Ok(states)
    }

    fn partition<'a>(
        &'a mut self,
        aggregate: &'a Arc<dyn AggregateType>,
        number: i32,
        ends: Ends,
    ) -> Result<Partition<'a>, EvolveError> {
        let info = aggregate.info();
        let readers = &self.readers[&info.qualified_name()];
        self.events
            .begin(&self.names.events(info), number, 0, ends.events)?;
        self.results
            .begin(&self.names.results(info), number, 0, ends.results)?;
        let commands = self.names.commands(info);
        // Commands are kept for a while only.
        let first = self.commands.range(&commands, number)?.0;
        self.commands
            .begin(&commands, number, first, ends.commands.max(first))?;
        Ok(Partition {
            aggregate,
            events: event_tape(&mut self.events, aggregate, readers, &self.keys),
            results: tape(&mut self.results, |record| read_result(readers, &record)),
            commands: tape(&mut self.commands, |record| {
                Ok(CommandAt {
                    offset: record.offset,
                    command: passing(read_command(aggregate, readers, &record))?,
                })
            }),
        })
    }
}

fn event_tape<'a>(
    scan: &'a mut Scan,
    aggregate: &'a Arc<dyn AggregateType>,
    readers: &'a Readers,
    keys: &Keys,
) -> Tape<'a, EventAt> {
    let opener = keys.opener();
    tape(scan, move |record| {
        let key = record
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok());
        Ok(EventAt {
            offset: record.offset,
            id: key.and_then(|key| key.parse::<AggregateId>().ok()),
            event: passing(open(&opener, || read_event(aggregate, readers, &record)).0)?,
        })
    })
}

fn tape<'a, T>(
    scan: &'a mut Scan,
    read: impl Fn(ScannedRecord) -> Result<T, EvolveError> + 'a,
) -> Tape<'a, T> {
    Box::new(std::iter::from_fn(move || match scan.next_record() {
        Ok(record) => record.map(&read),
        Err(error) => Some(Err(error.into())),
    }))
}

/// What is wrong with a record is a finding; that the registry is away is not.
fn passing<T>(read: Result<T, ReadError>) -> Result<Result<T, String>, EvolveError> {
    match read {
        Ok(found) => Ok(Ok(found)),
        Err(ReadError::Registry(away)) => Err(away.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn read_event(
    aggregate: &Arc<dyn AggregateType>,
    readers: &Readers,
    record: &ScannedRecord,
) -> Result<DecodedEvent, ReadError> {
    let value = record.value.as_deref().unwrap_or_default();
    readers.events.event(aggregate.as_ref(), value)
}

fn read_command(
    aggregate: &Arc<dyn AggregateType>,
    readers: &Readers,
    record: &ScannedRecord,
) -> Result<DecodedCommand, ReadError> {
    let value = record.value.as_deref().unwrap_or_default();
    let datum = readers.commands.datum(aggregate.command_codec(), value)?;
    Ok(aggregate.decode_command(&datum)?)
}

fn read_result(readers: &Readers, record: &ScannedRecord) -> Result<CommandResult, EvolveError> {
    let value = record.value.as_deref().unwrap_or_default();
    let read = || -> Result<CommandResult, ReadError> {
        let datum = readers.results.datum(&readers.result_codec, value)?;
        Ok(readers.result_codec.decode_meta(&datum)?)
    };
    // The engine's own records: nothing can be said of a log whose results cannot be read.
    read().map_err(|source| EvolveError::Result {
        offset: record.offset,
        source,
    })
}
