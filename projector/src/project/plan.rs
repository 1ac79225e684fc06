//! What a batch touches, and what it needs from the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldline_core::{AggregateId, DecodedEvent, Sequence};
use foldline_kafka::LogRecord;
use foldline_service::trace_id_of;
use foldline_views::{Batch, NewRow, Row};
use tracing::{Span, debug_span};

use super::{Kind, Projector, unless_it_panics};

/// A batch, with what it touches.
pub struct Plan {
    pub(super) items: Vec<Item>,
}

/// A record, with what it touches.
pub(super) struct Item {
    pub(super) record: LogRecord,
    pub(super) aggregate: usize,
    /// The aggregate. A record without a readable key stands for one of its own, so that it can be parked.
    pub(super) id: AggregateId,
    /// By projection; only those that have not seen it yet.
    pub(super) touched: Vec<(usize, Touched)>,
}

/// The rows that an event touches, or why that cannot be said.
pub(super) type Touched = Result<Vec<AggregateId>, String>;

/// What a batch needs from the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// By view, the rows.
    pub rows: BTreeMap<String, BTreeSet<AggregateId>>,
    /// By aggregate type (qualified), the aggregates whose last sequence is asked for.
    pub sequences: BTreeMap<String, BTreeSet<AggregateId>>,
}

impl Needs {
    /// Takes out what a batch that the store does not have yet says of it, and returns that.
    pub fn take_from(&mut self, batch: &Batch) -> Loaded {
        let mut taken = Loaded::default();
        for change in &batch.rows {
            let is_needed = |ids: &mut BTreeSet<AggregateId>| ids.remove(&change.id);
            if !self.rows.get_mut(&change.view).is_some_and(is_needed) {
                continue;
            }
            if let Some(row) = &change.row {
                let rows = taken.rows.entry(change.view.clone()).or_default();
                rows.push(row_of(&change.id, row));
            }
        }
        // From the last event on: the first that is met of an aggregate is its newest one.
        for event in batch.history.iter().rev() {
            let is_needed = |ids: &mut BTreeSet<AggregateId>| ids.remove(&event.id);
            if self.sequences.get_mut(&event.aggregate).is_some_and(is_needed) {
                let sequences = taken.sequences.entry(event.aggregate.clone()).or_default();
                sequences.insert(event.id.clone(), event.sequence);
            }
        }
        taken
    }
}

/// As the store will have it. Which generation it will stand in is the store's to say, and nothing to the fold.
fn row_of(id: &AggregateId, row: &NewRow) -> Row {
    Row {
        id: id.clone(),
        doc: row.doc.clone(),
        sequence: row.sequence,
        version: row.version,
        generation: 0,
    }
}

/// What there is of it. What is not there is not in it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By view.
    pub rows: HashMap<String, Vec<Row>>,
    /// By aggregate type (qualified).
    pub sequences: HashMap<String, HashMap<AggregateId, Sequence>>,
}

impl Loaded {
    /// Adds what comes from elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        for (view, rows) in other.rows {
            self.rows.entry(view).or_default().extend(rows);
        }
        for (aggregate, sequences) in other.sequences {
            self.sequences.entry(aggregate).or_default().extend(sequences);
        }
    }
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Folded {
    /// For the store: one transaction.
    pub batch: Batch,
    /// How many events had which outcome, by projection.
    pub counts: BTreeMap<(String, Outcome), u64>,
}

/// What became of an event in a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is in the rows.
    Applied,
    /// It lies before the projection's checkpoint: it is in the rows already.
    Skipped,
    /// Its aggregate is parked.
    Parked,
}

impl Outcome {
    /// In metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Skipped => "skipped",
            Self::Parked => "parked",
        }
    }
}

impl Projector {
    /// What each record touches.
    pub fn plan(&self, records: Vec<LogRecord>) -> Plan {
        Plan {
            items: records
                .into_iter()
                .filter_map(|record| self.item(record))
                .collect(),
        }
    }

    /// What a plan needs from the store.
    pub fn needs(&self, plan: &Plan) -> Needs {
        let mut needs = Needs::default();
        for item in &plan.items {
            for (projection, ids) in &item.touched {
                let projection = &self.projections[*projection];
                match (&projection.kind, ids) {
                    (Kind::History, _) => {
                        let qualified = &self.aggregates[item.aggregate].qualified;
                        let sequences = needs.sequences.entry(qualified.clone()).or_default();
                        sequences.insert(item.id.clone());
                    }
                    (Kind::View(_), Ok(ids)) => {
                        let rows = needs.rows.entry(projection.name.clone()).or_default();
                        rows.extend(ids.iter().cloned());
                    }
                    (Kind::View(_), Err(_)) | (Kind::Touches(_), _) => {}
                }
            }
        }
        needs
    }

    fn item(&self, record: LogRecord) -> Option<Item> {
        let (domain, name) = {
            let info = record.aggregate.info();
            (&info.domain, &info.name)
        };
        let aggregate = self.aggregates.iter().position(|known| {
            let info = known.kind.info();
            info.name == *name && info.domain == *domain
        })?;
        let due = |reader: &&usize| {
            let place = (**reader, aggregate, record.partition);
            record.offset >= self.position(place).next_offset
        };
        let readers = self.aggregates[aggregate].readers.iter().filter(due);
        let mut touched: Vec<(usize, Touched)> = Vec::new();
        for reader in readers {
            // A view and its touches ask the same.
            let view = self.projections[*reader].kind.view();
            let known = touched.iter().find(|(known, _)| {
                let known = self.projections[*known].kind.view();
                matches!((known, view), (Some(known), Some(view)) if Arc::ptr_eq(known, view))
            });
            let ids = match known {
                Some((_, ids)) => ids.clone(),
                None => self.touched(*reader, name, &record),
            };
            touched.push((*reader, ids));
        }
        Some(Item {
            touched,
            aggregate,
            id: id_of(&record),
            record,
        })
    }

    fn touched(&self, reader: usize, aggregate: &str, record: &LogRecord) -> Touched {
        let (Some(view), Ok(event)) = (self.projections[reader].kind.view(), &record.event) else {
            return Ok(Vec::new());
        };
        let mut ids = unless_it_panics(|| view.keys(aggregate, event))?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

impl Item {
    /// What is told of folding it belongs to the trace of the request that it came from. At `debug`,
    /// because one for each event is too much for every day.
    pub(super) fn span(&self) -> Span {
        let LogRecord {
            partition, offset, ..
        } = self.record;
        let traceparent = self.record.traceparent.as_deref();
        let trace_id = traceparent.and_then(trace_id_of).unwrap_or_default();
        let (kind, sequence) = self.event().map_or(("", 0), |event| {
            (event.meta.event_type.as_str(), event.meta.sequence)
        });
        let aggregate = self.record.aggregate.info().qualified_name();
        debug_span!("event", trace_id, kind, aggregate, id = %self.id, sequence, partition, offset)
    }

    pub(super) fn event(&self) -> Result<&DecodedEvent, String> {
        self.record
            .event
            .as_ref()
            .map_err(|unreadable| unreadable.reason.clone())
    }
}

/// The aggregate that a record belongs to. One without a readable key stands for an aggregate of its own.
pub(crate) fn id_of(record: &LogRecord) -> AggregateId {
    if let Ok(event) = &record.event {
        return event.meta.aggregate_id.clone();
    }
    record.id.clone().unwrap_or_else(|| {
        let id = format!("~unkeyed.{}.{}", record.partition, record.offset);
        id.parse().expect("made of characters that ids are made of")
    })
}
