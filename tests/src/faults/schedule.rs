//! What goes wrong, and when.

use std::fmt;
use std::time::Duration;

use foldline_kafka::failpoints::{OF_A_TAKE_OVER, OF_THE_PROJECTOR, OF_THE_WORKER};

use crate::chance::Chance;
use crate::system::Service;

/// Of so many periods, one is calm: some states need time to form.
const CALM_ONE_IN: usize = 4;
/// Blows in one period, at most.
const BLOWS_MAX: usize = 4;
/// How late a condition may begin, and how long it lasts: parts of the period.
const LATEST: f64 = 0.3;
const LONGEST: f64 = 0.5;

/// What can be killed or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One of the three services.
    Service(Service),
    /// Kafka: one of its nodes, if there are several.
    Broker,
    /// The schema registry.
    Registry,
}

impl Target {
    const ALL: [Self; 5] = [
        Self::Service(Service::CommandHandler),
        Self::Service(Service::Projector),
        Self::Service(Service::QueryApi),
        Self::Broker,
        Self::Registry,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Service(service) => service.name(),
            Self::Broker => "broker",
            Self::Registry => "registry",
        }
    }
}

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// SIGKILL, and a start.
    Kill(Target),
    /// An orderly stop of the broker, and a start.
    RestartBroker,
    /// SIGKILL of the leader of an event partition, and a start when others serve. Only where there are several brokers.
    KillLeader,
    /// SIGKILL at a named point, when it is reached for this time, and a start.
    KillAt(Service, &'static str, u32),
    /// SIGKILL of the command handler while another one is there, and no start before that one serves.
    HandOver,
    /// The command handler is killed and its store removed.
    LoseState,
    /// The command handler is killed and some bytes of its store are changed.
    DamageState,
    /// Projector and query API are killed and the views removed.
    LoseViews,
    /// SIGSTOP of the command handler in a transaction, and SIGCONT when this one has taken over and committed.
    Zombie(Successor),
}

/// Who takes over while a command handler sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Successor {
    /// One that is started under its name, as a supervisor does that takes it for dead. Later this one sleeps, and the
    /// first one takes over.
    Namesake,
    /// Another one of the group, once that has given up the sleeper.
    Another,
}

/// Something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// SIGSTOP, and SIGCONT at its end.
    Paused(Target),
    /// Each frame between command handler and broker, in either direction, takes so long.
    Slow(Duration),
    /// Connections between command handler and broker break, and none can be made.
    Cut,
    /// The broker gets the command handler's requests, and it gets no answers.
    Deaf,
    /// Of so many commits one arrives in the middle of the next transaction (KAFKA-17754).
    LateCommits(usize),
    /// A second command handler joins, and leaves at the end: everything is given away twice.
    SecondHandler,
    /// There is no registry.
    NoRegistry,
    /// Records that are no commands lie among the commands.
    Poison,
}

impl fmt::Display for Blow {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(to, "kill {}", target.name()),
            Self::RestartBroker => to.write_str("restart broker"),
            Self::KillLeader => to.write_str("kill leader of an event partition"),
            Self::KillAt(_, point, _) => write!(to, "kill at {point}"),
            Self::HandOver => to.write_str("kill command-handler, standby serves"),
            Self::LoseState => to.write_str("lose state store"),
            Self::DamageState => to.write_str("damage state store"),
            Self::LoseViews => to.write_str("lose views"),
            Self::Zombie(Successor::Namesake) => to.write_str("sleep while a namesake takes over"),
            Self::Zombie(Successor::Another) => to.write_str("sleep while a standby takes over"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused(target) => write!(to, "pause {}", target.name()),
            Self::Slow(_) => to.write_str("slow line"),
            Self::Cut => to.write_str("cut line"),
            Self::Deaf => to.write_str("deaf line"),
            Self::LateCommits(_) => to.write_str("late commits"),
            Self::SecondHandler => to.write_str("second command-handler comes and goes"),
            Self::NoRegistry => to.write_str("registry away"),
            Self::Poison => to.write_str("poison records"),
        }
    }
}

/// One thing to do in a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// It happens.
    Hit(Blow),
    /// It begins.
    Begin(Condition),
    /// It ends.
    End(Condition),
}

/// What to do, and how long after the beginning of the period.
pub type Period = Vec<(Duration, Step)>;

/// Draws periods.
pub struct Schedule {
    chance: Chance,
    period: Duration,
    /// How many nodes Kafka has.
    brokers: usize,
    /// Every point once before any a second time, in another order each time.
    points: Vec<(Service, &'static str)>,
}

impl Schedule {
    /// Of periods of this length, for so many brokers.
    pub fn new(chance: Chance, period: Duration, brokers: usize) -> Self {
        Self {
            chance,
            period,
            brokers,
            points: Vec::new(),
        }
    }

    /// What goes wrong in the next period: nothing, if it is calm.
    pub fn draw(&mut self) -> Period {
        if self.chance.once_in(CALM_ONE_IN) {
            return Period::new();
        }
        let mut steps = Period::new();
        if !self.chance.once_in(3) {
            let condition = self.condition();
            let from = self.period.mul_f64(LATEST * self.part());
            let until = from + self.period.mul_f64(LONGEST * (0.2 + 0.8 * self.part()));
            steps.push((from, Step::Begin(condition)));
            steps.push((until, Step::End(condition)));
        }
        for _ in 0..1 + self.chance.below(BLOWS_MAX) {
            let at = self.period.mul_f64(0.8 * self.part());
            let blow = self.blow();
            steps.push((at, Step::Hit(blow)));
        }
        steps.sort_by_key(|(at, _)| *at);
        steps
    }

