//! One run: a seed decides who has the next turn, what fails, who asks for what, and which processes are killed, frozen
//! and stopped. Then all is mended, everybody is answered, and the log is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use foldline_core::Timestamp;
use foldline_seeds::Ran;

use super::broker::{KEYS, SimBroker};
use super::bugs::Bug;
use super::check;
use super::clients::{CUSTOMERS, Client};
use super::cluster::{Cluster, Stored};
use super::erasure::Erasure;
use super::fixture::Fixture;
use super::process::{Condition, Process};
use super::world::{World, points};
use crate::keys::{KeyRecord, PARTITION, SECRET};

const PROCESSES: usize = 2;
const CLIENTS: usize = 12;
const FAULTS: usize = 8;
const ERASURES: usize = 2;
/// From then on nothing fails.
const MENDED: Duration = Duration::from_secs(25);
/// By then it must have come to rest.
const STEPS_MAX: u64 = 50_000;
const TIME_MAX: Duration = Duration::from_secs(200);

/// Something that is done to a process.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill { loses_disk: bool },
    Freeze,
    Stop,
    Rebalance,
}

pub(super) fn run(fixture: &mut Fixture, seed: u64, bug: Option<Bug>) -> Ran {
    let mut plan = Rng::with_seed(seed);
    let cluster = Cluster::new(plan.u64(..), bug);
    let mut processes = Vec::new();
    for name in 0..PROCESSES {
        let (catalog, store) = fixture.store();
        processes.push(Process {
            name,
            catalog,
            store,
            condition: Condition::Down(Duration::from_millis(plan.u64(0..500))),
            starts: Vec::new(),
        });
    }
    let clients = (0..CLIENTS).map(|_| Client::any(&mut plan)).collect();
    let erasures = (0..ERASURES)
        .map(|_| Erasure::any(&mut plan, CUSTOMERS))
        .collect();
    let fault = |plan: &mut Rng| {
        let at = MENDED.mul_f64(plan.f64());
        let fault = match plan.u32(0..10) {
            0..=2 => Fault::Kill {
                loses_disk: plan.bool(),
            },
            3..=5 => Fault::Freeze,
            6 => Fault::Stop,
            _ => Fault::Rebalance,
        };
        (at, plan.usize(0..PROCESSES), fault)
    };
    let mut faults: Vec<_> = (0..FAULTS).map(|_| fault(&mut plan)).collect();
    faults.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let types = fixture.catalog().types().iter();
    let partitions = types.map(|installed| (installed.commands.name.clone(), installed.partitions));
    let mut run = Run {
        partitions: partitions.collect(),
        world: World::new(cluster),
        fixture,
        processes,
        clients,
        erasures,
        late: Vec::new(),
        faults,
        armed: [None; PROCESSES],
        steps: 0,
        trace: 0,
        problems: Vec::new(),
    };
    run.make_the_secret();
    run.come_to_rest();
    if run.problems.is_empty() {
        run.come_late();
        run.come_to_rest();
    }
    run.judge()
}

struct Run<'a> {
    world: World,
    fixture: &'a mut Fixture,
    processes: Vec<Process>,
    clients: Vec<Client>,
    erasures: Vec<Erasure>,
    /// Those who come when all else is done: for each who was erased, one who asks for something to be kept.
    late: Vec<Client>,
    /// Of the command topics.
    partitions: BTreeMap<String, i32>,
    /// The next one last.
    faults: Vec<(Duration, usize, Fault)>,
    /// What waits for each process, and how many points from here.
    armed: [Option<(u32, Fault)>; PROCESSES],
    steps: u64,
    trace: u64,
    problems: Vec<String>,
}

