use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Aggregate, AggregateId, AnyEvent, Envelope, EventMeta};

/// Folds events into the rows of one view.
///
/// Pure, like an aggregate. The events of one aggregate come in order and each once; between aggregates there
/// is no order, so a row that is fed by several must come out the same whichever comes first.
pub trait Projection: Send + Sync + 'static {
    /// Names the rows and the checkpoint, `orders`. A new name is a new view, built from the beginning.
    const NAME: &'static str;
    /// Raised when the same events make other rows: the view is then built anew, beside what is served until it has
    /// caught up.
    const VERSION: u32 = 1;
    /// Where the API serves it, `/menu/items`.
    const PATH: &'static str;
    /// What clients may filter and sort by.
    const FIELDS: &'static [Field];
    /// The fields that are lists and have a resource of their own, `/orders/{id}/items`, with what their
    /// entries may be filtered and sorted by.
    const LISTS: &'static [(&'static str, &'static [Field])] = &[];

    /// One row, as the API shows it.
    type View: Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static;

    /// What it reads: see [`from`].
    fn sources() -> Vec<Source<Self::View>>;

    /// The rows that are this owner's ([`Aggregate::owner`]): those in which a field of [`FIELDS`](Self::FIELDS), or
    /// `id`, holds this text. None if no row is anybody's: then who may only read own ones reads none.
    fn owned(_owner: &str) -> Option<(&'static str, String)> {
        None
    }

    /// Whether clients see the row. Rows that wait for the event which they are about are kept, not shown.
    fn is_listed(_: &Self::View) -> bool {
        true
    }
}

/// A field that clients may filter and sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// In the row; parts of parts with dots, `total.amount`.
    pub name: &'static str,
    /// How it compares.
    pub kind: FieldKind,
}

/// How a field compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// By its characters.
    Text,
    /// By its value.
    Number,
    /// False before true.
    Boolean,
}

impl Field {
    /// A field of text.
    pub const fn text(name: &'static str) -> Self {
        Self {
            name,
            kind: FieldKind::Text,
        }
    }

    /// A field of whole numbers.
    pub const fn number(name: &'static str) -> Self {
        Self {
            name,
            kind: FieldKind::Number,
        }
    }

    /// A field that is true or false.
    pub const fn boolean(name: &'static str) -> Self {
        Self {
            name,
            kind: FieldKind::Boolean,
        }
    }
}

type Keys = Box<dyn Fn(&EventMeta, &AnyEvent) -> Vec<AggregateId> + Send + Sync>;
type Fold<V> = Box<dyn Fn(Option<V>, &EventMeta, &AnyEvent, &AggregateId) -> Option<V> + Send + Sync>;

/// What an event makes of a row.
type Project<A, V> = fn(Option<V>, &Envelope<<A as Aggregate>::Event>, &AggregateId) -> Option<V>;

/// The events of one aggregate type, as a projection reads them.
pub struct Source<V> {
    pub(crate) aggregate: &'static str,
    pub(crate) keys: Keys,
    pub(crate) fold: Fold<V>,
}

/// The events of the aggregate type `A`: which rows one touches, and what it makes of such a row.
///
/// `keys` gives the rows' ids: the aggregate's own id, or that of something the event mentions. `project` gets
/// the row as it is, `None` if there is none, and returns it as it is to be, `None` to remove it.
pub fn from<A: Aggregate, V: 'static>(
    keys: fn(&Envelope<A::Event>) -> Vec<AggregateId>,
    project: Project<A, V>,
) -> Source<V> {
    let envelope = |meta: &EventMeta, event: &AnyEvent| Envelope {
        meta: meta.clone(),
        event: event
            .get::<A>()
            .expect("the source names the aggregate type")
            .clone(),
    };
    Source {
        aggregate: A::NAME,
        keys: Box::new(move |meta, event| keys(&envelope(meta, event))),
        fold: Box::new(move |view, meta, event, id| project(view, &envelope(meta, event), id)),
    }
}
