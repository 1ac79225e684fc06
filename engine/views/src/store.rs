use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use foldline_core::{AggregateId, Domains, Sequence, Timestamp, ViewInfo};

use crate::sqlite;
use crate::{
    Batch, Build, CheckpointKey, Conversation, FeedPage, FeedQuery, Generation, HistoryCommand, HistoryEvent,
    ListQuery, Page, Parked, ParkedEntry, ParkedKey, Position, Row, StoredRow,
};

/// The name of the history among the projections: it has checkpoints like any view.
pub const HISTORY: &str = "history";

/// The projection that keeps the commands of which no event tells. It reads results, not events.
pub const COMMANDS: &str = "history/commands";

/// The projection that keeps which events touch rows of a view that are not about their own aggregate.
pub fn touches_of(view: &str) -> String {
    // No view has a slash in its name.
    format!("{view}/touches")
}

/// Whether a projection, by its name, is a view: the others are what the engine keeps of the log for itself.
pub fn is_view(projection: &str) -> bool {
    projection != HISTORY && !projection.contains('/')
}

/// Whether a view has such events: the others are folds of the one aggregate that a row is about.
pub fn has_touches(domains: &Domains, view: &ViewInfo) -> bool {
    let subject = domains.aggregates().iter().map(|aggregate| aggregate.info());
    let mut subject = subject.filter(|info| info.domain == view.domain && info.path == view.path);
    !subject.any(|info| view.sources == [info.name.as_str()])
}

/// A place where views and history are kept.
///
/// Everything is synchronous: the writer has a thread of its own, readers are called where blocking is allowed.
pub trait ViewStore: Send + Sync {
    /// Becomes the one who writes the history and the served generations: makes what is missing, and fences the writer
    /// before. A view that is served in a form other than it is declared in is left to a [`ViewBuilder`]: see
    /// [`ViewWriter::beside`].
    fn writer(&self, domains: &Domains, cluster_id: &str) -> Result<Box<dyn ViewWriter>, OpenError>;

    /// Becomes the one who builds a generation of this view beside the served one, and fences whoever built it before.
    /// Generations that were never served and that it does not go on with are removed: one is built at a time. There
    /// must have been a [`writer`](Self::writer).
    fn builder(
        &self,
        view: &ViewInfo,
        build: Build<'_>,
        cluster_id: &str,
    ) -> Result<Box<dyn ViewBuilder>, OpenError>;

    /// Decides, for a person. Neither the writer nor a builder is fenced by it.
    fn desk(&self) -> Result<Box<dyn ViewDesk>, StoreError>;

    /// Reads. Never waits for the writer, nor the writer for it.
    fn reader(&self) -> Result<Box<dyn ViewReader>, StoreError>;
}

/// One who writes: the history and each view in its served generation, or one generation of one view.
pub trait ViewWriter: Send {
    /// Where every projection stands that it writes. What is not in it stands at [`Position::START`].
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError>;

    /// The aggregates that are parked, for the projections that it writes and for the history.
    fn parked(&mut self) -> Result<Vec<Parked>, StoreError>;

    /// What is parked and is to be tried again, for the projections that it writes.
    fn retries(&mut self) -> Result<Vec<Parked>, StoreError>;

    /// The views, by name, that it does not write because they are served in a form other than they are declared in.
    fn beside(&self) -> &[String];

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

/// One who builds a generation. As a [`ViewWriter`], it writes that generation and nothing else.
pub trait ViewBuilder: ViewWriter {
    /// Which one it builds.
    fn generation(&self) -> i64;

    /// Keeps every other writer waiting, so that what is served stands still; readers go on. For moments: the
    /// projector waits for some seconds only.
    fn hold(&mut self) -> Result<Box<dyn HeldBuilder + '_>, StoreError>;
}

/// A builder while nobody else writes. What it commits is there when it serves; dropped before, nothing is.
pub trait HeldBuilder: ViewWriter {
    /// Where the served generation stands. Empty if none is served.
    fn served(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError>;

    /// Puts the generation before clients, in place of the one that is served. It must have come as far in every
    /// partition: nobody who reads is led back.
    fn serve(self: Box<Self>) -> Result<(), ServeError>;
}

/// What a person decides about views.
pub trait ViewDesk: Send {
    /// Puts a generation before clients as it stands, however far it has come.
    fn serve(&mut self, view: &str, generation: i64) -> Result<(), DeskError>;

