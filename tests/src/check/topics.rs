//! What stands on the topics of an aggregate type.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldline_core::personal::{Opening, Sealed, open, open_text};
use foldline_core::{
    AggregateType, CommandMeta, CommandResult, DecodedEvent, Domains, EventMeta, result_codec,
};
use foldline_kafka::{KafkaSettings, Keys};

use crate::log;

const SETTLED_MAX: Duration = Duration::from_secs(60);
/// A zero byte and the schema's id, before each datum.
const WIRE_FORMAT: usize = 5;

/// A record, and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    /// Where.
    pub partition: i32,
    /// Where.
    pub offset: i64,
    /// What it says.
    pub record: T,
}

/// The topics of one aggregate type, each in the order of partitions and offsets.
pub struct Topics {
    /// The type.
    pub aggregate: Arc<dyn AggregateType>,
    /// What was asked.
    pub commands: Vec<Placed<CommandMeta>>,
    /// Where something lies among them that is no command.
    pub unreadable: Vec<(i32, i64)>,
    /// Of which of these places there are dead letters.
    pub letters: Vec<(i32, i64)>,
    /// What happened.
    pub events: Vec<Placed<DecodedEvent>>,
    /// What became of what was asked.
    pub results: Vec<Placed<CommandResult>>,
    /// What opens the personal values in the events, which are opened.
    pub keys: Keys,
}

impl Topics {
    /// Reads the topics of all aggregate types, once every command has its result. Panics if a record cannot be
    /// read, or if that does not come about.
    pub fn read_settled(kafka: &KafkaSettings, domains: &Domains) -> Vec<Self> {
        let all = Self::read_at_last(kafka, domains);
        for topics in &all {
            let (commands, results) = (topics.commands.len(), topics.results.len());
            let name = topics.aggregate.info().qualified_name();
            assert!(
                results >= commands,
                "{name}: {commands} commands, {results} results"
            );
        }
        all
    }

    /// Reads the topics of all aggregate types, once every command has its result, or has had the time for it.
    pub fn read_at_last(kafka: &KafkaSettings, domains: &Domains) -> Vec<Self> {
        let started_at = Instant::now();
        let keys = Keys::new(kafka, domains);
        keys.catch_up().expect("the keys are there");
        let all = domains.aggregates().iter();
        let read = |aggregate: &Arc<dyn AggregateType>| loop {
            let topics = Self::read(kafka, aggregate, &keys);
            // More results than commands is for the checks to find.
            if topics.results.len() >= topics.commands.len() || started_at.elapsed() > SETTLED_MAX {
                return topics;
            }
        };
        // What the engine keeps for itself is asked by the others: it is the last to settle.
        let (internal, domain): (Vec<_>, Vec<_>) = all.partition(|aggregate| aggregate.info().is_internal());
        domain.into_iter().chain(internal).map(read).collect()
    }

    fn read(kafka: &KafkaSettings, aggregate: &Arc<dyn AggregateType>, keys: &Keys) -> Self {
        let (info, names) = (aggregate.info(), kafka.topics());
        let results = result_codec(info);
        let (mut commands, mut unreadable) = (Vec::new(), Vec::new());
        for record in log::read(kafka, &names.commands(info)) {
            let place = (record.partition, record.offset);
            let datum = record.value.get(WIRE_FORMAT..).unwrap_or_default();
            match aggregate.decode_command(datum) {
                Ok(command) => commands.push(Placed {
                    partition: record.partition,
                    offset: record.offset,
                    record: command.meta,
                }),
                Err(_) => unreadable.push(place),
            }
        }
        let letters = log::read(kafka, &names.dead_letters(info));
        Self {
            commands,
            unreadable,
            letters: letters.iter().filter_map(place_of_letter).collect(),
            events: decoded(kafka, &names.events(info), |datum| {
                let (event, _) = open(&keys.opener(), || aggregate.decode_event(datum));
                Ok(event?)
            }),
            results: decoded(kafka, &names.results(info), |datum| {
                Ok(results.decode_meta(datum)?)
            }),
            aggregate: Arc::clone(aggregate),
            keys: keys.clone(),
        }
    }

    /// JSON as clients see it.
    pub fn opened(&self, json: &str) -> String {
        let opener = self.keys.opener();
        let says = |sealed: &Sealed<'_>| match opener.open(sealed) {
            Opening::Says(text) => Some(text),
            Opening::Erased | Opening::Unknown => None,
        };
        open_text(json, says).into_owned()
    }

    /// The events without what they say.
    pub fn event_metas(&self) -> Vec<Placed<EventMeta>> {
        let meta = |event: &Placed<DecodedEvent>| Placed {
            partition: event.partition,
            offset: event.offset,
            record: event.record.meta.clone(),
        };
        self.events.iter().map(meta).collect()
    }
}

/// The place that a dead letter is of. One that was handled has a record without value.
fn place_of_letter(letter: &log::Record) -> Option<(i32, i64)> {
    let number = |name: &str| letter.header(&format!("__foldline.errors.{name}"));
    let partition = number("partition")?.parse().ok()?;
    Some((partition, number("offset")?.parse().ok()?))
}

fn decoded<T>(
    kafka: &KafkaSettings,
    topic: &str,
    decode: impl Fn(&[u8]) -> anyhow::Result<T>,
) -> Vec<Placed<T>> {
    let records = log::read(kafka, topic).into_iter();
    let placed = |record: log::Record| {
        let datum = record.value.get(WIRE_FORMAT..).unwrap_or_default();
        let decoded = decode(datum).unwrap_or_else(|error| panic!("{topic}: {record:?}: {error}"));
        Placed {
            partition: record.partition,
            offset: record.offset,
            record: decoded,
        }
    };
    records.map(placed).collect()
}
