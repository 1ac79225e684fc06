//! The states that the events make, by the domains' own fold and nothing else of the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateType, Domains, Sequence, State};
use foldline_kafka::KafkaSettings;

use crate::log;

/// An aggregate, event by event.
pub struct Folded {
    /// Where its events lie: this offset in its partition.
    pub offsets: Vec<i64>,
    /// Its partition.
    pub partition: i32,
    /// Its state after each event.
    pub states: Vec<State>,
}

impl Folded {
    /// The sequence of its last event below an offset; 0 if it has none.
    pub fn sequence_below(&self, offset: i64) -> Sequence {
        let below = self.offsets.partition_point(|event| *event < offset);
        Sequence::try_from(below).expect("so few")
    }

    /// Its state at a sequence, from 1.
    pub fn state(&self, sequence: Sequence) -> &State {
        let before = usize::try_from(sequence - 1).expect("a sequence from 1");
        &self.states[before]
    }

    /// That of its last event.
    pub fn sequence(&self) -> Sequence {
        Sequence::try_from(self.states.len()).expect("so few")
    }
}

/// Every aggregate of a type.
pub fn of_type(kafka: &KafkaSettings, aggregate: &dyn AggregateType) -> BTreeMap<AggregateId, Folded> {
    let mut all: BTreeMap<AggregateId, Folded> = BTreeMap::new();
    for record in log::read(kafka, &kafka.topics().events(aggregate.info())) {
        let event = aggregate.decode_event(&record.value[5..]).expect("an event");
        let id = event.meta.aggregate_id.clone();
        let folded = all.entry(id).or_insert_with(|| Folded {
            offsets: Vec::new(),
            partition: record.partition,
            states: Vec::new(),
        });
        assert_eq!(event.meta.sequence, folded.sequence() + 1, "{:?}", event.meta);
        let mut state = match folded.states.last() {
            Some(last) => aggregate.clone_state(last),
            None => aggregate.initial(),
        };
        aggregate.evolve(&mut state, &event.event);
        folded.states.push(state);
        folded.offsets.push(record.offset);
    }
    all
}

/// Every aggregate of every type, those that the engine keeps for itself included.
pub fn all(
    kafka: &KafkaSettings,
    domains: &Domains,
) -> Vec<(Arc<dyn AggregateType>, BTreeMap<AggregateId, Folded>)> {
    let of = |aggregate: &Arc<dyn AggregateType>| {
        let folded = of_type(kafka, aggregate.as_ref());
        (Arc::clone(aggregate), folded)
    };
    domains.aggregates().iter().map(of).collect()
}
