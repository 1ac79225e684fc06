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

/// For how long one that could not be built is not tried again: a build reads the whole history, and what it failed at most
/// likely lasts.
pub(crate) const UNBUILT_FOR: Duration = Duration::from_secs(10);

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
    Failed,
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
    /// When somebody asked for it last; when it was settled, if nobody has since.
    used_at: Instant,
}

/// What there is of lists.
struct Shelf {
    options: PastOptions,
    slots: Mutex<HashMap<Key, Slot>>,
}

/// Lists of the past.
pub(crate) struct PastLists {
    shelf: Arc<Shelf>,
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
            shelf: Arc::new(Shelf {
                options: options.clone(),
                slots: Mutex::default(),
            }),
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
        self.shelf.tidy();
        match settled {
            State::Ready(list) => Ok(list),
            State::Building => Err(PastError::Building),
            State::Failed => Err(PastError::Unbuilt),
        }
    }

    /// What is known of it; its building begins if nothing is.
    fn slot(&self, past: &Arc<PastView>, key: &Key) -> Result<watch::Receiver<State>, PastError> {
        let mut slots = self.shelf.slots();
        if let Some(slot) = slots.get_mut(key) {
            let has_failed = slot.has_failed();
            if !has_failed {
                slot.used_at = Instant::now();
            }
            if !has_failed || slot.used_at.elapsed() < UNBUILT_FOR {
                return Ok(slot.state.clone());
            }
        }
        let building = slots.values().filter(|slot| slot.is_building());
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
        let (turn, shelf, key) = (Arc::clone(&self.turn), Arc::clone(&self.shelf), key.clone());
        tokio::spawn(async move {
            let _turn = turn.acquire_owned().await;
            let built = spawn_blocking(move || build.run()).await;
            let why = match built {
                Ok(Ok(list)) => return shelf.settle(&key, &tell, State::Ready(Arc::new(list))),
                Ok(Err(error)) => error.to_string(),
                // Most likely a projection panicked.
                Err(failed) => failed.to_string(),
            };
            tracing::error!(view = key.0, why, "a list of the past could not be built");
            shelf.settle(&key, &tell, State::Failed);
        });
        Ok(state)
    }
}

impl Slot {
    fn is_building(&self) -> bool {
        matches!(*self.state.borrow(), State::Building)
    }

    fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed)
    }
}

impl Shelf {
    /// Says what became of one. Its time begins now: it may have been built for longer than one is kept.
    fn settle(&self, key: &Key, tell: &watch::Sender<State>, state: State) {
        tell.send_replace(state);
        if let Some(slot) = self.slots().get_mut(key) {
            slot.used_at = Instant::now();
        }
        self.tidy();
    }

    /// Drops what is old or too much, the longest unused first, and never the last that was used, however large it is: it
    /// would be built anew for each of its pages.
    fn tidy(&self) {
        let mut slots = self.slots();
        let now = Instant::now();
        slots.retain(|_, slot| slot.is_building() || now - slot.used_at < self.options.age_max);
        loop {
            let ready = slots
                .iter()
                .filter_map(|(key, slot)| match &*slot.state.borrow() {
                    State::Ready(list) => Some((key.clone(), slot.used_at, list.bytes)),
                    State::Building | State::Failed => None,
                });
            let ready: Vec<_> = ready.collect();
            let bytes: u64 = ready.iter().map(|(.., bytes)| bytes).sum();
            metrics::gauge!("query_past_lists").set(u32::try_from(ready.len()).unwrap_or(u32::MAX));
            let is_room = ready.len() <= self.options.most && bytes <= self.options.bytes_max;
            if is_room || ready.len() == 1 {
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use foldline_views::SqliteStore;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::{Cut, PastList, PastOptions, Readers, Shelf, Slot, State};

    fn shelf(most: usize, bytes_max: u64) -> Shelf {
        let age_max = Duration::from_secs(60);
        Shelf {
            options: PastOptions {
                most,
                bytes_max,
                age_max,
            },
            slots: Mutex::default(),
        }
    }

    /// A list of so many bytes, which somebody asked for so many seconds ago.
    fn put(shelf: &Shelf, name: &str, bytes: u64, seconds: u64) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(folder.path().join("past.db"));
        let list = PastList {
            readers: Arc::new(Readers::new(Box::new(store), 1)),
            bytes,
            _folder: folder,
        };
        let (_, state) = watch::channel(State::Ready(Arc::new(list)));
        let used_at = Instant::now() - Duration::from_secs(seconds);
        let slot = Slot { state, used_at };
        shelf.slots().insert((name.to_owned(), Cut::new()), slot);
    }

    /// What is left when it is tidied.
    fn left(shelf: &Shelf) -> Vec<String> {
        shelf.tidy();
        let mut names: Vec<String> = shelf.slots().keys().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_list_that_was_used_last_is_kept_however_large_it_is() {
        let shelf = shelf(2, 10);
        put(&shelf, "large", 100, 2);
        assert_eq!(left(&shelf), ["large"]);
        put(&shelf, "small", 1, 1);
        assert_eq!(left(&shelf), ["small"]);
        put(&shelf, "larger", 1_000, 0);
        assert_eq!(left(&shelf), ["larger"]);
    }

    #[test]
    fn what_is_too_much_or_too_old_goes_the_longest_unused_first() {
        let shelf = shelf(2, 10);
        put(&shelf, "c", 1, 30);
        put(&shelf, "a", 1, 20);
        put(&shelf, "b", 1, 10);
        assert_eq!(left(&shelf), ["a", "b"]);
        put(&shelf, "b", 1, 61);
        assert_eq!(left(&shelf), ["a"]);
    }
}
