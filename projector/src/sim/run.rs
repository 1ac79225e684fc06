//! One run: a seed decides who writes, who reads, and which projectors are killed, frozen and replaced by the program of
//! tomorrow. Then all is mended, and the store must have everything, as it was at each moment before.

use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use foldline_core::Domains;
use foldline_seeds::Ran;
use foldline_views::{Snapshot, SqliteStore, ViewReader, ViewStore};
use tokio::runtime::Handle;

use super::bugs::Bug;
use super::check::{Seen, is_complete, judge, version};
use super::process::{KILLED, Process};
use super::tomorrow;
use super::world::World;
use crate::build::Site;
use crate::toy::bar;

/// Turns in which anything may happen.
const ROUGH: u32 = 220;
/// Turns after which it must have come to rest.
const TURNS_MAX: u32 = 6_000;
/// Between two looks at the store, while all goes well.
const JUDGED_EVERY: u32 = 20;

pub(super) fn run(folder: &Path, handle: &Handle, seed: u64, bug: Option<Bug>) -> Ran {
    let path = folder.join(format!("{seed}.db"));
    let mut plan = Rng::with_seed(seed);
    let world = World::new(plan.fork(), bug);
    let site = site(&path, &world);
    let mut run = Run {
        plan,
        handle: handle.clone(),
        deployed_at: None,
        processes: vec![Process::start(&site, &world, handle)],
        world,
        site,
        reader: None,
        seen: Seen::default(),
        turns: 0,
        problems: Vec::new(),
    };
    run.deployed_at = run.plan.bool().then(|| run.plan.u32(0..ROUGH));
    run.be_rough();
    run.come_to_rest();
    run.processes.iter_mut().for_each(Process::kill);
    run.reader = None;
    for suffix in ["", "-wal", "-shm"] {
        // Some were never there.
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    let seen = std::mem::take(&mut run.world.shared().seen);
    Ran {
        turns: u64::from(run.turns),
        trace: 0,
        seen,
        problems: run.problems,
    }
}

/// What a projector is opened with.
pub(super) fn site(path: &Path, world: &World) -> Site {
    Site {
        logs: Arc::new(world.clone()),
        store: SqliteStore::new(path.to_owned()),
        domains: bar().clone(),
        cluster_id: "simulated".to_owned(),
        batch_max: 5,
    }
}

struct Run {
    plan: Rng,
    world: World,
    handle: Handle,
    site: Site,
    /// When the program of tomorrow is started in place of today's.
    deployed_at: Option<u32>,
    /// Of several, the one that has opened the store last may go on, and the others are fenced.
    processes: Vec<Process>,
    /// Opened once: that takes longer than to look.
    reader: Option<Box<dyn ViewReader>>,
    seen: Seen,
    turns: u32,
    problems: Vec<String>,
}

impl Run {
    fn be_rough(&mut self) {
        while self.turns < ROUGH && self.problems.is_empty() {
            self.turns += 1;
            if self.deployed_at.is_some_and(|at| at <= self.turns) {
                self.deployed_at = None;
                self.site.domains = tomorrow();
                self.world.note("deployed");
                self.replace(true);
            }
            match self.plan.u32(0..100) {
                0..=34 => {
                    let shared = &mut *self.world.shared();
                    shared.log.write(&mut shared.rng);
                }
                35..=94 => self.give_a_turn(),
                95 | 96 => {
                    self.world.note("killed");
                    self.replace(true);
                }
                97 => {
                    self.world.note("frozen");
                    if let Some(newest) = self.processes.last_mut() {
                        newest.is_frozen = true;
                    }
                }
                98 => {
                    self.world.note("replaced while it lives");
                    self.replace(false);
                }
                _ => self
                    .processes
                    .iter_mut()
                    .for_each(|process| process.is_frozen = false),
            }
            if self.turns.is_multiple_of(JUDGED_EVERY) {
                self.judge();
            }
        }
    }

    /// Nothing fails any more; all that can go on does.
    fn come_to_rest(&mut self) {
        {
            let shared = &mut *self.world.shared();
            shared.log.settle(&mut shared.rng);
        }
        // One is left, and is started anew: of several, the one that lived on may be today's program, and the one that
        // was to build has given that up to another one.
        self.processes.drain(..).for_each(|mut process| process.kill());
        self.judge();
        self.replace(false);
        while self.problems.is_empty() {
            (0..JUDGED_EVERY).for_each(|_| self.give_a_turn());
            self.turns += JUDGED_EVERY;
            if self.turns > TURNS_MAX {
                self.problems
                    .push("not at rest: the views have not all that is in the log".to_owned());
            }
            if self.is_at_rest() {
                break;
            }
        }
        self.judge();
    }

    fn is_at_rest(&mut self) -> bool {
        let Some(snapshot) = look(&mut self.reader, &self.site.store) else {
            return false;
        };
        // Every view is served as the program that runs declares it.
        let missing = snapshot
            .missing(&self.site.domains)
            .expect("the store can be read");
        missing.is_empty()
            && version(&*snapshot, "tabs").is_some()
            && is_complete(&*snapshot, &self.world.shared().log)
    }

    fn give_a_turn(&mut self) {
        let chosen = self.plan.usize(0..self.processes.len());
        // The build has less to do than the loop.
        let thread = usize::from(self.plan.u32(0..3) == 0);
        let process = &mut self.processes[chosen];
        if process.is_frozen {
            return;
        }
        process.resume(thread);
        match process.end(thread) {
            None | Some(Ok(())) => {}
            Some(Err(error)) => match ends_well(&error) {
                Some(what) => {
                    self.world.note(what);
                    self.processes.remove(chosen).kill();
                    // Something starts one again, if it was the last.
                    if self.processes.is_empty() {
                        self.replace(false);
                    }
                }
                None => self.problems.push(format!("a projector cannot go on: {error}")),
            },
        }
    }

    /// Starts a new process, and kills the last one before, or leaves it to be fenced.
    fn replace(&mut self, is_killed: bool) {
        if is_killed && let Some(mut newest) = self.processes.pop() {
            newest.kill();
            self.judge();
        }
        self.processes
            .push(Process::start(&self.site, &self.world, &self.handle));
    }

    fn judge(&mut self) {
        let Some(snapshot) = look(&mut self.reader, &self.site.store) else {
            return;
        };
        let found = judge(&*snapshot, &self.world.shared().log, &mut self.seen);
        self.problems.extend(found);
    }
}

/// The store as it is now; `None` before the first start has made it.
fn look<'a>(
    reader: &'a mut Option<Box<dyn ViewReader>>,
    store: &SqliteStore,
) -> Option<Box<dyn Snapshot + 'a>> {
    if reader.is_none() {
        *reader = Some(store.reader().ok()?);
    }
    reader.as_mut()?.snapshot().ok()
}

/// What it is called, if a projector may end so.
fn ends_well(error: &str) -> Option<&'static str> {
    let known = [
        (KILLED, "killed"),
        ("fenced: another projector", "fenced"),
        // Started as today's program, it comes to the store when tomorrow's view is served already.
        ("served in version 2, and this program has version 1", "too old"),
    ];
    known
        .into_iter()
        .find(|(words, _)| error.contains(words))
        .map(|(_, what)| what)
}

fn tomorrow() -> Domains {
    tomorrow::bar()
}
