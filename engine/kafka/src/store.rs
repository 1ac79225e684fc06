//! What this process knows of the log, on local disk: the states of aggregates and the outcomes of commands,
//! with the positions up to which they are folded.
//!
//! A cache: everything in it is read from the topics again if it is lost, damaged or of another shape. So
//! nothing is synced to disk; a batch is atomic, and what it holds always fits the positions in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use foldline_core::personal::Seal;
use foldline_core::{AggregateId, CommandResult, EventHash, Sequence, State};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalog::{Catalog, Installed, Slice};
use crate::kept::{self, Place};

/// Raised when the layout of keys or values changes: an older folder is then discarded.
const FORMAT: u32 = 4;

/// What a keyspace gathers in memory, each version of a state that comes meanwhile, before it is written into a table. With
/// fjall's 64 MB a command handler had 617 MB after 200,000 orders, and with 16 383.
const MEMTABLE_BYTES_MAX: u64 = 12 << 20;

/// Journals are kept for the sake of positions, which are too few to fill a table, when all else that they hold is in one. Each
/// start decodes them from end to end. fjall's default is 512 MB.
const JOURNALS_BYTES_MAX: u64 = 128 << 20;

/// Threads that merge the store's tables, one of which only writes new ones. That one hands each request to merge on to the
/// others, through the queue that it reads itself, and without a pause while they are busy. Of two threads, it has a core for as
/// long as the other one merges (fjall 3.1.13; its default is a thread for each core, four at most).
const MERGERS: usize = 4;

/// How long a predecessor may take to let go of the folder.
const PREDECESSOR_MAX: Duration = Duration::from_secs(10);

/// The local store is unusable.
#[derive(Debug, thiserror::Error)]
#[error("the local store in {folder}: {source}")]
pub struct StoreError {
    folder: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Which of the two topics that are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Log {
    Events,
    Results,
}

/// How far a partition is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The offset of the next record.
    pub(crate) next: i64,
    /// The offset of the last command whose record is folded; -1 before the first one.
    pub(crate) command_offset: i64,
}

impl Position {
    pub(crate) const START: Self = Self {
        next: 0,
        command_offset: -1,
    };
}

/// What stands on the snapshot topic of a partition, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Covered {
    /// The snapshot partition has been read up to this offset.
    pub(crate) read_to: i64,
    /// Events below this offset are in its snapshots; 0 if that cannot be said, so that every aggregate is to be
    /// written before its next checkpoint.
    pub(crate) events: i64,
    /// The ids of all outcomes below this offset stand on it.
    pub(crate) results: i64,
    /// A state that was restored may hold events up to this offset already.
    pub(crate) restored_to: i64,
    /// A snapshot was found damaged: no checkpoint counts before all are written anew.
    pub(crate) is_distrusted: bool,
}

/// A range of the results that was not read: of its outcomes only the ids are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unread {
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// See [`CommandIds`](foldline_core::CommandIds).
    pub(crate) digests: Vec<u8>,
}

/// An aggregate, as it is known here.
pub(crate) struct Known {
    pub(crate) state: State,
    /// That of its last event; 0 if it does not exist.
    pub(crate) sequence: Sequence,
    /// The hash of its last event, whoever wrote it; `None` if it does not exist.
    pub(crate) tip: Option<EventHash>,
}

