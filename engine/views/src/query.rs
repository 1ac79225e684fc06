use foldline_core::{AggregateId, Field, Sequence};
use serde::{Deserialize, Serialize};

/// The row's id, which every view can be filtered and sorted by.
pub const ID: Field = Field::text("id");

/// A row, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The row's id.
    pub id: AggregateId,
    /// What the API shows, JSON.
    pub doc: String,
    /// The sequence of the aggregate that the row is about.
    pub sequence: Sequence,
    /// How often it has been written.
    pub version: i64,
    /// The [`Generation`](crate::Generation) of its view that it stands in: in another one, a row of the same sequence
    /// may be another.
    pub generation: i64,
}

/// Which rows, in which order.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// All of them must hold.
    pub filters: Vec<Filter>,
    /// The order; rows that are equal in it come by id, in the direction of the last one.
    pub sort: Vec<Sort>,
    /// At most so many rows.
    pub limit: usize,
    /// Only what comes after this place, which an earlier page with the same filters and order gave.
    pub after: Option<Place>,
    /// Of this generation of the view, for whoever wants all pages from the same one; otherwise of the one that is served.
    pub generation: Option<i64>,
}

/// A condition on a field. A row without a value in the field does not meet it.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// A field of the view, or [`ID`].
    pub field: Field,
    /// How the field compares with the value.
    pub test: Test,
}

/// How a field compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Is one of these.
    In(Vec<FieldValue>),
    /// Is less.
    Less(FieldValue),
    /// Is less or equal.
    AtMost(FieldValue),
    /// Is greater.
    Greater(FieldValue),
    /// Is greater or equal.
    AtLeast(FieldValue),
}

impl Test {
    /// Whether a value meets it. For lists that no store keeps; stores do the same.
    pub fn holds_for(&self, value: &FieldValue) -> bool {
        if *value == FieldValue::Missing {
            return false;
        }
        match self {
            Self::In(values) => values.contains(value),
            Self::Less(than) => value < than,
            Self::AtMost(than) => value <= than,
            Self::Greater(than) => value > than,
            Self::AtLeast(than) => value >= than,
        }
    }
}

/// One part of an order. Rows without a value come before all others, or after them if it is descending.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sort {
    /// A field of the view, or [`ID`].
    pub field: Field,
    /// The greatest first.
    pub descending: bool,
}

/// A value in a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FieldValue {
    /// The row has none there.
    Missing,
    /// False before true.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// By its characters.
    Text(String),
}

/// A place in an order: the values of its parts in one row, the id last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(pub Vec<FieldValue>);

/// Some rows of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<Place>,
    /// The generation that they are of.
    pub generation: i64,
}
