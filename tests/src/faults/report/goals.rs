//! What is asked of a run, figure by figure, and what it has come to.

use std::fmt;
use std::time::Duration;

use super::{Hit, Report, Times};
use crate::check::Violation;
use crate::faults::schedule::{Blow, Target};
use crate::system::Service;

/// Of what share of the commands the answer must have come, in per cent.
const ANSWERED_MIN: usize = 95;
/// How soon every partition is to answer again after a kill, if what was killed is started again.
const BACK_MAX: Duration = Duration::from_secs(5);
/// The same, if a standby takes over.
const STANDBY_MAX: Duration = Duration::from_secs(10);
/// The same, if other brokers take over: it takes 3 s until the controller gives one up, and the controller may be what is
/// gone.
const OTHERS_MAX: Duration = Duration::from_secs(10);

/// A figure.
pub(super) struct Goal {
    pub(super) what: String,
    pub(super) asked: String,
    pub(super) found: String,
    pub(super) reached: Reached,
}

/// Whether it is what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Yes,
    /// And without it the run means nothing.
    TooLittle,
    /// It is said, and the run counts.
    No,
    /// Nobody has looked, or there was nothing to look at.
    NotSeen,
}

impl fmt::Display for Reached {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Yes => "yes",
            Self::TooLittle => "NO: too little for a result",
            Self::No => "NO",
            Self::NotSeen => "not seen",
        })
    }
}

impl Report {
    /// Every figure: first those without which it is no result, then what was broken, then how soon all was well again.
    pub(super) fn goals(&self) -> Vec<Goal> {
        let mut goals = self.floors();
        goals.extend(self.promises());
        goals.extend(self.recoveries());
        goals
    }

    /// What must have happened for the run to mean anything.
    pub(super) fn floors(&self) -> Vec<Goal> {
        let floors = self.floors;
        let at_least = |what: &str, found: usize, least: usize| Goal {
            what: what.to_owned(),
            asked: format!("at least {least}"),
            found: found.to_string(),
            reached: if found < least {
                Reached::TooLittle
            } else {
                Reached::Yes
            },
        };
        let (open, _) = self.open_transactions();
        let (rarest, visits) = self.rarest_point();
        let per_cent = self.answered * 100 / self.asked.max(1);
        vec![
            at_least("commands were answered", self.answered, floors.answered),
            at_least("% of the commands were answered", per_cent, ANSWERED_MIN),
            at_least("faults", self.faults(), floors.faults),
            at_least("blows hit an open transaction", open, floors.open),
            at_least(
                &format!("kills at the rarest point ({rarest})"),
                visits,
                floors.each_point,
            ),
            at_least("late commits were answered", self.held.answered(), floors.held),
            Goal {
                found: format!("{} (of {} naps)", self.naps.zombies, self.naps.naps),
                ..at_least("zombies", self.naps.zombies, floors.zombies)
            },
        ]
    }

    /// What was broken, by its kind.
    fn promises(&self) -> Vec<Goal> {
        let of = |kind: Kind| {
            let count = self.violations.iter().filter(|one| kind_of(one) == kind).count();
            Goal {
                what: kind.name().to_owned(),
                asked: "0".to_owned(),
                found: count.to_string(),
                reached: match (count, self.is_over) {
                    (0, true) => Reached::Yes,
                    (0, false) => Reached::NotSeen,
                    _ => Reached::No,
                },
            }
        };
        let mut goals: Vec<Goal> = Kind::ALL.map(of).into();
        goals.push(Goal {
            what: "late commits that ended another transaction".to_owned(),
            asked: "0".to_owned(),
            found: self.held.taken.to_string(),
            reached: if self.held.taken == 0 {
                Reached::Yes
            } else {
                Reached::No
            },
        });
        goals
    }

    /// How soon all was well again.
    fn recoveries(&self) -> Vec<Goal> {
        let after = |what: &str, at_most: Duration, is_it: fn(Blow) -> bool| {
            let hits = self.hits.iter().filter(|hit| is_it(hit.blow));
            let times = Times::of(hits.filter_map(|hit: &Hit| hit.back_after));
            let late = times.over(at_most);
            let (found, reached) = match (times.0.len(), late) {
                (0, _) => (String::new(), Reached::NotSeen),
                (all, 0) => (format!("{times} ({all})"), Reached::Yes),
                (all, late) => (format!("{times} ({late} of {all} later)"), Reached::No),
            };
            Goal {
                what: format!("back after {what}"),
                asked: format!("at most {at_most:?}"),
                found,
                reached,
            }
        };
        let mut recoveries = vec![
            after("a kill of the command handler", BACK_MAX, kills_the_handler),
            after(
                "a kill of the command handler, by a standby and without a start",
                STANDBY_MAX,
                |blow| blow == Blow::HandOver,
            ),
        ];
        if self.brokers > 1 {
            recoveries.push(after(
                "a kill of a broker, by the others and without a start",
                OTHERS_MAX,
                |blow| matches!(blow, Blow::Kill(Target::Broker) | Blow::KillLeader),
            ));
        }
        recoveries
    }

    /// The named point that has killed least often, and how often.
    pub(in crate::faults) fn rarest_point(&self) -> (&'static str, usize) {
        let rarest = self.points.iter().min_by_key(|(_, hits)| **hits);
        rarest.map_or(("none", 0), |(point, hits)| (*point, *hits))
    }
}

fn kills_the_handler(blow: Blow) -> bool {
    match blow {
        Blow::Kill(target) => target == Target::Service(Service::CommandHandler),
        Blow::KillAt(service, ..) => service == Service::CommandHandler,
        _ => false,
    }
}

/// What kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lost,
    Twice,
    OutOfOrder,
    Torn,
    Other,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Lost, Self::Twice, Self::OutOfOrder, Self::Torn, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Twice => "twice",
            Self::OutOfOrder => "out of order",
            Self::Torn => "torn",
            Self::Other => "other broken promises",
        }
    }
}

fn kind_of(violation: &Violation) -> Kind {
    match violation {
        Violation::OtherResult { .. } | Violation::OtherEvents { .. } => Kind::Lost,
        Violation::Decided { times: 0, .. } | Violation::ResultCount { results: 0, .. } => Kind::Lost,
        Violation::Decided { .. } | Violation::ResultCount { .. } => Kind::Twice,
        Violation::TwoAnswers { .. } | Violation::OtherRepetition { .. } => Kind::Twice,
        Violation::Sequence { .. } | Violation::CommandOrder { .. } | Violation::RealTime { .. } => {
            Kind::OutOfOrder
        }
        Violation::Torn { .. } | Violation::NotWhole { .. } => Kind::Torn,
        Violation::Unanswered { .. }
        | Violation::Unexpected { .. }
        | Violation::Partition { .. }
        | Violation::Row { .. }
        | Violation::History { .. }
        | Violation::Stale { .. }
        | Violation::Told { .. }
        | Violation::DeadLetters { .. }
        | Violation::NotBack { .. }
        | Violation::Claim { .. } => Kind::Other,
    }
}
