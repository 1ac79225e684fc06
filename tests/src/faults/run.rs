use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::journal::Journal;
use super::readers::{Reads, with_token};
use super::report::{Floors, Hit, Report};
use super::schedule::{Blow, Condition, Period, Schedule, Step, Successor, every_point};
use super::stage::Stage;
use crate::chance::Chance;
use crate::check::reads::TokenRead;
use crate::check::{self, Topics, Violation, feed, reads};
use crate::domains;
use crate::follower::{Done, Follower};
use crate::load::{Load, restaurant};
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
/// A static member that was killed keeps its partitions for 6 s, and views that were lost are built anew.
const BACK_MAX: Duration = Duration::from_secs(120);
/// How many commands of the past are sent once more in the end.
const ASKED_AGAIN: usize = 200;

/// Of so many commits one is held back, where as many as can be are to come late: the next one is of the other producer.
const HELD_ONE_IN: usize = 2;
/// Blows of one period, where nothing else is done.
const AT_ONCE: usize = 4;

/// How long, how hard, and what is asked of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names its folders.
    pub name: String,
    /// `foldline-under-test`.
    pub program: String,
    /// Of its schedule.
    pub seed: u64,
    /// Nodes of Kafka.
    pub brokers: usize,
    /// A period.
    pub period: Duration,
    /// So long periods are drawn, and then what must have happened is brought about.
    pub length: Duration,
    /// By then no period is begun any more, whatever is missing.
    pub at_most: Duration,
    /// What it must have had to count.
    pub floors: Floors,
    /// Where the history and the report go.
    pub output: PathBuf,
}

/// What goes on beside the faults.
struct Beside {
    is_over: Arc<AtomicBool>,
    load: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    reads: Arc<Reads>,
    follower: Option<JoinHandle<Follower>>,
    told_all: watch::Sender<Option<Done>>,
}

/// Runs it until its end, or until somebody interrupts it, and says what it has come to. History and report are in its
/// folder; a report is there after each period.
pub async fn run(plan: &Plan, interrupted: impl Future<Output = ()>) -> Report {
    std::fs::create_dir_all(&plan.output).expect("a folder for the history");
    let mut run = Run::begin(plan).await;
    let is_interrupted = tokio::select! {
        () = run.until_all_is_seen() => false,
        () = interrupted => true,
    };
    if is_interrupted {
        run.journal
            .event(&json!({"interrupted": run.stage.load.elapsed()}));
    }
    run.report()
}

/// A run, and what is written down while it goes on.
struct Run<'a> {
    plan: &'a Plan,
    schedule: Schedule,
    stage: Stage,
    beside: Beside,
    chance: Chance,
    journal: Journal,
    /// Periods so far.
    number: usize,
    /// How many commands are in the journal.
    written: usize,
    reads: Vec<TokenRead>,
    /// Events that the follower was told.
    told: usize,
    heals: Vec<Duration>,
    not_back: Vec<Violation>,
    points: BTreeMap<&'static str, usize>,
    /// When the last period ended.
    took: Duration,
    /// What the final read has shown, once it has.
    broken: Option<Vec<Violation>>,
}

impl<'a> Run<'a> {
    async fn begin(plan: &'a Plan) -> Self {
        let mut journal = Journal::create(&plan.output.join("history.jsonl"));
        journal.event(&json!({"seed": plan.seed, "brokers": plan.brokers, "period": plan.period, "length": plan.length}));
        let mut chance = Chance::new(plan.seed);
        let schedule = Schedule::new(chance.fork(), plan.period, plan.brokers);
        let mut stage = Stage::set(&plan.name, &plan.program, plan.brokers, &mut chance).await;
        let beside = Beside::start(&stage, &mut chance);
        // The standby was there for a moment, and is a member until the group has given it up: what is waited for until
        // then is not the first fault's doing.
        stage.probe().await;
        Self {
            plan,
            schedule,
            stage,
            beside,
            chance,
            journal,
            number: 0,
            written: 0,
            reads: Vec::new(),
            told: 0,
            heals: Vec::new(),
            not_back: Vec::new(),
            points: every_point().into_iter().map(|(_, point)| (point, 0)).collect(),
            took: Duration::ZERO,
            broken: None,
        }
    }

