use std::collections::HashMap;
use std::error::Error;

use foldline_core::{AggregateId, Domains, Sequence};

use crate::{
    Batch, CheckpointKey, FeedPage, FeedQuery, HistoryEvent, ListQuery, Page, Parked, Position, Row,
};

/// The name of the history among the projections: it has checkpoints like any view.
pub const HISTORY: &str = "history";

/// A place where views and history are kept.
///
/// Everything is synchronous: the writer has a thread of its own, readers are called where blocking is allowed.
pub trait ViewStore: Send + Sync {
    /// Becomes the one who writes: makes what is missing, empties the views whose declaration has changed (and
    /// their checkpoints with them, so that they are built anew), and fences the writer before.
    fn writer(&self, domains: &Domains, cluster_id: &str) -> Result<Box<dyn ViewWriter>, OpenError>;

    /// Reads. Never waits for the writer, nor the writer for it.
    fn reader(&self) -> Result<Box<dyn ViewReader>, StoreError>;
}

/// The one who writes.
pub trait ViewWriter: Send {
    /// Where every projection stands. What is not in it stands at [`Position::START`].
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError>;

    /// The aggregates that are parked.
    fn parked(&mut self) -> Result<Vec<Parked>, StoreError>;

    /// Those of the rows that there are, listed or not.
    fn load(&mut self, view: &str, ids: &[AggregateId]) -> Result<Vec<Row>, StoreError>;

    /// The last sequence that the history has of each of the aggregates (of a type, by its qualified name). An
    /// aggregate that it knows nothing of is not in the answer.
    fn sequences(
        &mut self,
        aggregate: &str,
        ids: &[AggregateId],
    ) -> Result<HashMap<AggregateId, Sequence>, StoreError>;

    /// Writes all of the batch in one transaction, or nothing.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;
}

/// One who reads.
pub trait ViewReader: Send {
    /// The store as it is now, and stays for as long as the snapshot lives.
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, StoreError>;
}

/// The store at one moment, between two commits.
pub trait Snapshot {
    /// The Kafka cluster that the events came from.
    fn cluster_id(&self) -> Result<String, StoreError>;

    /// The projections among `domains`' that the store does not have in the form they are declared in.
    fn missing(&self, domains: &Domains) -> Result<Vec<String>, StoreError>;

    /// Where a projection stands, by aggregate type (qualified) and partition.
    fn positions(&self, projection: &str) -> Result<Vec<(CheckpointKey, Position)>, StoreError>;

    /// Where every projection stands.
    fn all_positions(&self) -> Result<Vec<(CheckpointKey, Position)>, StoreError>;

    /// A row, if it is there and listed.
    fn get(&self, view: &str, id: &AggregateId) -> Result<Option<Row>, StoreError>;

    /// Listed rows, a page at a time.
    fn list(&self, view: &str, query: &ListQuery) -> Result<Page, StoreError>;

    /// The events of an aggregate (its type by its qualified name) after a sequence, in order.
    fn events(
        &self,
        aggregate: &str,
        id: &AggregateId,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError>;

    /// The events of several aggregates, a page at a time. Costs what the page has, wherever it begins.
    fn feed(&self, query: &FeedQuery) -> Result<FeedPage, StoreError>;
}

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none yet: the projector makes it.
    #[error("there are no views at {0} yet: start the projector")]
    NotThere(String),
    /// The database says no.
    #[error("the view database failed: {0}")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// See [`ListQuery::after`].
    #[error("the place to go on from is one of another order")]
    OtherPlace,
    /// Something stands in it that we never wrote.
    #[error("the view database holds {what}: remove {place} and start the projector, which builds it anew")]
    Corrupt {
        /// What stands there.
        what: String,
        /// The database.
        place: String,
    },
}

/// The store cannot be written to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It belongs to another Kafka cluster: its offsets mean nothing here.
    #[error(
        "{place} holds the views of Kafka cluster {found}, but this is {expected}: remove it, or give another \
         place, and the views are built anew from the events"
    )]
    OtherCluster {
        /// The database.
        place: String,
        /// Whose views it holds.
        found: String,
        /// The cluster that we are connected to.
        expected: String,
    },
    /// A newer program has written it.
    #[error(
        "{place} was written by a newer version of this program (form {found}, ours is {expected}): use that \
         version, or remove the database, and the views are built anew from the events"
    )]
    Newer {
        /// The database.
        place: String,
        /// Its form.
        found: i64,
        /// The form that we know.
        expected: i64,
    },
    /// A view has a name that means something else.
    #[error("no view can be called {0:?}: the engine uses the name")]
    Reserved(String),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another writer has opened the store since: this one has to stop.
    #[error("fenced: another projector (epoch {theirs}) has taken over from this one (epoch {ours})")]
    Fenced {
        /// The epoch of this writer.
        ours: i64,
        /// The epoch of the newest one.
        theirs: i64,
    },
    /// A move does not begin where the checkpoint stands.
    #[error(
        "{} of {} partition {} stands at {actual}, and a step from {from} does not fit",
        key.projection, key.aggregate, key.partition
    )]
    WrongStep {
        /// The checkpoint.
        key: CheckpointKey,
        /// Where the move begins.
        from: Position,
        /// Where the checkpoint stands.
        actual: Position,
    },
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
