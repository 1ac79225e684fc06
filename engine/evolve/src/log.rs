//! A log, as the fold reads it: partition by partition, up to fixed ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateType, Domains, Sequence};
use foldline_kafka::Keys;
use serde_json::Value;

use crate::EvolveError;
use crate::past::{Past, referenced};
use crate::recording::{Ends, Header};
use crate::refold::{EventAt, Partition, Tape};

/// By aggregate, a sequence and the state at it.
pub(crate) type Snapshots = HashMap<AggregateId, (Sequence, Value)>;

/// Where events, results and commands come from.
pub(crate) trait Log {
    /// Which Kafka cluster it lies on.
    fn cluster(&self) -> &str;
    /// What the names of its topics begin with.
    fn topic_prefix(&self) -> &str;
    /// Where it ends now, by qualified name. What a result tells of lies below the ends of the events.
    fn ends(&mut self) -> Result<BTreeMap<String, Vec<Ends>>, EvolveError>;
    /// What its personal values are opened with.
    fn keys(&self) -> Keys {
        Keys::default()
    }
    /// The events of a partition alone.
    fn events<'a>(
        &'a mut self,
        aggregate: &'a Arc<dyn AggregateType>,
        number: i32,
        end: i64,
    ) -> Result<Tape<'a, EventAt>, EvolveError>;
    /// The states that the system keeps as snapshots, of the form that it writes now.
    fn snapshots(&mut self, aggregate: &Arc<dyn AggregateType>) -> Result<Snapshots, EvolveError>;
    /// All of a partition.
    fn partition<'a>(
        &'a mut self,
        aggregate: &'a Arc<dyn AggregateType>,
        number: i32,
        ends: Ends,
    ) -> Result<Partition<'a>, EvolveError>;
}

/// The aggregate type with this qualified name.
pub(crate) fn find<'a>(domains: &'a Domains, name: &str) -> Option<&'a Arc<dyn AggregateType>> {
    let (domain, name) = name.split_once('.')?;
    domains.aggregate(domain, name)
}

/// Reads what decisions on other aggregates may have seen. Events that cannot be read are not in it: they are found
/// when their own type is folded.
pub(crate) fn read_past(log: &mut dyn Log, domains: &Domains, header: &Header) -> Result<Past, EvolveError> {
    let referenced = referenced(domains);
    let mut past = Past::opened_with(log.keys());
    for of_type in header
        .types
        .iter()
        .filter(|of_type| referenced.contains(&of_type.name))
    {
        let Some(aggregate) = find(domains, &of_type.name) else {
            continue;
        };
        for (number, ends) in (0..).zip(&of_type.partitions) {
            for event in log.events(aggregate, number, ends.events)? {
                if let Ok(event) = event?.event {
                    past.add(aggregate, event);
                }
            }
        }
    }
    Ok(past)
}
