//! The fold: a batch of events, the rows that they touch, and what becomes of both. Pure: it asks no store and
//! no broker, so that what it makes of a batch can be shown by a test.
//!
//! [`Projector::plan`] says what a batch needs, [`Projector::fold`] makes of it one [`Batch`] for the store, and
//! [`Projector::accept`] goes on from there once the store has it.
//!
//! Each projection has a place of its own in each partition, and skips what lies before it: so a new view reads
//! from the beginning beside others that are far ahead. The history is a projection like any view; it alone
//! checks that the sequence of each aggregate has neither gap nor repeat, and the views follow it in this.

mod folding;
mod rows;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateType, DecodedEvent, Domains, Sequence, ViewType};
use foldline_kafka::LogRecord;
use foldline_views::{Batch, CheckpointKey, HISTORY, Parked, Position, Row};

use self::folding::Folding;

/// The history stands first: views look at what it has found.
const HISTORY_INDEX: usize = 0;

/// All projections, and where they stand.
pub struct Projector {
    projections: Vec<Projection>,
    aggregates: Vec<Aggregate>,
    positions: HashMap<Place, Position>,
    parked: HashMap<Stream, Parked>,
}

struct Projection {
    name: String,
    /// `None`: the history.
    view: Option<Arc<dyn ViewType>>,
}

/// An aggregate type that some projection reads.
struct Aggregate {
    kind: Arc<dyn AggregateType>,
    qualified: String,
    /// The projections that read it, the history first.
    readers: Vec<usize>,
}

/// A projection's place in a partition of an aggregate type.
type Place = (usize, usize, i32);

/// What one projection sees of one aggregate: projection, aggregate type, aggregate.
type Stream = (usize, usize, AggregateId);

/// A batch, with what it touches.
pub struct Plan {
    items: Vec<Item>,
}

/// A record, with what it touches.
struct Item {
    record: LogRecord,
    aggregate: usize,
    /// The aggregate. A record without a readable key stands for one of its own, so that it can be parked.
    id: AggregateId,
    /// By projection, the rows that the event touches, or why that cannot be said. Only those that have not
    /// seen it yet.
    touched: Vec<(usize, Result<Vec<AggregateId>, String>)>,
}

/// What a batch needs from the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// By view, the rows.
    pub rows: BTreeMap<String, BTreeSet<AggregateId>>,
    /// By aggregate type (qualified), the aggregates whose last sequence is asked for.
    pub sequences: BTreeMap<String, BTreeSet<AggregateId>>,
}