    async fn until_all_is_seen(&mut self) {
        let floors = self.plan.floors;
        while self.stage.load.elapsed() < self.plan.length {
            self.drawn_period().await;
        }
        while self.is_missing(|run| run.points.values().any(|hits| *hits < floors.each_point)) {
            let steps = self.points_that_are_missing();
            self.period(steps, Duration::ZERO).await;
        }
        while self.is_missing(|run| run.stage.proxy.held().answered() < floors.held) {
            self.period(late_commits(self.plan.period), self.plan.period)
                .await;
        }
        while self.is_missing(|run| run.stage.naps.zombies < floors.zombies) {
            self.period(naps(), Duration::ZERO).await;
        }
        // Now for what comes with time alone. A machine that is not ours alone may need much of it.
        while self.is_missing(|run| {
            run.stage.load.counts().1 < floors.answered || run.stage.faults() < floors.faults
        }) {
            self.drawn_period().await;
        }
        self.judge().await;
    }

    fn is_missing(&self, something: impl Fn(&Self) -> bool) -> bool {
        self.stage.load.elapsed() < self.plan.at_most && something(self)
    }

    async fn drawn_period(&mut self) {
        let steps = self.schedule.draw();
        self.period(steps, self.plan.period).await;
    }

    /// To those of the points that have not killed often enough.
    fn points_that_are_missing(&mut self) -> Period {
        let (points, least) = (&self.points, self.plan.floors.each_point);
        let is_rare = |blow: &Blow| match blow {
            Blow::KillAt(_, point, _) => points[point] < least,
            _ => false,
        };
        let blows = std::iter::repeat_with(|| self.schedule.point()).filter(is_rare);
        all_at_once(blows.take(AT_ONCE))
    }

    async fn period(&mut self, steps: Period, length: Duration) {
        if self.beside.load.is_finished() {
            // Before its end: something was wrong with an answer. Nothing would be hit any more, half a minute each time.
            (&mut self.beside.load).await.expect("the load goes on");
        }
        self.number += 1;
        let began_at = Instant::now();
        println!(
            "period {}, {} steps: {}",
            self.number,
            steps.len(),
            self.progress()
        );
        for (after, step) in steps {
            tokio::time::sleep_until((began_at + after).into()).await;
            self.step(step).await;
        }
        tokio::time::sleep_until((began_at + length).into()).await;
        self.healed().await;
        self.took = self.stage.load.elapsed();
        self.report();
    }

    async fn step(&mut self, step: Step) {
        let at = self.stage.load.elapsed();
        let hits = self.stage.hits.len();
        self.stage.step(step).await;
        let came = self.stage.hits.get(hits..).unwrap_or_default();
        println!("  {at:.1?} {step:?}: {}", said(came));
        self.journal.event(&json!({
            "fault": format!("{step:?}"), "at": at, "until": self.stage.load.elapsed(), "came": said(came),
        }));
        if let (Step::Hit(Blow::KillAt(_, point, _)), [_]) = (step, came) {
            *self.points.entry(point).or_default() += 1;
        }
    }

    /// How far it has come.
    fn progress(&self) -> String {
        let (floors, stage) = (self.plan.floors, &self.stage);
        format!(
            "{:.0?}, {} of {} answered, {} of {} faults, each point {} of {}, {} of {} held, {} of {} zombies",
            stage.load.elapsed(),
            stage.load.counts().1,
            floors.answered,
            stage.faults(),
            floors.faults,
            self.points.values().min().copied().unwrap_or_default(),
            floors.each_point,
            stage.proxy.held().answered(),
            floors.held,
            stage.naps.zombies,
            floors.zombies,
        )
    }

    /// Heals, and sees whether it is well: a command in each partition is answered, and the last of it is seen.
    async fn healed(&mut self) {
        let (began_at, number) = (Instant::now(), self.number);
        self.stage.heal().await;
        let is_well = tokio::time::timeout(BACK_MAX, is_well(&mut self.stage)).await;
        match is_well {
            Ok(Ok(())) => self.heals.push(began_at.elapsed()),
            Ok(Err(what)) => self.not_back.push(not_back(number, &what)),
            Err(_) => self.not_back.push(not_back(number, "it was not well in time")),
        }
        self.journal
            .event(&json!({"healed": number, "took": began_at.elapsed(), "well": self.not_back.is_empty()}));
        self.write_down();
    }

