//! What was: rows and states as they were at a moment, folded from the history by the same pure code that makes them
//! now.
//!
//! - `moment`: how a client names a moment, and where it lies in each partition.
//! - `timeline`: the events that made one row, or one aggregate, in order.
//! - `fold`: the row, or the state, that they make.
//! - `lists`: lists of rows as they were.
//! - `explain`: which event last changed each field.
//! - `diff`: what is other at one moment than at another.
//! - `align`: which entry of a list is which entry of a later one.

mod align;
mod diff;
mod explain;
mod fold;
mod lists;
mod moment;
mod timeline;

pub(crate) use diff::diff;
pub(crate) use explain::explain;
pub(crate) use fold::{PastView, RowThen, StateThen, no_sequence, row_at, state_at};
pub use lists::PastOptions;
pub(crate) use lists::{PastList, PastLists, UNBUILT_FOR};
pub(crate) use moment::{At, Cut, Moment, at};
pub(crate) use timeline::Timeline;

use foldline_core::{Sequence, Timestamp, ToldError};
use foldline_views::StoreError;

/// How many events a row or a state is folded from at most, when somebody asks.
pub(crate) const EVENTS_MAX: usize = 200_000;

/// The past has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PastError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has not happened yet.
    #[error("{at} is in the future: it is {now}")]
    Future { at: Timestamp, now: Timestamp },
    /// The aggregate has not come that far.
    #[error("sequence {asked} has not been reached: the newest is {newest}")]
    Sequence { asked: Sequence, newest: Sequence },
    /// There was nothing yet, but there was later.
    #[error("it was not there then: the first event of it was recorded at {began_at}")]
    NotYet { began_at: Timestamp },
    /// There never was anything.
    #[error("there is nothing")]
    Nothing,
    /// The moment says nothing of what is asked for.
    #[error("{0}")]
    Meaningless(String),
    #[error("more than {EVENTS_MAX} events would have to be folded")]
    TooLong,
    /// What finds the events of a row is being made anew.
    #[error("what leads to the past of the view {0} is being built")]
    Behind(String),
    /// A list of the past takes longer than the client waits.
    #[error("the list is being built")]
    Building,
    /// It was tried in vain, a moment ago.
    #[error("the list could not be built")]
    Unbuilt,
    /// Something stands in the history that we never wrote.
    #[error("the history cannot be read back: {0}")]
    Told(#[from] ToldError),
}