    /// The next point, and at which of its hits.
    pub fn point(&mut self) -> Blow {
        if self.points.is_empty() {
            self.points = every_point();
        }
        let index = self.chance.below(self.points.len());
        let (service, point) = self.points.swap_remove(index);
        // A partition is taken over once or twice after a start; batches come all the time.
        let hits = if OF_A_TAKE_OVER.contains(&point) { 2 } else { 12 };
        let hit = 1 + self.chance.below(hits);
        Blow::KillAt(service, point, u32::try_from(hit).expect("a small number"))
    }

    fn part(&mut self) -> f64 {
        self.chance.below(1000) as f64 / 1000.0
    }

    fn blow(&mut self) -> Blow {
        // The last two are for where there are leaders to choose from.
        let kinds = if self.brokers > 1 { 24 } else { 22 };
        match self.chance.below(kinds) {
            0..10 => self.point(),
            // When the only broker comes back, Kafka can lose the ends of transactions: see docs/faults.md.
            10 | 11 if self.brokers == 1 => Blow::HandOver,
            10 => Blow::Kill(Target::Broker),
            11 => Blow::RestartBroker,
            12 => Blow::LoseState,
            13 => Blow::DamageState,
            14 => Blow::LoseViews,
            15 => Blow::HandOver,
            16 | 17 => Blow::Kill(Target::Service(Service::CommandHandler)),
            18 => Blow::Kill(Target::Service(Service::Projector)),
            19 => Blow::Zombie(Successor::Namesake),
            20 => Blow::Zombie(Successor::Another),
            22 | 23 => Blow::KillLeader,
            _ => Blow::Kill(
                *self
                    .chance
                    .one_of(&[Target::Service(Service::QueryApi), Target::Registry]),
            ),
        }
    }

    fn condition(&mut self) -> Condition {
        match self.chance.below(10) {
            0..3 => Condition::Paused(*self.chance.one_of(&Target::ALL)),
            3 => Condition::Slow(Duration::from_millis(10 + self.chance.any() % 190)),
            4 => Condition::Cut,
            5 => Condition::Deaf,
            6 => Condition::LateCommits(3),
            7 => Condition::SecondHandler,
            8 => Condition::NoRegistry,
            _ => Condition::Poison,
        }
    }
}

/// All named points, with the service that has them.
pub fn every_point() -> Vec<(Service, &'static str)> {
    let of =
        |service: Service, points: &'static [&'static str]| points.iter().map(move |point| (service, *point));
    of(Service::CommandHandler, &OF_THE_WORKER)
        .chain(of(Service::CommandHandler, &OF_A_TAKE_OVER))
        .chain(of(Service::Projector, &OF_THE_PROJECTOR))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{Blow, Schedule, Step, Target, every_point};
    use crate::chance::Chance;

    const PERIOD: Duration = Duration::from_secs(30);

    fn periods(seed: u64, count: usize, brokers: usize) -> Vec<super::Period> {
        let mut schedule = Schedule::new(Chance::new(seed), PERIOD, brokers);
        (0..count).map(|_| schedule.draw()).collect()
    }

    #[test]
    fn a_seed_makes_its_schedule_again_and_everything_has_its_turn() {
        assert_eq!(periods(7, 40, 1), periods(7, 40, 1));
        assert_ne!(periods(7, 40, 1), periods(8, 40, 1));
        let many = periods(7, 400, 1);
        let calm = many.iter().filter(|period| period.is_empty()).count();
        assert!((60..140).contains(&calm), "{calm} of 400 are calm");
        // 4 kills, the points, a hand-over, 2 naps, 3 of the disk; 5 pauses, and 7 other conditions.
        let kinds = 4 + every_point().len() + 1 + 2 + 3 + 5 + 7;
        let of_one = names(&many);
        assert_eq!(of_one.len(), kinds, "{of_one:?}");
        // An only broker is left alone: its death can cost a transaction its end.
        let only_of_several = [Blow::Kill(Target::Broker), Blow::RestartBroker, Blow::KillLeader];
        let of_three = names(&periods(7, 400, 3));
        let more: BTreeSet<String> = of_three.difference(&of_one).cloned().collect();
        assert_eq!(more, only_of_several.iter().map(Blow::to_string).collect());
    }

    fn names(periods: &[super::Period]) -> BTreeSet<String> {
        let name = |(_, step): &(Duration, Step)| match step {
            Step::Hit(blow) => blow.to_string(),
            Step::Begin(condition) | Step::End(condition) => condition.to_string(),
        };
        periods.iter().flatten().map(name).collect()
    }

    #[test]
    fn what_begins_ends_within_its_period() {
        for period in periods(11, 200, 3) {
            let of = |wanted: fn(&Step) -> bool| period.iter().filter(|(_, step)| wanted(step)).count();
            assert_eq!(
                of(|step| matches!(step, Step::Begin(_))),
                of(|step| matches!(step, Step::End(_)))
            );
            assert!(period.iter().all(|(at, _)| *at < PERIOD));
        }
    }

    #[test]
    fn each_point_comes_before_any_comes_again() {
        let mut schedule = Schedule::new(Chance::new(3), PERIOD, 1);
        let points = every_point().len();
        let drawn: BTreeSet<String> = (0..points).map(|_| schedule.point().to_string()).collect();
        assert_eq!(drawn.len(), points);
        assert!(matches!(schedule.point(), Blow::KillAt(..)));
    }
}