    fn write_down(&mut self) {
        let entries = self.stage.load.history_from(self.written);
        self.written += entries.len();
        self.journal.commands(&entries);
        let new = self.beside.reads.take();
        self.journal.reads(&new);
        self.reads.extend(new);
    }

    /// The long final read, and what it shows.
    async fn judge(&mut self) {
        self.beside.end().await;
        self.stage.heal().await;
        for service in Service::ALL {
            self.stage.system.wait_until_ready(service).await;
        }
        let load = Arc::clone(&self.stage.load);
        let (asked, _) = load.counts();
        for _ in 0..ASKED_AGAIN {
            load.ask_again(self.chance.below(asked)).await;
        }
        self.write_down();

        let kafka = self.stage.system.kafka.clone();
        // On a thread that may block: whoever waits for us can be interrupted meanwhile.
        let topics = spawn_blocking(move || Topics::read_at_last(&kafka, &domains()));
        let topics = topics.await.expect("the topics can be read");
        let events = topics
            .iter()
            .find(|topics| topics.aggregate.info().qualified_name() == FOLLOWED)
            .expect("it is installed")
            .event_metas();
        let told = self.beside.told(events.len()).await;
        self.told = told.len();

        let broken = check::violations_in(&topics, &self.stage.system, &load.history()).await;
        // An answer that did not come in time is counted, and is no promise that was broken.
        let is_broken = |violation: &Violation| !matches!(violation, Violation::Unanswered { .. });
        let mut broken: Vec<Violation> = broken.into_iter().filter(is_broken).collect();
        broken.extend(feed::is_the_log(&events, told.iter().map(String::as_str)));
        self.broken = Some(broken);
    }

    /// What it has come to so far, which is written down.
    fn report(&mut self) -> Report {
        let (load, held) = (&self.stage.load, self.stage.proxy.held());
        let (asked, answered) = load.counts();
        let mut violations = self.not_back.clone();
        violations.extend(self.broken.iter().flatten().cloned());
        violations.extend(reads::are_never_stale(&self.reads));
        violations.extend((held.taken > 0).then_some(Violation::Torn { taken: held.taken }));
        let report = Report {
            seed: self.plan.seed,
            brokers: self.plan.brokers,
            took: self.took,
            asked,
            answered,
            retries: load.retries(),
            reads: self.reads.len(),
            told: self.told,
            held,
            naps: self.stage.naps,
            hits: self.stage.hits.clone(),
            conditions: self.stage.conditions.clone(),
            points: self.points.clone(),
            heals: self.heals.clone(),
            ended: self.stage.ended.clone(),
            violations,
            floors: self.plan.floors,
            is_over: self.broken.is_some(),
        };
        std::fs::write(self.plan.output.join("report.md"), report.to_string()).expect("a report");
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
            follower: Some(follower),
            told_all,
        }
    }

    /// Lets the load and the readers come to their end.
    async fn end(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        (&mut self.load).await.expect("the load ends");
        for reader in &mut self.readers {
            reader.await.expect("a reader ends");
        }
    }

    /// The ids that the follower was told, once it was told so many.
    async fn told(&mut self, all: usize) -> Vec<String> {
        self.told_all
            .send_replace(Some(Box::new(move |told| told.len() >= all)));
        let Some(follower) = self.follower.take() else {
            return Vec::new();
        };
        match tokio::time::timeout(BACK_MAX, follower).await {
            Ok(follower) => ids(&follower.expect("a follower ends")),
            // What it was told until then is not known; that it was not all is.
            Err(_) => Vec::new(),
        }
    }
}

/// Every second commit comes late, for a whole period.
fn late_commits(period: Duration) -> Period {
    let condition = Condition::LateCommits(HELD_ONE_IN);
    vec![
        (Duration::ZERO, Step::Begin(condition)),
        (period, Step::End(condition)),
    ]
}

/// A start makes two naps of namesakes; another one's has to wait for the group.
fn naps() -> Period {
    let namesakes = std::iter::repeat_n(Blow::Zombie(Successor::Namesake), AT_ONCE - 1);
    all_at_once(namesakes.chain([Blow::Zombie(Successor::Another)]))
}

fn all_at_once(blows: impl Iterator<Item = Blow>) -> Period {
    blows.map(|blow| (Duration::ZERO, Step::Hit(blow))).collect()
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
