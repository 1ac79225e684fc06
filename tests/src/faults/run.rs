use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place};

use super::journal::Journal;
use super::readers::{Reads, with_token};
use super::report::{Floors, Hit, Report};
use super::schedule::{Blow, Period, Schedule, Step, every_point};
use super::stage::Stage;
use crate::chance::Chance;
use crate::check::reads::TokenRead;
use crate::check::{self, Topics, Violation, feed, reads};
use crate::domains;
use crate::follower::{Done, Follower};
use crate::load::{Entry, Load, restaurant};
use crate::system::Service;

/// The load is evenings like this one, one after the other.
const EVENING: restaurant::Size = restaurant::Size {
    clients: 48,
    menu: 10,
    customers: 40,
    orders: 250,
};
const READERS: usize = 4;
/// Whose events the follower follows.
const FOLLOWED: &str = "restaurant.orders";
/// A static member that was killed keeps its partitions for 10 s, and views that were lost are built anew.
const BACK_MAX: Duration = Duration::from_secs(120);
/// How many commands of the past are sent once more in the end.
const ASKED_AGAIN: usize = 200;

/// A machine that is not ours alone has so many times the length to answer enough.
const LENGTHS_MAX: u32 = 5;

/// How long, how hard, and what is asked of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names its folders.
    pub name: String,
    /// `foldline-under-test`.
    pub program: String,
    /// Of its schedule.
    pub seed: u64,
    /// A period.
    pub period: Duration,
    /// It ends with the period that is the last to begin in this time; later, if too few commands are answered by then.
    pub length: Duration,
    /// After the periods, named points are visited until each has killed so often.
    pub each_point: usize,
    /// What it must have had to count.
    pub floors: Floors,
    /// Where the history and the report go.
    pub output: PathBuf,
}

impl Plan {
    fn goes_on(&self, load: &Load) -> bool {
        let is_enough = load.answered() >= self.floors.answered;
        let length = if is_enough {
            self.length
        } else {
            self.length * LENGTHS_MAX
        };
        load.elapsed() < length
    }
}

/// What goes on beside the faults.
struct Beside {
    is_over: Arc<AtomicBool>,
    load: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    reads: Arc<Reads>,
    follower: JoinHandle<Follower>,
    told_all: watch::Sender<Option<Done>>,
}

/// Runs it, and says what it has come to. History and report are in its folder.
pub async fn run(plan: &Plan) -> Report {
    std::fs::create_dir_all(&plan.output).expect("a folder for the history");
    let mut journal = Journal::create(&plan.output.join("history.jsonl"));
    journal.event(&json!({"seed": plan.seed, "period": plan.period, "length": plan.length}));
    let mut chance = Chance::new(plan.seed);
    let mut schedule = Schedule::new(chance.fork(), plan.period);
    let mut stage = Stage::set(&plan.name, &plan.program, &mut chance).await;
    let beside = Beside::start(&stage, &mut chance);
    let mut run = Run {
        written: 0,
        reads: Vec::new(),
        heals: Vec::new(),
        not_back: Vec::new(),
        points: every_point().into_iter().map(|(_, point)| (point, 0)).collect(),
        journal,
    };

    let mut number = 0;
    while plan.goes_on(&stage.load) {
        number += 1;
        run.period(number, &mut stage, schedule.draw(), plan.period).await;
        run.healed(number, &mut stage, &beside.reads).await;
    }
    while run.points.values().any(|hits| *hits < plan.each_point) {
        number += 1;
        let rarest = |blow: &Blow| match blow {
            Blow::KillAt(_, point, _) => run.points[point] < plan.each_point,
            _ => false,
        };
        let points = std::iter::repeat_with(|| schedule.point()).filter(rarest);
        let steps = points.take(4).map(|blow| (Duration::ZERO, Step::Hit(blow)));
        let steps = steps.collect();
        run.period(number, &mut stage, steps, Duration::ZERO).await;
        run.healed(number, &mut stage, &beside.reads).await;
    }
    let took = stage.load.elapsed();
    run.end(plan, stage, beside, &mut chance, took).await
}

/// What is written down while it runs.
struct Run {
    journal: Journal,
    /// How many commands are in the journal.
    written: usize,
    reads: Vec<TokenRead>,
    heals: Vec<Duration>,
    not_back: Vec<Violation>,
    points: BTreeMap<&'static str, usize>,
}

impl Run {
    async fn period(&mut self, number: usize, stage: &mut Stage, steps: Period, length: Duration) {
        let began_at = Instant::now();
        println!(
            "period {number}: {} answered, {} steps",
            stage.load.answered(),
            steps.len()
        );
        for (after, step) in steps {
            tokio::time::sleep_until((began_at + after).into()).await;
            let at = stage.load.elapsed();
            let hits = stage.hits.len();
            stage.step(step).await;
            let came = stage.hits.get(hits..).unwrap_or_default();
            println!("  {at:.1?} {step:?}: {}", said(came));
            self.journal.event(&json!({
                "fault": format!("{step:?}"), "at": at, "until": stage.load.elapsed(), "came": said(came),
            }));
            if let (Step::Hit(Blow::KillAt(_, point, _)), [_]) = (step, came) {
                *self.points.entry(point).or_default() += 1;
            }
        }
        tokio::time::sleep_until((began_at + length).into()).await;
    }