impl Run<'_> {
    /// As it was made when the very first process was started: that is not simulated. The same in each run, because by it
    /// claims are named.
    fn make_the_secret(&mut self) {
        let secret = Stored {
            key: Some(SECRET.as_bytes().to_vec()),
            value: Some(KeyRecord::Secret([7; 32]).encode(Timestamp(0))),
            headers: Vec::new(),
        };
        let mut cluster = self.world.cluster();
        cluster.append(&(KEYS.to_owned(), PARTITION), secret, None);
    }

    /// Each erasure is done once more, and everybody has heard of all of them.
    fn come_late(&mut self) {
        let now = self.world.now();
        let mut cluster = self.world.cluster();
        for erasure in &mut self.erasures {
            erasure.again(now);
            if erasure.marked_at.is_some() {
                cluster.note("person erased");
                self.late
                    .push(Client::late(&mut cluster.rng, &erasure.customer, now));
            }
        }
    }

    fn come_to_rest(&mut self) {
        let mut quiet_at = None;
        loop {
            self.pass();
            if !self.problems.is_empty() {
                return;
            }
            let (now, version) = {
                let cluster = self.world.cluster();
                (cluster.now, cluster.version)
            };
            if self.steps > STEPS_MAX || now > TIME_MAX {
                self.problems
                    .push(format!("not at rest after {} turns, at {now:?}", self.steps));
                return;
            }
            if self.give_a_turn(now, version, false) {
                continue;
            }
            if let Some(next) = self.next_event() {
                self.go_to(next);
                continue;
            }
            // All look for something new, and there is nothing.
            if quiet_at == Some(version) {
                return;
            }
            quiet_at = Some(version);
            let looks = self.processes.iter_mut().filter_map(Process::running);
            let latest = looks.filter_map(|running| running.next(true)).max();
            self.go_to(latest.unwrap_or(now));
            let (now, version) = (self.world.now(), version);
            // Each looks once more, so that whoever waits in vain says so.
            for _ in 0..50 {
                if !self.give_a_turn(now, version, true) {
                    break;
                }
            }
        }
    }

    /// Lets one of the threads go on that can. `looks` are those too for which there is nothing new.
    fn give_a_turn(&mut self, now: Duration, version: u64, looks: bool) -> bool {
        let mut ready = Vec::new();
        for process in &mut self.processes {
            let name = process.name;
            if let Some(running) = process.running() {
                ready.extend(running.ready(now, version, looks).map(|thread| (name, thread)));
            }
        }
        let Some((process, thread)) = self.choose(&ready) else {
            return false;
        };
        self.steps += 1;
        self.trace = hashed(
            self.trace,
            &[process as u64, thread as u64, now.as_nanos() as u64],
        );
        let before = points();
        if let Some(running) = self.processes[process].running() {
            running.resume(thread, version);
            if let Some(failure) = running.failure() {
                self.problems
                    .push(format!("process {process} cannot go on: {failure}"));
            }
        }
        if let Some((points, fault)) = self.armed[process].take_if(|_| points() > before) {
            match points {
                0 => self.do_fault(now, process, fault),
                points => self.armed[process] = Some((points - 1, fault)),
            }
        }
        let mut cluster = self.world.cluster();
        let took = cluster.rng.u64(0..2_000);
        cluster.now += Duration::from_micros(took);
        true
    }

    fn choose(&mut self, ready: &[(usize, usize)]) -> Option<(usize, usize)> {
        match ready.len() {
            0 => None,
            count => Some(ready[self.world.cluster().rng.usize(0..count)]),
        }
    }

    /// Whatever is due at this time.
    fn pass(&mut self) {
        self.pass_in_the_cluster();
        self.pass_in_processes();
        let now = self.world.now();
        while let Some((at, process, fault)) = self.faults.last().copied()
            && at <= now
        {
            self.faults.pop();
            // Most wait between two steps of a worker.
            let points = self.world.cluster().rng.u32(0..24);
            match points {
                0..=3 => self.do_fault(now, process, fault),
                points => self.armed[process] = Some((points, fault)),
            }
        }
        if now >= MENDED && self.world.cluster().is_rough {
            self.mend();
        }
        for client in self.clients.iter_mut().chain(&mut self.late) {
            client.hear(now);
            if client.next().is_some_and(|at| at <= now) {
                let whom = self.world.cluster().rng.usize(0..PROCESSES);
                client.ask(now, &self.processes[whom]);
            }
        }
        let broker = SimBroker {
            world: self.world.clone(),
        };
        for erasure in &mut self.erasures {
            if erasure.next.is_some_and(|at| at <= now) {
                erasure.pass(now, &broker, self.fixture.catalog());
            }
        }
    }

    fn pass_in_the_cluster(&mut self) {
        let mut cluster = self.world.cluster();
        cluster.pass();
        let cluster = &mut *cluster;
        let mut has_changed = false;
        for group in cluster.groups.values_mut() {
            let gone = group.pass(cluster.now, &self.partitions, &mut cluster.rng);
            has_changed |= gone.is_some();
        }
        cluster.version += u64::from(has_changed);
    }

    fn pass_in_processes(&mut self) {
        let now = self.world.now();
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            match &mut process.condition {
                Condition::Down(until) if *until <= now => process.start(&self.world, self.fixture),
                Condition::Down(_) => {}
                Condition::Up(running) => {
                    if running.frozen.is_some_and(|until| until <= now) {
                        running.frozen = None;
                        self.is_silent(index, None);
                    } else if running.is_stopping {
                        running.stop();
                        if running.has_ended() {
                            self.down(index, now);
                        }
                    }
                }
            }
        }
    }

    fn do_fault(&mut self, now: Duration, index: usize, fault: Fault) {
        let process = &mut self.processes[index];
        let Condition::Up(running) = &mut process.condition else {
            return;
        };
        let frozen = {
            let mut cluster = self.world.cluster();
            cluster.version += 1;
            // Short enough to be missed by nobody, or longer than a session and a transaction last.
            let length = [1..=50, 50..=3_000, 9_000..=25_000][cluster.rng.usize(0..3)].clone();
            Duration::from_millis(cluster.rng.u64(length))
        };
        match fault {
            Fault::Kill { loses_disk } => {
                self.world.cluster().note("killed");
                self.down(index, now);
                if loses_disk {
                    let (catalog, store) = self.fixture.store();
                    let process = &mut self.processes[index];
                    (process.catalog, process.store) = (catalog, store);
                }
            }
            Fault::Freeze => {
                self.world.cluster().note("frozen");
                running.frozen = Some(now + frozen);
                self.is_silent(index, Some(now));
            }
            Fault::Stop => {
                self.world.cluster().note("stopped");
                running.stop();
            }
            Fault::Rebalance => {
                let mut cluster = self.world.cluster();
                cluster.note("rebalance asked for");
                cluster
                    .groups
                    .values_mut()
                    .for_each(|group| group.ask_for_rebalance());
            }
        }
    }

    /// Ends it, whatever it is doing, for a while.
    fn down(&mut self, index: usize, now: Duration) {
        let away = {
            let mut cluster = self.world.cluster();
            cluster.version += 1;
            let most = [100, 15_000][cluster.rng.usize(0..2)];
            Duration::from_millis(cluster.rng.u64(1..=most))
        };
        self.processes[index].kill(now + away);
        self.is_silent(index, Some(now));
        for client in self.clients.iter_mut().chain(&mut self.late) {
            client.gone(index);
        }
    }

    fn is_silent(&mut self, index: usize, since: Option<Duration>) {
        let mut cluster = self.world.cluster();
        cluster.version += 1;
        for (name, group) in &mut cluster.groups {
            group.hears(&format!("{name}-{index}"), since);
        }
    }

    /// From now on nothing fails, and everybody is there.
    fn mend(&mut self) {
        self.world.cluster().is_rough = false;
        self.faults.clear();
        self.armed = [None; PROCESSES];
        for index in 0..self.processes.len() {
            match &mut self.processes[index].condition {
                Condition::Down(until) => *until = Duration::ZERO,
                Condition::Up(running) => {
                    running.frozen = None;
                    self.is_silent(index, None);
                }
            }
        }
    }

    /// When something comes to pass by itself.
    fn next_event(&mut self) -> Option<Duration> {
        let mut times: Vec<Duration> = {
            let cluster = self.world.cluster();
            let evictions = cluster.groups.values().filter_map(|group| group.next_eviction());
            let mended = cluster.is_rough.then_some(MENDED);
            cluster
                .next_timer()
                .into_iter()
                .chain(evictions)
                .chain(mended)
                .collect()
        };
        times.extend(self.faults.last().map(|(at, ..)| *at));
        let clients = self.clients.iter().chain(&self.late);
        times.extend(clients.filter_map(Client::next));
        times.extend(self.erasures.iter().filter_map(|erasure| erasure.next));
        for process in &self.processes {
            times.extend(match &process.condition {
                Condition::Down(until) => Some(*until),
                Condition::Up(running) => running.frozen.or(running.next(false)),
            });
        }
        times.into_iter().min()
    }

    fn go_to(&mut self, time: Duration) {
        let mut cluster = self.world.cluster();
        cluster.now = cluster.now.max(time);
    }

    fn judge(mut self) -> Ran {
        if self.problems.is_empty() {
            let keys = self.fixture.keys(&self.world);
            self.problems = check::all(&check::Ended {
                cluster: &self.world.cluster(),
                catalog: &self.fixture.catalog().with_keys(keys),
                processes: &self.processes,
                clients: &self.clients,
                late: &self.late,
                erasures: &self.erasures,
            });
        }
        for process in &mut self.processes {
            process.kill(Duration::ZERO);
        }
        let seen = std::mem::take(&mut self.world.cluster().seen);
        Ran {
            turns: self.steps,
            trace: self.trace,
            seen,
            problems: self.problems,
        }
    }
}

/// FNV-1a.
fn hashed(hash: u64, words: &[u64]) -> u64 {
    words
        .iter()
        .fold(hash, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3))
}
