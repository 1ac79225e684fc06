//! Processes that are killed at any moment: what was promised to clients is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_tests::chance::Chance;
use foldline_tests::check;
use foldline_tests::load::{Entry, Load, restaurant};
use foldline_tests::system::{Service, System};

use crate::PROGRAM;

const EVENING: restaurant::Size = restaurant::Size {
    clients: 32,
    menu: 20,
    customers: 200,
    orders: 1_450,
};
const COMMANDS_MIN: usize = 10_000;
/// Moments at which each of the two is killed; now and then a second time before it is up again.
const MOMENTS: usize = 8;
const KILLS_MIN: usize = 5;

/// The services to kill, and when: at so many answered commands.
type Moments = BTreeMap<usize, Service>;

fn moments(chance: &mut Chance) -> Moments {
    let mut moments = Moments::new();
    // The last moment is one at which enough is left to be answered.
    let between = COMMANDS_MIN / 100..COMMANDS_MIN * 95 / 100;
    for service in [Service::CommandHandler, Service::Projector] {
        let mut left = MOMENTS;
        while left > 0 {
            let moment = between.start + chance.below(between.len());
            // Each moment once.
            if let std::collections::btree_map::Entry::Vacant(free) = moments.entry(moment) {
                free.insert(service);
                left -= 1;
            }
        }
    }
    moments
}

/// Kills that happened while the clients were waiting for answers.
#[derive(Debug, Default)]
struct Kills {
    command_handler: usize,
    projector: usize,
}

impl Kills {
    async fn kill(&mut self, system: &mut System, service: Service, load: &Load) {
        let hits = load.waiting() > 0;
        system.kill(service).await;
        system.launch(service);
        match service {
            Service::CommandHandler => self.command_handler += usize::from(hits),
            Service::Projector => self.projector += usize::from(hits),
            Service::QueryApi => {}
        }
    }
}

/// Kills and starts again, until the load has ended.
async fn reap(
    system: &mut System,
    load: &Load,
    mut moments: Moments,
    has_ended: &AtomicBool,
    chance: &mut Chance,
) -> Kills {
    let mut kills = Kills::default();
    while !has_ended.load(Ordering::SeqCst) {
        let due = moments
            .first_key_value()
            .is_some_and(|(moment, _)| *moment <= load.answered());
        if !due {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let Some((_, service)) = moments.pop_first() else {
            continue;
        };
        kills.kill(system, service, load).await;
        if chance.once_in(3) {
            // Perhaps before it has opened its port, perhaps while it catches up.
            tokio::time::sleep(Duration::from_millis(chance.any() % 2000)).await;
            kills.kill(system, service, load).await;
        }
    }
    kills
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_stands_once_and_whole_whoever_is_killed() {
    let mut chance = Chance::of_this_run("kills");
    let mut system = System::start("kills", PROGRAM).await;
    let load = Arc::new(Load::new(system.write()));
    let has_ended = AtomicBool::new(false);
    let (moments, mut evening, mut reaper) = (moments(&mut chance), chance.fork(), chance.fork());

    let started_at = Instant::now();
    let run = async {
        restaurant::run(&load, EVENING, &mut evening).await;
        has_ended.store(true, Ordering::SeqCst);
    };
    let ((), kills) = tokio::join!(run, reap(&mut system, &load, moments, &has_ended, &mut reaper));
    println!(
        "{} commands in {:?}, sent again {} times, {kills:?}",
        load.answered(),
        started_at.elapsed(),
        load.retries()
    );
    for service in Service::ALL {
        system.wait_until_ready(service).await;
    }
    let asked = load.answered();
    for _ in 0..200 {
        load.ask_again(chance.below(asked)).await;
    }

    let history = load.history();
    let is_result = |entry: &&Entry| !entry.answers.is_empty();
    let answered = history.iter().filter(is_result).count();
    assert!(
        answered >= COMMANDS_MIN && answered * 100 >= history.len() * 95,
        "no result: {answered} answered"
    );
    let enough = kills.command_handler >= KILLS_MIN && kills.projector >= KILLS_MIN;
    assert!(enough, "no result: {kills:?}");
    check::all(&system, &history).await;
    println!("done in {:?}", started_at.elapsed());
}
