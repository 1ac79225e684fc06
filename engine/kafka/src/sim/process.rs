//! A command handler, as the scheduler has it: its threads are coroutines that run what the real ones run.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use generator::{Generator, Gn};

use super::broker::SimBroker;
use super::fixture::Fixture;
use super::world::{Turn, World};
use crate::broker::Broker;
use crate::catalog::Catalog;
use crate::engine::work;
use crate::follower::{FollowError, Follower};
use crate::gateway::Sender;
use crate::lookout::Lookout;
use crate::runtime::Runtime;
use crate::store::Store;
use crate::waiters::Waiters;
use crate::worker::{Post, Shared};

/// In words. Decisions and codecs need more than a coroutine has by default.
pub(super) const STACK: usize = 1 << 16;

pub(super) struct Process {
    pub(super) name: usize,
    /// Without keys: those are its memory's.
    pub(super) catalog: Arc<Catalog>,
    pub(super) store: Store,
    pub(super) condition: Condition,
    /// When it was started, each time.
    pub(super) starts: Vec<Duration>,
}

pub(super) enum Condition {
    /// Until then.
    Down(Duration),
    Up(Running),
}

pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) threads: Vec<Thread>,
    /// Until when it stands still.
    pub(super) frozen: Option<Duration>,
    pub(super) is_stopping: bool,
    /// Why it cannot go on.
    failed: Arc<Mutex<Option<String>>>,
    /// The thread that has a lock which others may want.
    holder: Option<usize>,
}

pub(super) struct Thread {
    body: Generator<'static, (), Turn>,
    turn: Turn,
    /// The cluster's version when it last ran.
    seen: u64,
}

impl Process {
    pub(super) fn posts(name: usize, catalog: &Catalog) -> [Post; 2] {
        let post = |what: &str, is_internal: bool| {
            let types = catalog.types().iter();
            let types = types.filter(|installed| installed.aggregate.info().is_internal() == is_internal);
            Post {
                group: what.to_owned(),
                member: format!("{what}-{name}"),
                types: types.map(|installed| installed.index).collect(),
                batch_max: 5,
                ahead_min: 1,
                cache_max: NonZeroUsize::new(100).unwrap(),
                snapshot_every: 0,
            }
        };
        [post("commands", false), post("claims", true)]
    }

    pub(super) fn start(&mut self, world: &World, fixture: &Fixture) {
        let catalog = Arc::new(self.catalog.with_keys(fixture.keys(world)));
        let broker: Arc<dyn Broker> = Arc::new(SimBroker { world: world.clone() });
        let runtime: Arc<dyn Runtime> = Arc::new(world.clone());
        let waiters = Arc::new(Waiters::new(10_000));
        let sender = Sender::new(broker.as_ref(), Arc::clone(&catalog), Arc::clone(&waiters)).unwrap();
        let follower = Follower::new(&broker, &runtime, &catalog, &self.store, &waiters);
        let shared = Arc::new(Shared {
            broker,
            runtime,
            catalog,
            store: self.store.clone(),
            follower: Arc::new(follower),
            waiters,
            sender,
            lookout: Lookout::closed(),
            is_stopped: AtomicBool::new(false),
        });
        let failed = Arc::new(Mutex::new(None));
        let follow = {
            let (shared, failed) = (Arc::clone(&shared), Arc::clone(&failed));
            thread(move || {
                wait_for_keys(&shared);
                match shared.follower.run() {
                    Ok(()) | Err(FollowError::Stopped) => {}
                    Err(error) => tell(&failed, format!("the follower: {error}")),
                }
            })
        };
        let keys = {
            let (shared, world) = (Arc::clone(&shared), world.clone());
            thread(move || follow_keys(&shared, &world))
        };
        let mut threads = vec![follow, keys];
        for post in Self::posts(self.name, &self.catalog) {
            let (shared, failed) = (Arc::clone(&shared), Arc::clone(&failed));
            threads.push(thread(move || {
                wait_for_keys(&shared);
                if let Err(error) = work(&shared, &post, &Arc::default()) {
                    tell(&failed, format!("worker {}: {error}", post.member));
                }
            }));
        }
        self.starts.push(world.now());
        self.condition = Condition::Up(Running {
            shared,
            threads,
            frozen: None,
            is_stopping: false,
            failed,
            holder: None,
        });
    }