impl Known {
    /// An aggregate that does not exist yet.
    pub(crate) fn initial(installed: &Installed) -> Self {
        Self {
            state: installed.aggregate.initial(),
            sequence: 0,
            tip: None,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Store {
    folder: PathBuf,
    cluster_id: Arc<str>,
    database: Database,
    states: Keyspace,
    results: Keyspace,
    /// The ranges of results that were not read.
    unread: Keyspace,
    positions: Keyspace,
    meta: Keyspace,
}

/// Changes that are applied together.
pub(crate) struct Changes {
    store: Store,
    batch: OwnedWriteBatch,
}

impl Store {
    /// Opens the folder. What does not belong to this cluster, or is damaged, is discarded; states of another
    /// shape are too.
    pub(crate) fn open(folder: &Path, catalog: &Catalog) -> Result<Self, StoreError> {
        let identity = format!("{FORMAT} {}", catalog.cluster_id);
        let cluster_id = &catalog.cluster_id;
        let store = match Self::open_unlocked(folder, cluster_id) {
            Ok(store) if store.is_of(&identity) => store,
            Ok(store) => {
                tracing::warn!(folder = %folder.display(), "local store of another cluster or format; discarding it");
                drop(store);
                Self::discard(folder)?;
                Self::open_as_it_is(folder, cluster_id)?
            }
            Err(error) if is_locked(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "local store cannot be read; discarding it");
                Self::discard(folder)?;
                Self::open_as_it_is(folder, cluster_id)?
            }
        };
        store.set(b"identity", identity.as_bytes())?;
        for installed in catalog.types() {
            store.keep_shape(installed)?;
        }
        Ok(store)
    }

    /// Waits for a predecessor that is just ending.
    fn open_unlocked(folder: &Path, cluster_id: &str) -> Result<Self, StoreError> {
        let started_at = Instant::now();
        loop {
            match Self::open_as_it_is(folder, cluster_id) {
                Err(error) if is_locked(&error) && started_at.elapsed() < PREDECESSOR_MAX => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                other => return other,
            }
        }
    }

    fn open_as_it_is(folder: &Path, cluster_id: &str) -> Result<Self, StoreError> {
        let opened = || {
            let database = Database::builder(folder)
                .max_journaling_size(JOURNALS_BYTES_MAX)
                .worker_threads(MERGERS)
                .open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX);
            let keyspace = |name: &str| database.keyspace(name, options);
            let (states, results) = (keyspace("states")?, keyspace("results")?);
            let (unread, positions, meta) = (keyspace("unread")?, keyspace("positions")?, keyspace("meta")?);
            Ok(Self {
                folder: folder.to_owned(),
                cluster_id: cluster_id.into(),
                database,
                states,
                results,
                unread,
                positions,
                meta,
            })
        };
        opened().map_err(|source: fjall::Error| error(folder, source))
    }

    fn discard(folder: &Path) -> Result<(), StoreError> {
        fs::remove_dir_all(folder).map_err(|source| error(folder, source))
    }

    /// A store that has no identity yet is new, and fits.
    fn is_of(&self, identity: &str) -> bool {
        match self.meta.get(b"identity") {
            Ok(Some(found)) => *found == *identity.as_bytes(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Forgets the states of a type whose shape has changed, so that they are folded anew.
    fn keep_shape(&self, installed: &Installed) -> Result<(), StoreError> {
        let key = [b"shape".as_slice(), &installed.tag].concat();
        let shape = installed.aggregate.state_shape();
        let found = self.meta.get(&key).map_err(|source| self.error(source))?;
        if found.as_deref() == Some(shape.as_bytes().as_slice()) {
            return Ok(());
        }
        if found.is_some() {
            tracing::info!(
                aggregate = installed.name,
                "states have another shape; folding them anew"
            );
        }
        for slice in installed.slices() {
            self.forget(installed, slice, Log::Events)?;
        }
        self.set(&key, shape.as_bytes())
    }

    /// Forgets what is folded of a partition.
    pub(crate) fn forget(&self, installed: &Installed, slice: Slice, log: Log) -> Result<(), StoreError> {
        let keyspace = match log {
            Log::Events => &self.states,
            Log::Results => &self.results,
        };
        // The position first: a crash in between leaves states that will be folded again from the start, and
        // those are overwritten, never added to, because each is removed before its first event is folded.
        let mut batch = self.database.batch();
        batch.remove(&self.positions, position_key(installed, slice, log));
        if log == Log::Events {
            // What was known of the snapshots may have been known of those of another shape.
            batch.remove(&self.positions, covered_key(installed, slice));
        }
        for entry in keyspace.prefix(prefix(installed, slice)) {
            let key = entry.key().map_err(|source| self.error(source))?;
            batch.remove(keyspace, key);
        }
        batch.commit().map_err(|source| self.error(source))
    }

    /// An aggregate; `None` if it does not exist.
    pub(crate) fn state(&self, installed: &Installed, id: &AggregateId) -> Result<Option<Known>, StoreError> {
        let key = state_key(installed, installed.slice_of(id), id);
        let Some(value) = self.states.get(key).map_err(|source| self.error(source))? else {
            return Ok(None);
        };
        let decode = |value: &[u8]| {
            let ((sequence, tip), bytes) = postcard::take_from_bytes(value).ok()?;
            let state = installed.aggregate.decode_state(bytes)?;
            Some(Known { state, sequence, tip })
        };
        match decode(&value) {
            Some(known) => Ok(Some(known)),
            None => Err(error(
                &self.folder,
                format!("the state of {id} in {} is damaged", installed.name),
            )),
        }
    }

    /// An aggregate, with its personal values opened: for decisions. What is folded is not, so that a fold needs no key.
    pub(crate) fn opened(
        &self,
        installed: &Installed,
        id: &AggregateId,
    ) -> Result<Option<Known>, StoreError> {
        let opened = installed.opened(|| self.state(installed, id));
        opened.unwrap_or_else(|missing| Err(error(&self.folder, missing)))
    }

    /// What became of a command of this partition.
    pub(crate) fn result(
        &self,
        installed: &Installed,
        slice: Slice,
        command_id: Uuid,
    ) -> Result<Option<CommandResult>, StoreError> {
        let key = result_key(installed, slice, command_id);
        let Some(value) = self.results.get(key).map_err(|source| self.error(source))? else {
            return Ok(None);
        };
        match kept::read(self.place(installed, slice, command_id), &value) {
            Some(result) => Ok(Some(result)),
            None => Err(error(
                &self.folder,
                format!("the outcome of {command_id} is damaged"),
            )),
        }
    }

    fn place<'a>(&'a self, installed: &'a Installed, slice: Slice, command_id: Uuid) -> Place<'a> {
        Place {
            cluster: &self.cluster_id,
            aggregate: &installed.name,
            partition: slice.partition,
            command_id,
        }
    }

    /// How far a partition is folded.
    pub(crate) fn position(
        &self,
        installed: &Installed,
        slice: Slice,
        log: Log,
    ) -> Result<Position, StoreError> {
        let key = position_key(installed, slice, log);
        let found = self.positions.get(key).map_err(|source| self.error(source))?;
        Ok(found
            .and_then(|value| postcard::from_bytes(&value).ok())
            .unwrap_or(Position::START))
    }

    /// Whether anything of a partition is folded.
    pub(crate) fn has_begun(
        &self,
        installed: &Installed,
        slice: Slice,
        log: Log,
    ) -> Result<bool, StoreError> {
        let found = self.positions.get(position_key(installed, slice, log));
        Ok(found.map_err(|source| self.error(source))?.is_some())
    }

    /// The aggregates of a partition.
    pub(crate) fn ids(&self, installed: &Installed, slice: Slice) -> Result<Vec<AggregateId>, StoreError> {
        let prefix = prefix(installed, slice);
        let id = |entry: fjall::Guard| {
            let key = entry.key().map_err(|source| self.error(source))?;
            let text = std::str::from_utf8(&key[prefix.len()..]);
            text.ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| error(&self.folder, "a state has no id"))
        };
        self.states.prefix(&prefix).map(id).collect()
    }

    /// What is known of a partition's snapshots.
    pub(crate) fn covered(&self, installed: &Installed, slice: Slice) -> Result<Covered, StoreError> {
        let found = self.positions.get(covered_key(installed, slice));
        let found = found.map_err(|source| self.error(source))?;
        Ok(found
            .and_then(|value| postcard::from_bytes(&value).ok())
            .unwrap_or_default())
    }

    /// The ranges of a partition's results that were not read.
    pub(crate) fn unread(&self, installed: &Installed, slice: Slice) -> Result<Vec<Unread>, StoreError> {
        let read = |entry: fjall::Guard| {
            let value = entry.value().map_err(|source| self.error(source))?;
            postcard::from_bytes(&value).map_err(|source| error(&self.folder, source))
        };
        self.unread.prefix(prefix(installed, slice)).map(read).collect()
    }

    pub(crate) fn changes(&self) -> Changes {
        Changes {
            store: self.clone(),
            batch: self.database.batch(),
        }
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.meta.insert(key, value).map_err(|source| self.error(source))
    }

    fn error(&self, source: fjall::Error) -> StoreError {
        error(&self.folder, source)
    }
}

impl Changes {
    /// `by` seals what is new in it, and must be what has sealed its events: else the state is not their fold.
    pub(crate) fn state(&mut self, installed: &Installed, id: &AggregateId, known: &Known, by: Seal) {
        let mut value = postcard::to_stdvec(&(known.sequence, known.tip)).expect("a number and a hash");
        value.extend(installed.encode_state(&known.state, by));
        self.batch.insert(
            &self.store.states,
            state_key(installed, installed.slice_of(id), id),
            value,
        );
    }

    /// An outcome that is for ever.
    pub(crate) fn result(&mut self, installed: &Installed, slice: Slice, result: &CommandResult) {
        let value = kept::write(self.store.place(installed, slice, result.command_id), result);
        self.batch.insert(
            &self.store.results,
            result_key(installed, slice, result.command_id),
            value,
        );
    }

    pub(crate) fn position(&mut self, installed: &Installed, slice: Slice, log: Log, position: Position) {
        let value = postcard::to_stdvec(&position).expect("two numbers");
        self.batch
            .insert(&self.store.positions, position_key(installed, slice, log), value);
    }

    pub(crate) fn covered(&mut self, installed: &Installed, slice: Slice, covered: &Covered) {
        let value = postcard::to_stdvec(covered).expect("some numbers");
        self.batch
            .insert(&self.store.positions, covered_key(installed, slice), value);
    }

    pub(crate) fn unread(&mut self, installed: &Installed, slice: Slice, range: &Unread) {
        let value = postcard::to_stdvec(range).expect("numbers and bytes");
        self.batch.insert(
            &self.store.unread,
            unread_key(installed, slice, range.from),
            value,
        );
    }

    /// The outcomes of the range that begins there are in the store.
    pub(crate) fn is_read(&mut self, installed: &Installed, slice: Slice, from: i64) {
        self.batch
            .remove(&self.store.unread, unread_key(installed, slice, from));
    }

    pub(crate) fn apply(self) -> Result<(), StoreError> {
        self.batch.commit().map_err(|source| self.store.error(source))
    }
}

fn prefix(installed: &Installed, slice: Slice) -> Vec<u8> {
    [installed.tag.as_slice(), &slice.partition.to_be_bytes()].concat()
}

fn state_key(installed: &Installed, slice: Slice, id: &AggregateId) -> Vec<u8> {
    [&prefix(installed, slice), id.as_str().as_bytes()].concat()
}

fn result_key(installed: &Installed, slice: Slice, command_id: Uuid) -> Vec<u8> {
    [prefix(installed, slice).as_slice(), command_id.as_bytes()].concat()
}

fn position_key(installed: &Installed, slice: Slice, log: Log) -> Vec<u8> {
    let log = match log {
        Log::Events => b'e',
        Log::Results => b'r',
    };
    [prefix(installed, slice).as_slice(), &[log]].concat()
}

fn covered_key(installed: &Installed, slice: Slice) -> Vec<u8> {
    [prefix(installed, slice).as_slice(), b"s"].concat()
}

fn unread_key(installed: &Installed, slice: Slice, from: i64) -> Vec<u8> {
    [prefix(installed, slice).as_slice(), &from.to_be_bytes()].concat()
}

fn error(folder: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError {
        folder: folder.to_owned(),
        source: source.into(),
    }
}

/// Another process has the folder: discarding it would pull it away from under that one.
fn is_locked(error: &StoreError) -> bool {
    match error.source.downcast_ref::<fjall::Error>() {
        Some(fjall::Error::Locked) => true,
        Some(fjall::Error::Io(error)) => error.kind() == io::ErrorKind::WouldBlock,
        _ => false,
    }
}
