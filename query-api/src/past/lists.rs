//! Lists as they were: a view, folded up to a moment into a store of its own, which is then read as any view is.
//!
//! One is built once per view and moment, off the threads of requests, and kept for as long as it is asked for and there
//! is room. Whoever asks for one that is being built waits for it, or comes again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldline_core::{AggregateId, Domains};
use foldline_views::{
    Batch, FeedQuery, NewRow, Row, RowChange, SqliteStore, StoreError, ViewStore, ViewWriter,
};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::fold::{PastView, RowFold, parked_in};
use super::timeline::is_left_out;
use super::{Cut, PastError};
use crate::readers::Readers;

/// How many events are folded and written at once.
const PAGE: usize = 2000;

/// How many are built or wait for it at once; one more is told to come again.
const BUILDING_MAX: usize = 8;

/// Limits of what is kept.
#[derive(Debug, Clone)]
pub struct PastOptions {
    /// How many are kept.
    pub most: usize,
    /// How many bytes they have on disk, all together.
    pub bytes_max: u64,
    /// How long one is kept that nobody asks for.
    pub age_max: Duration,
}

/// A view at a moment.
type Key = (String, Cut);

/// What became of it.
#[derive(Clone)]
enum State {
    Building,
    Ready(Arc<PastList>),
    Failed(String),
}

/// A view as it was.
pub(crate) struct PastList {
    pub(crate) readers: Arc<Readers>,
    bytes: u64,
    /// Removed when the last who reads it is done.
    _folder: TempDir,
}

struct Slot {
    state: watch::Receiver<State>,
    used_at: Instant,
}

/// Lists of the past.
pub(crate) struct PastLists {
    options: PastOptions,
    slots: Mutex<HashMap<Key, Slot>>,
    /// One at a time: a build takes a processor for itself.
    turn: Arc<Semaphore>,
    history: Arc<Readers>,
    domains: Domains,
    readers: usize,
}

impl PastLists {
    pub(crate) fn new(
        options: &PastOptions,
        history: Arc<Readers>,
        domains: &Domains,
        readers: usize,
    ) -> Self {
        Self {
            options: options.clone(),
            slots: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            history,
            domains: domains.clone(),
            readers,
        }
    }

    /// The view at a moment, if it is ready within the time.
    pub(crate) async fn get(
        &self,
        past: &Arc<PastView>,
        cut: Cut,
        deadline: Instant,
    ) -> Result<Arc<PastList>, PastError> {
        let key = (past.view.info().name.to_owned(), cut);
        let mut state = self.slot(past, &key)?;
        let settled = state.wait_for(|state| !matches!(state, State::Building));
        let Ok(settled) = timeout_at(deadline, settled).await else {
            return Err(PastError::Building);
        };
        // A builder that was dropped without a word: the process ends.
        let settled = settled.map_or(State::Building, |state| state.clone());
        match settled {
            State::Ready(list) => {
                self.tidy();
                Ok(list)
            }
            State::Building => Err(PastError::Building),
            State::Failed(why) => {
                self.slots().remove(&key);
                tracing::warn!(view = key.0, why, "a list of the past could not be built");
                Err(PastError::Building)
            }
        }
    }

