//! Where views and history are kept. The only crate that knows SQL.
//!
//! - [`ViewStore`] is the contract: a [`ViewWriter`] for the projector, [`ViewReader`]s for the query API.
//! - A [`Batch`] is what one commit writes: rows, history and checkpoints together.
//! - A [`ListQuery`] asks for a page of rows.
//! - A [`FeedQuery`] asks for events across aggregates, by their places in the log.
//! - A view has [`Generation`]s: a [`ViewBuilder`] makes one beside the one that is served, and serves it when it has
//!   come as far. A [`ViewDesk`] is for what a person decides.
//! - [`SqliteStore`] is the embedded store. Every store passes the suite in `conformance`.

mod batch;
#[cfg(test)]
mod conformance;
mod feed;
mod generation;
mod query;
mod sqlite;
mod store;

pub use batch::{
    Batch, CheckpointKey, CheckpointMove, Conversation, HistoryCommand, HistoryEvent, NewRow, Parked,
    Position, RowChange, Touch,
};
pub use feed::{FeedPage, FeedPlace, FeedQuery};
pub use generation::{Build, Generation, ParkedEntry, ParkedKey, StoredRow};
pub use query::{FieldValue, Filter, ID, ListQuery, Page, Place, Row, Sort, Test};
pub use sqlite::SqliteStore;
pub use store::{
    COMMANDS, CommitError, DeskError, HISTORY, HeldBuilder, OpenError, ServeError, Snapshot, StoreError,
    Version, ViewBuilder, ViewDesk, ViewReader, ViewStore, ViewWriter, has_touches, is_view, touches_of,
};
