//! The rows that a projection makes, held in memory.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{Aggregate, AggregateId, AnyEvent, EventMeta, Projection, Source, Timestamp};

/// No row yet.
pub fn rows<P: Projection>() -> Rows<P> {
    Rows {
        sources: P::sources(),
        rows: BTreeMap::new(),
        sequences: BTreeMap::new(),
    }
}

/// The rows of a projection.
#[must_use]
pub struct Rows<P: Projection> {
    sources: Vec<Source<P::View>>,
    rows: BTreeMap<AggregateId, P::View>,
    sequences: BTreeMap<(&'static str, AggregateId), i64>,
}

impl<P: Projection> Rows<P> {
    /// Projects events of an aggregate, the next ones of it. Each occurs at a second of its own: that of its
    /// sequence.
    pub fn after<A: Aggregate>(mut self, id: &str, events: impl IntoIterator<Item = A::Event>) -> Self {
        let id: AggregateId = id.parse().expect("an aggregate id");
        for event in events {
            let sequence = self.sequences.entry((A::NAME, id.clone())).or_default();
            *sequence += 1;
            let meta = event_meta(id.as_str(), *sequence);
            self.project(A::NAME, &meta, &AnyEvent::new::<A>(event));
        }
        self
    }

    /// The row of this id that clients see.
    pub fn row(&self, id: &str) -> Option<P::View> {
        let id = id.parse().expect("an aggregate id");
        self.rows.get(&id).filter(|row| P::is_listed(row)).cloned()
    }

    fn project(&mut self, aggregate: &str, meta: &EventMeta, event: &AnyEvent) {
        for source in self.sources.iter().filter(|source| source.aggregate == aggregate) {
            for key in (source.keys)(meta, event) {
                let before = self.rows.remove(&key);
                if let Some(row) = (source.fold)(before, meta, event, &key) {
                    self.rows.insert(key, row);
                }
            }
        }
    }
}

/// What is known of an event in all these tests, besides its payload: it occurs at the second of its sequence.
pub fn event_meta(id: &str, sequence: i64) -> EventMeta {
    let at = Timestamp(sequence * 1000);
    EventMeta {
        event_id: Uuid::nil(),
        event_type: String::new(),
        aggregate_id: id.parse().expect("an aggregate id"),
        sequence,
        revision: 1,
        occurred_at: at,
        recorded_at: at,
        command_id: super::COMMAND_ID,
        correlation_id: super::COMMAND_ID.to_string(),
        causation_id: super::COMMAND_ID.to_string(),
        actor: None,
        index: 0,
        count: 1,
        command_offset: sequence,
        previous_hash: None,
        written_revision: 1,
    }
}
