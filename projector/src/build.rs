//! A generation of a view, built beside the one that is served: the same fold, from the beginning of the log, into
//! tables that nobody reads yet.
//!
//! It never goes beyond a [`Goal`], which is read from the store: where the history stands, because only up to there is
//! it known that no event is missing; and where the served generation stands, for whoever wants to compare the two.
//! Its checkpoints lie in the store with its rows, so a build that was killed goes on where it was.

mod goal;
mod switch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldline_core::{Domains, ViewInfo};
use foldline_kafka::{EventLogError, Events, LogRecord, Logs};
use foldline_views::{
    Build, CommitError, OpenError, ServeError, SqliteStore, StoreError, ViewBuilder, ViewStore, ViewWriter,
};

pub use self::goal::Goal;
use crate::project::Projector;
use crate::step::{StepError, catch_up};

/// How long a poll waits for a record.
const IDLE: Duration = Duration::from_millis(100);
/// How many records are folded and written at once, if nothing else is said.
pub const BATCH_MAX: usize = 5000;

/// A build goes no further.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The program has no such view.
    #[error("there is no view {0:?}")]
    NoView(String),
    /// The store cannot be opened to be written to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// A batch is not in the store.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The generation is not served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The history does not come as far as the view.
    #[error("the history has not come as far as the view {0}: is the projector running?")]
    Untrusted(String),
    /// Events that the served generation has do not come.
    #[error("events that are in the view that is served could not be read within {} s; Kafka may be away", .0.as_secs())]
    NotThere(Duration),
}

impl BuildError {
    /// Whether somebody else builds the generation, or has removed it.
    pub fn is_taken_over(&self) -> bool {
        matches!(self, Self::Step(StepError::Commit(CommitError::NotOurs { .. })))
    }
}

/// How far a build has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Places in the log that lie behind it, markers of transactions among them.
    pub done: u64,
    /// Places that lie between it and its goal.
    pub left: u64,
    /// Events that it has folded since it was opened.
    pub events: u64,
}

/// What a build is opened with.
#[derive(Clone)]
pub struct Site {
    /// Where the events are.
    pub logs: Arc<dyn Logs>,
    /// Where the views are.
    pub store: SqliteStore,
    /// The declarations.
    pub domains: Domains,
    /// The id of the cluster that the events are on.
    pub cluster_id: String,
    /// How many records are folded and written at once, at most. The projector waits for each of these commits.
    pub batch_max: usize,
}

/// A build: the generation that is written, and the fold that goes into it.
pub struct Builder {
    writer: Box<dyn ViewBuilder>,
    fold: Fold,
}

/// The events of one view, read and folded up to where it is told.
struct Fold {
    view: ViewInfo,
    projector: Projector,
    log: Box<dyn Events>,
    /// What was read and is not folded yet.
    at_hand: Vec<LogRecord>,
    batch_max: usize,
    /// By aggregate type (qualified) and partition, the offset that is read next.
    read: HashMap<(String, i32), i64>,
    events: u64,
}

impl Builder {
    /// Opens a generation of a view to build it, and the log from where it stands.
    pub async fn open(site: &Site, view: &str, build: Build<'_>) -> Result<Self, BuildError> {
        let kind = site
            .domains
            .views()
            .iter()
            .find(|known| known.info().name == view);
        let info = kind.ok_or_else(|| BuildError::NoView(view.to_owned()))?.info();
        let mut writer = site.store.builder(info, build, &site.cluster_id)?;
        let (positions, parked) = (writer.checkpoints()?, writer.parked()?);
        let read = positions.iter().map(|(key, position)| {
            let place = (key.aggregate.clone(), key.partition);
            (place, position.next_offset)
        });
        let read = read.collect();
        let projector = Projector::only(&site.domains, view, positions, parked);
        let start = |aggregate: &str, partition| projector.start(aggregate, partition);
        let log = site.logs.events(&projector.aggregates(), &start).await?;
        let fold = Fold {
            view: info.clone(),
            projector,
            log,
            at_hand: Vec::new(),
            batch_max: site.batch_max,
            read,
            events: 0,
        };
        Ok(Self { writer, fold })
    }

