use foldline_core::{AggregateId, Timestamp, ViewInfo};

use crate::{Parked, Row};

/// One build of a view: rows, checkpoints and parked aggregates of its own. Of all generations of a view, clients see
/// the one that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The view, by name.
    pub view: String,
    /// Counted from 1 for each view; none is used twice.
    pub number: i64,
    /// The declaration that it is made by: all of it that rows and columns depend on.
    pub shape: String,
    /// [`Projection::VERSION`](foldline_core::Projection::VERSION) of the declaration.
    pub version: u32,
    /// The program that began it, as that program names itself; empty for the generation that a view began with.
    pub program: String,
    /// When it was begun.
    pub made_at: Timestamp,
    /// When it was last put before clients; `None` if it never was.
    pub served_at: Option<Timestamp>,
    /// Whether clients see it.
    pub is_served: bool,
}

impl Generation {
    /// Whether it is made by this declaration: then its rows can be read and folded further by whoever declares so.
    pub fn is_made_by(&self, view: &ViewInfo) -> bool {
        self.shape == shape(view)
    }
}

/// All of a declaration that rows and columns depend on.
pub(crate) fn shape(view: &ViewInfo) -> String {
    let mut sources = view.sources.clone();
    sources.sort_unstable();
    let mut fields: Vec<_> = view
        .fields
        .iter()
        .map(|field| format!("{} {:?}", field.name, field.kind))
        .collect();
    fields.sort_unstable();
    format!(
        "{} version {}; reads {}; fields {}",
        view.domain,
        view.version,
        sources.join(", "),
        fields.join(", ")
    )
}

/// Which generation is to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build<'a> {
    /// The one that this program has begun by the same declaration and that was never served, or else a new one.
    Resume {
        /// The program; another one would fold the rest otherwise than the beginning.
        program: &'a str,
    },
    /// A new one.
    Anew {
        /// The program.
        program: &'a str,
    },
    /// This one, which was served before: it is brought up to date.
    Kept(i64),
}

/// A row as it stands in a generation, listed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The row.
    pub row: Row,
    /// Whether clients see it.
    pub listed: bool,
}

/// Names what is parked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParkedKey {
    /// The projection.
    pub projection: String,
    /// The aggregate's type, by its qualified name.
    pub aggregate: String,
    /// The aggregate.
    pub id: AggregateId,
}

/// What is parked, and what somebody has said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEntry {
    /// Where and why.
    pub parked: Parked,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// Whether it is to be tried again: the projector does so.
    pub is_to_be_retried: bool,
    /// Why it stays parked for good, if somebody has decided so.
    pub dropped: Option<String>,
}

impl Parked {
    /// Names it.
    pub fn key(&self) -> ParkedKey {
        ParkedKey {
            projection: self.projection.clone(),
            aggregate: self.aggregate.clone(),
            id: self.id.clone(),
        }
    }
}