    /// Removes a generation that is not served.
    fn remove(&mut self, view: &str, generation: i64) -> Result<(), DeskError>;

    /// Asks the projector to try again what is parked.
    fn retry(&mut self, parked: &ParkedKey) -> Result<(), DeskError>;

    /// Says that it stays parked for good, and why.
    fn drop_parked(&mut self, parked: &ParkedKey, reason: &str) -> Result<(), DeskError>;
}

/// One who reads.
pub trait ViewReader: Send {
    /// The store as it is now, and stays for as long as the snapshot lives.
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, StoreError>;
}

/// Which state of the store a [`Snapshot`] shows. It says something beside another one of the same reader only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// How often the reader had to open its file anew.
    pub(crate) opened: u64,
    /// Another one after each commit.
    pub(crate) number: i64,
}

/// The store at one moment, between two commits.
pub trait Snapshot {
    /// The same as an earlier snapshot's of this reader only if nothing was committed in between. What is asked for with
    /// every read, such as positions, can be kept for as long: to ask for the version costs next to nothing.
    fn version(&self) -> Version;

    /// The Kafka cluster that the events came from.
    fn cluster_id(&self) -> Result<String, StoreError>;

    /// The views among `domains`' that are not served in the form they are declared in.
    fn missing(&self, domains: &Domains) -> Result<Vec<String>, StoreError>;

    /// Every generation of every view, by view and number.
    fn generations(&self) -> Result<Vec<Generation>, StoreError>;

    /// By view, the number of the generation that clients see.
    fn served_generations(&self) -> Result<BTreeMap<String, i64>, StoreError>;

    /// Where one generation of a view stands.
    fn positions_of(&self, view: &str, generation: i64)
    -> Result<Vec<(CheckpointKey, Position)>, StoreError>;

    /// Rows of one generation, listed or not, by id and after this one.
    fn rows_of(
        &self,
        view: &str,
        generation: i64,
        after: Option<&AggregateId>,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError>;

    /// What is parked for one generation of a view.
    fn parked_of(&self, view: &str, generation: i64) -> Result<Vec<Parked>, StoreError>;

    /// What is parked for the history and for what is served.
    fn parked(&self) -> Result<Vec<ParkedEntry>, StoreError>;

    /// Where a projection stands, by aggregate type (qualified) and partition; a view as it is served.
    fn positions(&self, projection: &str) -> Result<Vec<(CheckpointKey, Position)>, StoreError>;

    /// Where every projection stands; views as they are served.
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

    /// The sequence of an aggregate's newest event; `None` if it has none.
    fn last_sequence(&self, aggregate: &str, id: &AggregateId) -> Result<Option<Sequence>, StoreError>;

    /// The events of several aggregates, a page at a time. Costs what the page has, wherever it begins.
    fn feed(&self, query: &FeedQuery) -> Result<FeedPage, StoreError>;

    /// The offset of the first event of a partition (of a type, by its qualified name) that was recorded after this
    /// time; `None` if the history has none. What lies before it is the partition as it was then: should a clock have
    /// gone back, an event counts as recorded when the latest one before it was.
    fn first_after_time(
        &self,
        aggregate: &str,
        partition: i32,
        time: Timestamp,
    ) -> Result<Option<i64>, StoreError>;

    /// The offset of the first event of a partition whose command lies behind this one; `None` if the history has
    /// none.
    fn first_after_command(
        &self,
        aggregate: &str,
        partition: i32,
        command_offset: i64,
    ) -> Result<Option<i64>, StoreError>;

    /// Commands on an aggregate that were refused, or caused by something else, behind an offset of the command topic.
    fn commands(
        &self,
        aggregate: &str,
        id: &AggregateId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HistoryCommand>, StoreError>;

    /// Those of them that were refused.
    fn refusals(
        &self,
        aggregate: &str,
        id: &AggregateId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HistoryCommand>, StoreError>;

    /// What belongs to a conversation, over all aggregates: the first so many commands, and so many events.
    fn conversation(&self, correlation_id: &str, limit: usize) -> Result<Conversation, StoreError>;

    /// Events that touch a row which is not about their own aggregate: those of a partition (aggregate type,
    /// partition, offset) from an offset on, in order.
    fn touching(
        &self,
        view: &str,
        id: &AggregateId,
        from: (&str, i32, i64),
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError>;
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
    /// No generation of the view is served.
    #[error("there is no view {0} yet: a projector that has it makes it")]
    NoView(String),
    /// The view is served in a form that does not have the field.
    #[error(
        "the view {view} is served in a form without the field {field}: a newer one is being built, or an older one was put back"
    )]
    OtherForm {
        /// The view.
        view: String,
        /// The field.
        field: String,
    },
    /// The generation is not there, or not any more.
    #[error("the view {view} has no generation {generation}")]
    NoGeneration {
        /// The view.
        view: String,
        /// The generation.
        generation: i64,
    },
    /// See [`ListQuery::after`].
    #[error("the place to go on from is one of another order")]
    OtherPlace,
    /// Something stands in it that we never wrote.
    // What is left of three files would be taken for the journal of the new one.
    #[error(
        "the view database holds {what}: stop the query API, remove {place}, {place}-wal and {place}-shm, all in the \
         projector's data folder, and start the projector, which builds it anew"
    )]
    Corrupt {
        /// What stands there.
        what: String,
        /// The database.
        place: String,
    },
}

impl StoreError {
    /// Whether it may be gone in a moment, as a lock or a full disk may. What stands in the database stays as it is, and what
    /// breaks a rule of its tables does so again.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Database(error) => !sqlite::breaks_a_rule(error.as_ref()),
            _ => false,
        }
    }
}