    /// What is known of it; its building begins if nothing is.
    fn slot(&self, past: &Arc<PastView>, key: &Key) -> Result<watch::Receiver<State>, PastError> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(key) {
            slot.used_at = Instant::now();
            return Ok(slot.state.clone());
        }
        let building = slots
            .values()
            .filter(|slot| matches!(*slot.state.borrow(), State::Building));
        if building.count() >= BUILDING_MAX {
            return Err(PastError::Building);
        }
        let (tell, state) = watch::channel(State::Building);
        slots.insert(
            key.clone(),
            Slot {
                state: state.clone(),
                used_at: Instant::now(),
            },
        );
        let build = Build {
            past: Arc::clone(past),
            cut: key.1.clone(),
            history: Arc::clone(&self.history),
            domains: self.domains.clone(),
            readers: self.readers,
        };
        let turn = Arc::clone(&self.turn);
        tokio::spawn(async move {
            let _turn = turn.acquire_owned().await;
            let built = spawn_blocking(move || build.run()).await;
            let state = match built {
                Ok(Ok(list)) => State::Ready(Arc::new(list)),
                Ok(Err(error)) => State::Failed(error.to_string()),
                // Most likely a projection panicked.
                Err(failed) => State::Failed(failed.to_string()),
            };
            tell.send_replace(state);
        });
        Ok(state)
    }

    /// Drops what is old or too much, the longest unused first.
    fn tidy(&self) {
        let mut slots = self.slots();
        let now = Instant::now();
        slots.retain(|_, slot| {
            matches!(*slot.state.borrow(), State::Building) || now - slot.used_at < self.options.age_max
        });
        loop {
            let ready = slots
                .iter()
                .filter_map(|(key, slot)| match &*slot.state.borrow() {
                    State::Ready(list) => Some((key.clone(), slot.used_at, list.bytes)),
                    State::Building | State::Failed(_) => None,
                });
            let ready: Vec<_> = ready.collect();
            let bytes: u64 = ready.iter().map(|(.., bytes)| bytes).sum();
            metrics::gauge!("query_past_lists").set(u32::try_from(ready.len()).unwrap_or(u32::MAX));
            if ready.len() <= self.options.most && bytes <= self.options.bytes_max {
                return;
            }
            let Some((oldest, ..)) = ready.into_iter().min_by_key(|(_, used_at, _)| *used_at) else {
                return;
            };
            slots.remove(&oldest);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one is built from.
struct Build {
    past: Arc<PastView>,
    cut: Cut,
    history: Arc<Readers>,
    domains: Domains,
    readers: usize,
}

impl Build {
    /// Folds all events up to the moment. Pages are read each for itself, so that no long read keeps the projector's
    /// file from being tidied; what lies before the moment does not change.
    fn run(&self) -> Result<PastList, PastError> {
        let name = self.past.view.info().name;
        let folder = tempfile::tempdir().map_err(|error| StoreError::Database(error.into()))?;
        let store = SqliteStore::new(folder.path().join("past.db"));
        let (cluster, parked) = self
            .history
            .read_here(|snapshot, _| Ok((snapshot.cluster_id()?, parked_in(snapshot, name)?)))?;
        let writer = store.writer(&self.domains, &cluster);
        let mut writer = writer.map_err(|error| StoreError::Database(error.into()))?;
        let mut query = FeedQuery {
            aggregates: self.past.sources.clone(),
            until: Some(self.cut.clone()),
            limit: PAGE,
            ..FeedQuery::default()
        };
        loop {
            let page = self.history.read_here(|snapshot, _| {
                let same = snapshot.cluster_id()? == cluster;
                same.then(|| snapshot.feed(&query)).transpose()
            })?;
            let Some(page) = page else {
                return Err(PastError::Behind(name.to_owned()));
            };
            let events = page.events.iter().filter(|event| !is_left_out(&parked, event));
            let mut touched: BTreeMap<AggregateId, Vec<usize>> = BTreeMap::new();
            let mut decoded = Vec::new();
            for event in events {
                let (kind, read) = self.past.read(event)?;
                let aggregate = kind.info().name.clone();
                for id in self.past.view.keys(&aggregate, &read) {
                    let of_row = touched.entry(id).or_default();
                    if of_row.last() != Some(&decoded.len()) {
                        of_row.push(decoded.len());
                    }
                }
                let is_subject = self.past.subject.as_ref() == Some(&event.aggregate);
                decoded.push((aggregate, read, is_subject));
            }
            let rows = self.fold(&mut *writer, &touched, &decoded)?;
            if !rows.is_empty() {
                let batch = Batch {
                    rows,
                    ..Batch::default()
                };
                writer
                    .commit(&batch)
                    .map_err(|error| StoreError::Database(error.into()))?;
            }
            query.after = page.next;
            if !page.more {
                break;
            }
        }
        let is_whole = self
            .cut
            .iter()
            .all(|(place, end)| *end == 0 || query.after.get(place).is_some_and(|next| next >= end));
        if !is_whole {
            // The history is being built anew, and has not come as far again.
            return Err(PastError::Behind(name.to_owned()));
        }
        drop(writer);
        let bytes = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        let bytes = bytes.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        Ok(PastList {
            readers: Arc::new(Readers::new(Box::new(store), self.readers)),
            bytes,
            _folder: folder,
        })
    }

    fn fold(
        &self,
        writer: &mut dyn ViewWriter,
        touched: &BTreeMap<AggregateId, Vec<usize>>,
        events: &[(String, foldline_core::DecodedEvent, bool)],
    ) -> Result<Vec<RowChange>, PastError> {
        let view = &*self.past.view;
        let name = view.info().name;
        let ids: Vec<AggregateId> = touched.keys().cloned().collect();
        let stored = writer.load(name, &ids)?.into_iter();
        let mut stored: HashMap<AggregateId, Row> = stored.map(|row| (row.id.clone(), row)).collect();
        let mut changes = Vec::with_capacity(touched.len());
        for (id, of_row) in touched {
            let mut fold = RowFold::new();
            if let Some(row) = stored.remove(id) {
                let state = view
                    .decode(&row.doc)
                    .map_err(|error| StoreError::Database(error.into()))?;
                fold.state = Some(state);
                (fold.sequence, fold.version) = (row.sequence, row.version);
            }
            for (aggregate, event, is_subject) in of_row.iter().map(|index| &events[*index]) {
                let is_own = *is_subject && event.meta.aggregate_id == *id;
                fold.apply(view, aggregate, event, id, is_own);
            }
            let (sequence, version) = (fold.sequence, fold.version);
            changes.push(RowChange {
                view: name.to_owned(),
                id: id.clone(),
                row: fold.state.map(|state| NewRow {
                    doc: view.encode(&state),
                    listed: view.is_listed(&state),
                    sequence,
                    version,
                }),
            });
        }
        Ok(changes)
    }
}