    /// Heals, and sees whether it is well: a command in each partition is answered, and the last of it is seen.
    async fn healed(&mut self, number: usize, stage: &mut Stage, reads: &Reads) {
        let began_at = Instant::now();
        stage.heal().await;
        let is_well = tokio::time::timeout(BACK_MAX, is_well(stage)).await;
        match is_well {
            Ok(Ok(())) => self.heals.push(began_at.elapsed()),
            Ok(Err(what)) => self.not_back.push(not_back(number, &what)),
            Err(_) => self.not_back.push(not_back(number, "it was not well in time")),
        }
        self.journal
            .event(&json!({"healed": number, "took": began_at.elapsed(), "well": self.not_back.is_empty()}));
        self.write_down(stage, reads);
    }

    fn write_down(&mut self, stage: &Stage, reads: &Reads) {
        let entries = stage.load.history_from(self.written);
        self.written += entries.len();
        self.journal.commands(&entries);
        let new = reads.take();
        self.journal.reads(&new);
        self.reads.extend(new);
    }

    /// The long final read, and what it shows.
    async fn end(
        mut self,
        plan: &Plan,
        mut stage: Stage,
        beside: Beside,
        chance: &mut Chance,
        took: Duration,
    ) -> Report {
        beside.is_over.store(true, Ordering::SeqCst);
        beside.load.await.expect("the load ends");
        for reader in beside.readers {
            reader.await.expect("a reader ends");
        }
        stage.heal().await;
        for service in Service::ALL {
            stage.system.wait_until_ready(service).await;
        }
        let load = Arc::clone(&stage.load);
        let asked = load.history_from(0).len();
        for _ in 0..ASKED_AGAIN {
            load.ask_again(chance.below(asked)).await;
        }
        self.write_down(&stage, &beside.reads);

        let topics = block_in_place(|| Topics::read_at_last(&stage.system.kafka, &domains()));
        let events = topics
            .iter()
            .find(|topics| topics.aggregate.info().qualified_name() == FOLLOWED)
            .expect("it is installed")
            .event_metas();
        let all = events.len();
        beside
            .told_all
            .send_replace(Some(Box::new(move |told| told.len() >= all)));
        let follower = tokio::time::timeout(BACK_MAX, beside.follower).await;
        let told: Vec<String> = match follower {
            Ok(follower) => ids(&follower.expect("a follower ends")),
            // What it was told until then is not known; that it was not all is.
            Err(_) => Vec::new(),
        };

        let history = load.history();
        let mut violations = self.not_back;
        let broken = check::violations_in(&topics, &stage.system, &history).await;
        // An answer that did not come in time is counted, and is no promise that was broken.
        let is_broken = |violation: &Violation| !matches!(violation, Violation::Unanswered { .. });
        violations.extend(broken.into_iter().filter(is_broken));
        violations.extend(reads::are_never_stale(&self.reads));
        violations.extend(feed::is_the_log(&events, told.iter().map(String::as_str)));
        let is_answered = |entry: &&Entry| !entry.answers.is_empty();
        let report = Report {
            seed: plan.seed,
            took,
            asked: history.len(),
            answered: history.iter().filter(is_answered).count(),
            retries: load.retries(),
            reads: self.reads.len(),
            told: told.len(),
            held: stage.proxy.held(),
            hits: stage.hits,
            conditions: stage.conditions,
            points: self.points,
            heals: self.heals,
            ended: stage.ended,
            violations,
            floors: plan.floors,
        };
        self.journal.event(&json!({"report": report.to_string()}));
        std::fs::write(plan.output.join("report.md"), report.to_string()).expect("a report");
        report
    }
}

impl Beside {
    fn start(stage: &Stage, chance: &mut Chance) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let reads = Arc::new(Reads::default());
        let readers = (0..READERS).map(|_| {
            let (is_over, reads) = (Arc::clone(&is_over), Arc::clone(&reads));
            let (read, load, chance) = (stage.system.read(), Arc::clone(&stage.load), chance.fork());
            tokio::spawn(async move { reads.read_on(&read, &load, chance, &is_over).await })
        });
        let readers = readers.collect();
        let load = tokio::spawn(evenings(
            Arc::clone(&stage.load),
            chance.fork(),
            Arc::clone(&is_over),
        ));
        let (told_all, all) = watch::channel(None);
        let read = stage.system.read();
        let follower = tokio::spawn(async move {
            let mut follower = Follower::new(&format!("/events?aggregate={FOLLOWED}"));
            follower.run(&read, &AtomicUsize::new(0), all).await;
            follower
        });
        Self {
            is_over,
            load,
            readers,
            reads,
            follower,
            told_all,
        }
    }
}

async fn evenings(load: Arc<Load>, mut chance: Chance, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        restaurant::run(&load, EVENING, &mut chance).await;
    }
}

async fn is_well(stage: &mut Stage) -> Result<(), String> {
    let answers = stage.probe().await;
    let Some(answers) = answers.into_iter().collect::<Option<Vec<_>>>() else {
        return Err("a command was not answered".to_owned());
    };
    for answer in &answers {
        let seen = with_token(&stage.system.read(), &stage.load, answer).await;
        if seen.is_none() {
            return Err(format!("{} was not seen in the view", answer.aggregate));
        }
    }
    Ok(())
}

fn not_back(period: usize, what: &str) -> Violation {
    let what = what.to_owned();
    Violation::NotBack { period, what }
}

fn said(came: &[Hit]) -> String {
    let one = |hit: &Hit| {
        format!(
            "in transaction {}, back after {:.1?}",
            hit.in_transaction, hit.back_after
        )
    };
    came.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn ids(follower: &Follower) -> Vec<String> {
    let id = |told: &crate::follower::Told| told.data["event_id"].as_str().unwrap_or("none").to_owned();
    follower.told.iter().map(id).collect()
}