    /// The generation that is built.
    pub fn generation(&self) -> i64 {
        self.writer.generation()
    }

    /// The view that is built.
    pub fn view(&self) -> &ViewInfo {
        &self.fold.view
    }

    /// How far it has come on its way to the goal.
    pub fn progress(&self, goal: &Goal) -> Progress {
        let count = |offset: i64| u64::try_from(offset).unwrap_or_default();
        let mut progress = Progress {
            events: self.fold.events,
            ..Progress::default()
        };
        for ((aggregate, partition), end) in goal.ends() {
            let stands = self.fold.projector.start(aggregate, *partition);
            progress.done += count(stands);
            progress.left += count(end - stands);
        }
        progress
    }

    /// Whether it has come further than the goal in some partition: then it is too late to stop there.
    pub fn is_beyond(&self, goal: &Goal) -> bool {
        let stands =
            |(place, end): (&(String, i32), &i64)| self.fold.projector.start(&place.0, place.1) > *end;
        goal.ends().any(stands)
    }

    /// Reads and folds a batch of what lies before the goal. True if there is nothing left of it.
    pub fn step(&mut self, goal: &Goal) -> Result<bool, BuildError> {
        if !self.fold.has_read(goal) {
            self.fold.poll()?;
        }
        self.fold.fold(&mut *self.writer, goal)?;
        Ok(self.fold.has_read(goal))
    }

    /// Folds all that lies before the goal, and tells how far it is after each batch.
    pub fn build(&mut self, goal: &Goal, mut tell: impl FnMut(Progress)) -> Result<(), BuildError> {
        while !self.step(goal)? {
            tell(self.progress(goal));
        }
        tell(self.progress(goal));
        Ok(())
    }
}

impl Fold {
    fn poll(&mut self) -> Result<(), BuildError> {
        for record in self.log.poll(self.batch_max, IDLE)? {
            let place = (record.aggregate.info().qualified_name(), record.partition);
            self.read.insert(place, record.offset + 1);
            self.at_hand.push(record);
        }
        Ok(())
    }

    fn has_read(&self, goal: &Goal) -> bool {
        goal.ends()
            .all(|(place, end)| self.read.get(place).copied().unwrap_or(0) >= *end)
    }

    /// Reads all that lies before the goal, and folds none of it. False if it is not there in time.
    fn gather(&mut self, goal: &Goal, within: Duration) -> Result<bool, BuildError> {
        let deadline = Instant::now() + within;
        while !self.has_read(goal) {
            if Instant::now() > deadline {
                return Ok(false);
            }
            self.poll()?;
        }
        Ok(true)
    }

    /// Folds what was read and lies before the goal.
    fn fold(&mut self, writer: &mut dyn ViewWriter, goal: &Goal) -> Result<(), BuildError> {
        let at_hand = std::mem::take(&mut self.at_hand);
        let (due, later): (Vec<_>, Vec<_>) = at_hand.into_iter().partition(|record| goal.has(record));
        self.at_hand = later;
        if due.is_empty() {
            return Ok(());
        }
        self.projector.learn(goal.parked());
        let done = catch_up(&mut self.projector, writer, due)?;
        self.events += u64::try_from(done.events).unwrap_or_default();
        for parked in &done.parked {
            tracing::warn!(
                view = parked.projection,
                aggregate = parked.aggregate,
                id = %parked.id,
                partition = parked.partition,
                offset = parked.offset,
                reason = parked.reason,
                "an aggregate is parked in the generation that is built"
            );
        }
        Ok(())
    }
}

/// A name for this program that changes whenever it is built anew: what one program has begun, another one would fold
/// otherwise.
pub fn program() -> String {
    use std::os::unix::fs::MetadataExt;
    let told = std::env::current_exe().and_then(|path| Ok((path.metadata()?, path)));
    match told {
        Ok((file, path)) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            format!("{name} {}-{}.{:09}", file.len(), file.mtime(), file.mtime_nsec())
        }
        // Nobody can tell: then nothing is ever gone on with.
        Err(_) => format!("unknown {}", std::process::id()),
    }
}
