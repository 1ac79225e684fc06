//! The fold: a batch of events, the rows that they touch, and what becomes of both. Pure: it asks no store and
//! no broker, so that what it makes of a batch can be shown by a test.
//!
//! [`Projector::plan`] says what a batch needs, [`Projector::fold`] makes of it one [`Batch`] for the store, and
//! [`Projector::accept`] goes on from there once the store has it.
//!
//! Each projection has a place of its own in each partition, and skips what lies before it: so a new view reads
//! from the beginning beside others that are far ahead. The touches of a view, which its past is found by, are one too. The history is a projection like any view; it alone
//! checks that the sequence of each aggregate has neither gap nor repeat, and the views follow it in this.

mod folding;
mod plan;
mod rows;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateType, Domains, ViewInfo, ViewType};
use foldline_views::{Batch, CheckpointKey, HISTORY, Parked, ParkedKey, Position, has_touches, touches_of};

use self::folding::Folding;
pub(crate) use self::plan::id_of;
pub use self::plan::{Folded, Loaded, Needs, Outcome, Plan};

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
    kind: Kind,
}

/// What a projection makes of events.
enum Kind {
    History,
    /// Rows.
    View(Arc<dyn ViewType>),
    /// Which rows an event touches that are not about its own aggregate: see [`Touch`](foldline_views::Touch).
    Touches(Arc<dyn ViewType>),
}

impl Kind {
    /// The view whose rows it asks for.
    fn view(&self) -> Option<&Arc<dyn ViewType>> {
        match self {
            Self::History => None,
            Self::View(view) | Self::Touches(view) => Some(view),
        }
    }
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

impl Projector {
    /// The history and every view of the domains, as the store has left them.
    pub fn new(
        domains: &Domains,
        positions: HashMap<CheckpointKey, Position>,
        parked: impl IntoIterator<Item = Parked>,
    ) -> Self {
        Self::without(domains, &[], positions, parked)
    }

    /// As [`new`](Self::new), but for the views of these names.
    pub fn without(
        domains: &Domains,
        beside: &[String],
        positions: HashMap<CheckpointKey, Position>,
        parked: impl IntoIterator<Item = Parked>,
    ) -> Self {
        let follows = |view: &ViewInfo| !beside.iter().any(|name| name == view.name);
        Self::of(domains, follows, true, positions, parked)
    }

    /// One view alone, as it is built beside the others. Of the history it only has what is parked there, because a
    /// view must not fold what comes after a gap.
    pub fn only(
        domains: &Domains,
        view: &str,
        positions: HashMap<CheckpointKey, Position>,
        parked: impl IntoIterator<Item = Parked>,
    ) -> Self {
        Self::of(domains, |known| known.name == view, false, positions, parked)
    }

    fn of(
        domains: &Domains,
        follows: impl Fn(&ViewInfo) -> bool,
        with_history: bool,
        positions: HashMap<CheckpointKey, Position>,
        parked: impl IntoIterator<Item = Parked>,
    ) -> Self {
        let view = |view: &Arc<dyn ViewType>| Projection {
            name: view.info().name.to_owned(),
            kind: Kind::View(Arc::clone(view)),
        };
        let touches = |view: &Arc<dyn ViewType>| Projection {
            name: touches_of(view.info().name),
            kind: Kind::Touches(Arc::clone(view)),
        };
        let history = Projection {
            name: HISTORY.to_owned(),
            kind: Kind::History,
        };
        let views = domains.views().iter().filter(|view| follows(view.info()));
        // Of this program's declaration, whichever is served: the past is folded by it.
        let touched = domains.views().iter();
        let touched = touched.filter(|view| with_history && has_touches(domains, view.info()));
        let projections: Vec<_> = [history]
            .into_iter()
            .chain(views.map(view))
            .chain(touched.map(touches))
            .collect();
        let aggregates = domains
            .aggregates()
            .iter()
            .filter_map(|kind| read_by(kind, &projections, with_history));
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
            if let Some(stream) = projector.stream(&parked.key()) {
                projector.parked.insert(stream, parked);
            }
        }
        projector
    }

    /// Takes note of aggregates that somebody else has parked.
    pub fn learn(&mut self, parked: &[Parked]) {
        for parked in parked {
            if let Some(stream) = self.stream(&parked.key()) {
                self.parked.entry(stream).or_insert_with(|| parked.clone());
            }
        }
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

    /// Where one projection stands in a partition.
    pub(crate) fn position_of(&self, projection: &str, aggregate: &str, partition: i32) -> Position {
        let mut all = self.positions_of(aggregate, partition);
        let found = all.find(|(name, _)| *name == projection);
        found.map_or(Position::START, |(_, position)| position)
    }

    /// The checkpoints of a partition, of every projection that reads it.
    pub(crate) fn keys_of(&self, aggregate: &str, partition: i32) -> Vec<CheckpointKey> {
        let key = |(projection, _): (&str, Position)| CheckpointKey {
            projection: projection.to_owned(),
            aggregate: aggregate.to_owned(),
            partition,
        };
        self.positions_of(aggregate, partition).map(key).collect()
    }

    /// Whether it has a projection of this name.
    pub(crate) fn follows(&self, projection: &str) -> bool {
        self.projection_index(projection).is_some()
    }

    /// What is parked.
    pub(crate) fn all_parked(&self) -> impl Iterator<Item = &Parked> {
        self.parked.values()
    }

    /// How many aggregates are parked, by projection.
    pub fn parked_counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.projections.iter().enumerate().map(|(index, projection)| {
            let parked = self.parked.keys().filter(|(of, ..)| *of == index);
            (projection.name.as_str(), parked.count())
        })
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
        for key in &batch.unparked {
            if let Some(stream) = self.stream(key) {
                self.parked.remove(&stream);
            }
        }
        for parked in &batch.parked {
            if let Some(stream) = self.stream(&parked.key()) {
                self.parked.insert(stream, parked.clone());
            }
        }
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

    fn stream(&self, key: &ParkedKey) -> Option<Stream> {
        Some((
            self.projection_index(&key.projection)?,
            self.aggregate_index(&key.aggregate)?,
            key.id.clone(),
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

fn read_by(
    kind: &Arc<dyn AggregateType>,
    projections: &[Projection],
    with_history: bool,
) -> Option<Aggregate> {
    let info = kind.info();
    let reads = |projection: &Projection| match projection.kind.view() {
        // What the engine keeps for itself is nobody's history.
        None => with_history && !info.is_internal(),
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

/// What a domain's code returns, or what it says when it panics.
pub(crate) fn unless_it_panics<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    // Whatever it was given is thrown away with it, so nothing half done is seen.
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|panic| format!("the projection panicked: {}", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