/// What the store has of it. What is not there is not in it.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By view.
    pub rows: HashMap<String, Vec<Row>>,
    /// By aggregate type (qualified).
    pub sequences: HashMap<String, HashMap<AggregateId, Sequence>>,
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
    /// The history and every view of the domains, as the store has left them.
    pub fn new(
        domains: &Domains,
        positions: HashMap<CheckpointKey, Position>,
        parked: impl IntoIterator<Item = Parked>,
    ) -> Self {
        let view = |view: &Arc<dyn ViewType>| Projection {
            name: view.info().name.to_owned(),
            view: Some(Arc::clone(view)),
        };
        let history = Projection {
            name: HISTORY.to_owned(),
            view: None,
        };
        let projections: Vec<_> = [history]
            .into_iter()
            .chain(domains.views().iter().map(view))
            .collect();
        let aggregates = domains
            .aggregates()
            .iter()
            .filter_map(|kind| read_by(kind, &projections));
        let mut projector = Self {
            aggregates: aggregates.collect(),
            projections,
            positions: HashMap::new(),
            parked: HashMap::new(),
        };
        for (key, position) in positions {
            if let Some(place) = projector.place(&key) {
                projector.positions.insert(place, position);
            }
        }
        for parked in parked {
            if let Some(stream) = projector.stream(&parked) {
                projector.parked.insert(stream, parked);
            }
        }
        projector
    }

    /// The aggregate types that have to be read.
    pub fn aggregates(&self) -> Vec<Arc<dyn AggregateType>> {
        let kinds = self
            .aggregates
            .iter()
            .map(|aggregate| Arc::clone(&aggregate.kind));
        kinds.collect()
    }

    /// The first offset of a partition that some projection has not seen.
    pub fn start(&self, aggregate: &str, partition: i32) -> i64 {
        self.positions_of(aggregate, partition)
            .map(|(_, position)| position.next_offset)
            .min()
            .unwrap_or_default()
    }

    /// Where the projections that read a partition stand in it.
    pub fn positions_of(&self, aggregate: &str, partition: i32) -> impl Iterator<Item = (&str, Position)> {
        let index = self
            .aggregates
            .iter()
            .position(|known| known.qualified == aggregate);
        let readers = index.map(|index| (index, &self.aggregates[index].readers));
        readers.into_iter().flat_map(move |(index, readers)| {
            readers.iter().map(move |reader| {
                let position = self.position((*reader, index, partition));
                (self.projections[*reader].name.as_str(), position)
            })
        })
    }

    /// How many aggregates are parked, by projection.
    pub fn parked_counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.projections.iter().enumerate().map(|(index, projection)| {
            let parked = self.parked.keys().filter(|(of, ..)| *of == index);
            (projection.name.as_str(), parked.count())
        })
    }

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
                if projection.view.is_none() {
                    let qualified = &self.aggregates[item.aggregate].qualified;
                    let sequences = needs.sequences.entry(qualified.clone()).or_default();
                    sequences.insert(item.id.clone());
                } else if let Ok(ids) = ids {
                    let rows = needs.rows.entry(projection.name.clone()).or_default();
                    rows.extend(ids.iter().cloned());
                }
            }
        }
        needs
    }

    /// Folds a batch: every row in memory, however many events touch it, and then one write of it.
    pub fn fold(&self, plan: &Plan, loaded: Loaded) -> Folded {
        let mut folding = Folding::new(self, &plan.items, loaded);
        (0..plan.items.len()).for_each(|index| folding.take(index));
        folding.finish()
    }

    /// Goes on from a batch that the store has.
    pub fn accept(&mut self, batch: &Batch) {
        for step in &batch.moves {
            if let Some(place) = self.place(&step.key) {
                self.positions.insert(place, step.to);
            }
        }
        for parked in &batch.parked {
            if let Some(stream) = self.stream(parked) {
                self.parked.insert(stream, parked.clone());
            }
        }
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
        let touched = readers.map(|reader| (*reader, self.touched(*reader, name, &record)));
        Some(Item {
            touched: touched.collect(),
            aggregate,
            id: id_of(&record),
            record,
        })
    }

    fn touched(
        &self,
        reader: usize,
        aggregate: &str,
        record: &LogRecord,
    ) -> Result<Vec<AggregateId>, String> {
        let (Some(view), Ok(event)) = (&self.projections[reader].view, &record.event) else {
            return Ok(Vec::new());
        };
        let mut ids = unless_it_panics(|| view.keys(aggregate, event))?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn position(&self, place: Place) -> Position {
        self.positions.get(&place).copied().unwrap_or(Position::START)
    }

    fn place(&self, key: &CheckpointKey) -> Option<Place> {
        Some((
            self.projection_index(&key.projection)?,
            self.aggregate_index(&key.aggregate)?,
            key.partition,
        ))
    }

    fn stream(&self, parked: &Parked) -> Option<Stream> {
        Some((
            self.projection_index(&parked.projection)?,
            self.aggregate_index(&parked.aggregate)?,
            parked.id.clone(),
        ))
    }

    fn projection_index(&self, name: &str) -> Option<usize> {
        self.projections
            .iter()
            .position(|projection| projection.name == name)
    }

    fn aggregate_index(&self, qualified: &str) -> Option<usize> {
        self.aggregates
            .iter()
            .position(|aggregate| aggregate.qualified == qualified)
    }
}

impl Item {
    fn event(&self) -> Result<&DecodedEvent, String> {
        self.record
            .event
            .as_ref()
            .map_err(|unreadable| unreadable.reason.clone())
    }
}

fn read_by(kind: &Arc<dyn AggregateType>, projections: &[Projection]) -> Option<Aggregate> {
    let info = kind.info();
    let reads = |projection: &Projection| match &projection.view {
        // What the engine keeps for itself is nobody's history.
        None => !info.is_internal(),
        Some(view) => {
            let view = view.info();
            view.domain == info.domain && view.sources.iter().any(|source| *source == info.name)
        }
    };
    let readers: Vec<usize> = (0..projections.len())
        .filter(|index| reads(&projections[*index]))
        .collect();
    (!readers.is_empty()).then(|| Aggregate {
        kind: Arc::clone(kind),
        qualified: info.qualified_name(),
        readers,
    })
}

fn id_of(record: &LogRecord) -> AggregateId {
    if let Ok(event) = &record.event {
        return event.meta.aggregate_id.clone();
    }
    record.id.clone().unwrap_or_else(|| {
        let id = format!("~unkeyed.{}.{}", record.partition, record.offset);
        id.parse().expect("made of characters that ids are made of")
    })
}

/// What a domain's code returns, or what it says when it panics.
fn unless_it_panics<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // Whatever it was given is thrown away with it, so nothing half done is seen.
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|panic| format!("the projection panicked: {}", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