    /// As SIGKILL does it: nothing of it goes on.
    pub(super) fn kill(&mut self, until: Duration) {
        if let Condition::Up(running) = &mut self.condition {
            running.cancel();
        }
        self.condition = Condition::Down(until);
    }

    /// The process, if it is up.
    pub(super) fn running(&mut self) -> Option<&mut Running> {
        match &mut self.condition {
            Condition::Up(running) => Some(running),
            Condition::Down(_) => None,
        }
    }
}

/// As the engine's start does it, and then the thread of the keys.
fn follow_keys(shared: &Shared, world: &World) {
    let keys = &shared.catalog.keys;
    while keys.make_ready().is_err() && !shared.is_stopped.load(Ordering::SeqCst) {
        shared.runtime.sleep(Duration::from_secs(1));
    }
    world.cluster().version += 1;
    for ring in keys.rings() {
        keys.keep_following(ring);
    }
}

/// Nothing is begun before the keys are read.
fn wait_for_keys(shared: &Shared) {
    while !shared.catalog.keys.are_read() && !shared.is_stopped.load(Ordering::SeqCst) {
        shared.runtime.sleep(Duration::from_millis(5));
    }
}

fn tell(failed: &Mutex<Option<String>>, error: String) {
    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
    failed.get_or_insert(error);
}

fn thread(body: impl FnOnce() + Send + 'static) -> Thread {
    Thread {
        body: Gn::new_opt(STACK, move || {
            body();
            Turn::Next
        }),
        turn: Turn::Next,
        seen: 0,
    }
}

impl Running {
    /// The threads that can go on now.
    pub(super) fn ready(&self, now: Duration, version: u64, looks: bool) -> impl Iterator<Item = usize> + '_ {
        let is_ready = move |thread: &Thread| match thread.turn {
            Turn::Next => true,
            Turn::Look(_) if thread.seen != version => true,
            Turn::Look(until) => looks && until <= now,
            Turn::At(until) => until <= now,
        };
        let awake = self.awake();
        awake
            .filter(move |(_, thread)| is_ready(thread))
            .map(|(index, _)| index)
    }

    /// When a thread goes on by itself: those that sleep, or those that look as well.
    pub(super) fn next(&self, looks: bool) -> Option<Duration> {
        let wakes = self.awake().filter_map(|(_, thread)| match thread.turn {
            Turn::At(until) => Some(until),
            Turn::Look(until) => looks.then_some(until),
            Turn::Next => None,
        });
        wakes.min()
    }

    /// The threads that nothing but their turn keeps from going on.
    fn awake(&self) -> impl Iterator<Item = (usize, &Thread)> {
        let threads = self.threads.iter().enumerate();
        threads.filter(|(index, thread)| {
            self.frozen.is_none()
                && self.holder.is_none_or(|holder| holder == *index)
                && !thread.body.is_done()
        })
    }

    /// Lets a thread go on to where it gives its turn away.
    pub(super) fn resume(&mut self, index: usize, version: u64) {
        let thread = &mut self.threads[index];
        thread.seen = version;
        if let Some(turn) = thread.body.resume() {
            thread.turn = turn;
        }
        // On one thread of the system a lock cannot be waited for: while one has it, the others have no turn.
        let mut rings = self.shared.catalog.keys.rings();
        let is_held = self.shared.follower.is_locked() || rings.any(|ring| ring.is_locked());
        self.holder = is_held.then_some(index);
    }

    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.clone()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.threads.iter().all(|thread| thread.body.is_done())
    }

    /// Asks it to end in good order: its workers first, then what they rest on.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.shared.catalog.keys.stop();
        self.shared.follower.end_waiting();
        if self.threads[2..].iter().all(|thread| thread.body.is_done()) {
            self.shared.follower.stop();
        }
    }

    fn cancel(&mut self) {
        // Who has a lock first: the others want it as they end.
        if let Some(holder) = self.holder {
            self.threads[holder].body.cancel();
        }
        for thread in &mut self.threads {
            thread.body.cancel();
        }
    }
}
