//! Two generations of a view at the same position, row by row.

mod fields;
mod first;

use std::cmp::Ordering;

use foldline_core::AggregateId;
use foldline_views::{Snapshot, StoreError, StoredRow};
use serde::Serialize;
use serde_json::Value;

pub use self::fields::FieldDifference;
pub use self::first::{FirstDifference, first_by_both, first_by_one};
use crate::trace::EventPlace;

/// Rows that are read at once.
const PAGE: usize = 1000;

/// How many rows are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The same in both.
    pub equal: u64,
    /// In both, and different.
    pub changed: u64,
    /// In the served generation only.
    pub missing: u64,
    /// In the built generation only.
    pub extra: u64,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In both, and different.
    Changed,
    /// In the served generation only.
    Missing,
    /// In the built generation only.
    Extra,
}

/// A row that is not the same in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowDifference {
    /// The row.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Where both differ, if both have it.
    pub fields: Vec<FieldDifference>,
    /// The row as it is served.
    #[serde(skip)]
    pub served: Option<Value>,
    /// The row as it was built.
    #[serde(skip)]
    pub built: Option<Value>,
    /// The first event after which both differ, if that can be told.
    pub first_difference: Option<FirstDifference>,
    /// The events that the row is made of, as the program that built it reads them; the first ones, if there are many.
    pub events: Vec<EventPlace>,
}

/// What a comparison has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// How many rows are what.
    pub counts: Counts,
    /// The rows that differ, by id; at most as many as were asked for.
    pub differences: Vec<RowDifference>,
}

impl Comparison {
    /// Whether both generations say the same.
    pub fn is_empty(&self) -> bool {
        let Counts {
            changed,
            missing,
            extra,
            ..
        } = self.counts;
        changed + missing + extra == 0
    }

    /// Compares what clients can see of each row, and rows that they do not see yet: its content, whether it is listed,
    /// and the sequence of its aggregate. How often a row was written is nobody's business.
    pub fn of(
        view: &str,
        (served, served_in): (i64, &dyn Snapshot),
        (built, built_in): (i64, &dyn Snapshot),
        most: usize,
    ) -> Result<Self, StoreError> {
        let mut comparison = Self::default();
        let mut old = Pages::new(served_in, view, served);
        let mut new = Pages::new(built_in, view, built);
        let (mut left, mut right) = (old.next()?, new.next()?);
        loop {
            let order = match (&left, &right) {
                (None, None) => return Ok(comparison),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.row.id.as_str().cmp(new.row.id.as_str()),
            };
            match order {
                Ordering::Less => {
                    comparison.add(left.as_ref(), None, most);
                    left = old.next()?;
                }
                Ordering::Greater => {
                    comparison.add(None, right.as_ref(), most);
                    right = new.next()?;
                }
                Ordering::Equal => {
                    comparison.add(left.as_ref(), right.as_ref(), most);
                    (left, right) = (old.next()?, new.next()?);
                }
            }
        }
    }

    fn add(&mut self, served: Option<&StoredRow>, built: Option<&StoredRow>, most: usize) {
        let (kind, fields) = match (served, built) {
            (Some(old), Some(new)) => match fields::differences(old, new) {
                fields if fields.is_empty() => {
                    self.counts.equal += 1;
                    return;
                }
                fields => (Kind::Changed, fields),
            },
            (Some(_), None) => (Kind::Missing, Vec::new()),
            _ => (Kind::Extra, Vec::new()),
        };
        let count = match kind {
            Kind::Changed => &mut self.counts.changed,
            Kind::Missing => &mut self.counts.missing,
            Kind::Extra => &mut self.counts.extra,
        };
        *count += 1;
        let Some(row) = served.or(built).filter(|_| self.differences.len() < most) else {
            return;
        };
        self.differences.push(RowDifference {
            id: row.row.id.to_string(),
            kind,
            fields,
            served: served.map(|row| fields::content(&row.row.doc)),
            built: built.map(|row| fields::content(&row.row.doc)),
            first_difference: None,
            events: Vec::new(),
        });
    }
}

/// The rows of a generation, one after the other.
struct Pages<'a> {
    snapshot: &'a dyn Snapshot,
    view: &'a str,
    generation: i64,
    page: std::vec::IntoIter<StoredRow>,
    last: Option<AggregateId>,
}

impl<'a> Pages<'a> {
    fn new(snapshot: &'a dyn Snapshot, view: &'a str, generation: i64) -> Self {
        Self {
            snapshot,
            view,
            generation,
            page: Vec::new().into_iter(),
            last: None,
        }
    }

    fn next(&mut self) -> Result<Option<StoredRow>, StoreError> {
        if self.page.len() == 0 {
            let page = self
                .snapshot
                .rows_of(self.view, self.generation, self.last.as_ref(), PAGE)?;
            self.page = page.into_iter();
        }
        let next = self.page.next();
        if let Some(row) = &next {
            self.last = Some(row.row.id.clone());
        }
        Ok(next)
    }
}