/// The store cannot be written to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It belongs to another Kafka cluster: its offsets mean nothing here.
    #[error(
        "{place} holds the views of Kafka cluster {found}, but this is {expected}: stop the query API and remove it \
         with {place}-wal and {place}-shm, or give another place, and the views are built anew from the events"
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
         version, or stop the query API and remove it with {place}-wal and {place}-shm, and the views are built anew \
         from the events"
    )]
    Newer {
        /// The database.
        place: String,
        /// Its form.
        found: i64,
        /// The form that we know.
        expected: i64,
    },
    /// An older program has written it. Who builds beside what is served does not change what that program may still write to.
    #[error(
        "{place} was written by an earlier version of this program (form {found}, ours is {expected}): start the projector \
         of this version, which makes it over, and try again"
    )]
    Older {
        /// The database.
        place: String,
        /// Its form.
        found: i64,
        /// The form that we know.
        expected: i64,
    },
    /// The view is served in a version that this program is too old for.
    #[error(
        "the view {view} is served in version {found}, and this program has version {expected}: start a program that \
         has it, or go back first with `foldline views rollback {view}`"
    )]
    NewerView {
        /// The view.
        view: String,
        /// The version that is served.
        found: u32,
        /// The version that we have.
        expected: u32,
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
    /// Another generation of a view is served than the one that was written: this writer has to begin again from what
    /// is served now.
    #[error("generation {theirs} of the view {view} is served now, and not generation {ours}")]
    Switched {
        /// The view.
        view: String,
        /// What this writer writes.
        ours: i64,
        /// What is served.
        theirs: i64,
    },
    /// The generation is not this builder's any more.
    #[error(
        "generation {generation} of the view {view} is not built here any more: another process builds it, it was \
         removed, or it is served"
    )]
    NotOurs {
        /// The view.
        view: String,
        /// The generation.
        generation: i64,
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

/// A generation is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It has not come as far as what is served.
    #[error("generation {generation} of the view {view} has not come as far as the one that is served")]
    Behind {
        /// The view.
        view: String,
        /// The generation.
        generation: i64,
    },
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a person asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Clients would have nothing left.
    #[error("generation {generation} of the view {view} is the one that is served")]
    Served {
        /// The view.
        view: String,
        /// The generation.
        generation: i64,
    },
    /// Nothing of that name is parked.
    #[error("{} of {} is not parked for {}", .0.id, .0.aggregate, .0.projection)]
    NotParked(ParkedKey),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
