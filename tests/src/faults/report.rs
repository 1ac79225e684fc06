//! What a run has come to.

mod goals;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use self::goals::Reached;
use super::schedule::Blow;
use super::stage::Naps;
use crate::check::Violation;
use crate::proxy::Held;

/// A blow, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What was done.
    pub blow: Blow,
    /// When, since the load began.
    pub at: Duration,
    /// Whether records of a transaction were at the broker whose end nobody had asked for.
    pub in_transaction: bool,
    /// How many commands were waiting for an answer.
    pub waiting: usize,
    /// Whether the write side felt it.
    pub is_felt: bool,
    /// How long it took until each partition answered a new command, if nothing else was in the way.
    pub back_after: Option<Duration>,
}

/// What a run must have had to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// Answered commands.
    pub answered: usize,
    /// Blows and conditions.
    pub faults: usize,
    /// Blows that hit an open transaction.
    pub open: usize,
    /// Times that each named point killed a process.
    pub each_point: usize,
    /// Late commits that the broker has answered.
    pub held: usize,
    /// Writers that woke in a transaction after their successor had committed.
    pub zombies: usize,
}

/// What a run has come to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed of its schedule.
    pub seed: u64,
    /// Nodes of Kafka.
    pub brokers: usize,
    /// How long the load and the faults lasted.
    pub took: Duration,
    /// Commands that were sent.
    pub asked: usize,
    /// Those that were answered.
    pub answered: usize,
    /// How often a command was sent once more because there was no answer.
    pub retries: usize,
    /// Reads with a token.
    pub reads: usize,
    /// Events that a follower was told.
    pub told: usize,
    /// Commits that came late.
    pub held: Held,
    /// Writers that slept while another one took over.
    pub naps: Naps,
    /// The blows.
    pub hits: Vec<Hit>,
    /// How often each condition was there.
    pub conditions: BTreeMap<String, usize>,
    /// How often each named point killed a process.
    pub points: BTreeMap<&'static str, usize>,
    /// How long it took, after each period, until a command was answered and seen.
    pub heals: Vec<Duration>,
    /// Processes that ended by themselves, with their last words.
    pub ended: Vec<String>,
    /// What was not kept.
    pub violations: Vec<Violation>,
    /// What it must have had.
    pub floors: Floors,
    /// Whether it came to its end, and everything was read and judged.
    pub is_over: bool,
}

/// What a report says in one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was kept, and enough had happened.
    Kept,
    /// Something was not kept.
    Broken,
    /// Nothing was seen to break, and too little had happened for that to mean anything.
    NoResult(String),
}

impl Report {
    /// What it says in one word.
    pub fn verdict(&self) -> Verdict {
        if !self.violations.is_empty() {
            return Verdict::Broken;
        }
        let floors = self.floors();
        let too_little = floors.iter().find(|goal| goal.reached == Reached::TooLittle);
        match too_little {
            _ if !self.is_over => Verdict::NoResult("it did not come to its end".to_owned()),
            Some(goal) => {
                Verdict::NoResult(format!("{} {}, asked for: {}", goal.found, goal.what, goal.asked))
            }
            None => Verdict::Kept,
        }
    }

    /// Blows and conditions.
    pub fn faults(&self) -> usize {
        self.hits.len() + self.conditions.values().sum::<usize>()
    }

    /// How many blows hit an open transaction, and how many the write side felt at all.
    fn open_transactions(&self) -> (usize, usize) {
        let felt = self.hits.iter().filter(|hit| hit.is_felt);
        let open = felt.clone().filter(|hit| hit.in_transaction);
        (open.count(), felt.count())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, felt) = self.open_transactions();
        writeln!(
            to,
            "seed {}, {} broker(s): {:?}, after {:.0?}\n",
            self.seed,
            self.brokers,
            self.verdict(),
            self.took
        )?;
        writeln!(to, "| | asked for | found | reached |")?;
        writeln!(to, "|---|---|---|---|")?;
        for goal in self.goals() {
            writeln!(
                to,
                "| {} | {} | {} | {} |",
                goal.what, goal.asked, goal.found, goal.reached
            )?;
        }
        writeln!(
            to,
            "\n- commands: {} asked, {} answered, {} sent again",
            self.asked, self.answered, self.retries
        )?;
        writeln!(
            to,
            "- reads with a token: {}; events told to a follower: {}",
            self.reads, self.told
        )?;
        writeln!(
            to,
            "- faults: {}; {open} of {felt} blows to the write side hit an open transaction",
            self.faults()
        )?;
        writeln!(to, "- late commits: {:?}", self.held)?;
        writeln!(
            to,
            "- after a period, answered and seen: {}",
            Times::of(self.heals.iter().copied())
        )?;
        writeln!(to, "- processes that ended by themselves: {}", self.ended.len())?;
        self.ended
            .iter()
            .try_for_each(|ended| writeln!(to, "  - {ended}"))?;
        writeln!(to, "- broken promises: {}\n", self.violations.len())?;
        for violation in self.violations.iter().take(20) {
            writeln!(to, "  - {violation}")?;
        }
        writeln!(
            to,
            "| fault | times | in an open transaction | every partition answers again after |"
        )?;
        writeln!(to, "|---|---|---|---|")?;
        let mut kinds: BTreeMap<String, Vec<&Hit>> = BTreeMap::new();
        for hit in &self.hits {
            kinds.entry(hit.blow.to_string()).or_default().push(hit);
        }
        for (kind, hits) in kinds {
            let open = hits.iter().filter(|hit| hit.in_transaction).count();
            let back = Times::of(hits.iter().filter_map(|hit| hit.back_after));
            writeln!(to, "| {kind} | {} | {open} | {back} |", hits.len())?;
        }
        for (condition, times) in &self.conditions {
            writeln!(to, "| {condition} | {times} | | |")?;
        }
        Ok(())
    }
}

/// Some times, as their median, their 95th percentile and their greatest.
struct Times(Vec<Duration>);

impl Times {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        Self(times)
    }

    /// How many took longer.
    fn over(&self, at_most: Duration) -> usize {
        self.0.iter().filter(|took| **took > at_most).count()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The smallest that so many per cent do not exceed.
        let part = |per_cent: usize| {
            self.0
                .get((self.0.len() * per_cent).div_ceil(100).saturating_sub(1))
        };
        match (part(50), part(95), self.0.last()) {
            (Some(median), Some(most), Some(max)) => {
                write!(to, "median {median:.1?}, 95 % {most:.1?}, at most {max:.1?}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use uuid::Uuid;

    use super::{Floors, Hit, Report, Times, Verdict};
    use crate::check::Violation;
    use crate::faults::schedule::{Blow, Target};
    use crate::faults::stage::Naps;
    use crate::proxy::Held;
    use crate::system::Service;

    fn report() -> Report {
        let hit = |in_transaction| Hit {
            blow: Blow::Kill(Target::Service(Service::CommandHandler)),
            at: Duration::ZERO,
            in_transaction,
            waiting: 1,
            is_felt: true,
            back_after: Some(Duration::from_secs(1)),
        };
        Report {
            seed: 1,
            brokers: 1,
            took: Duration::from_secs(60),
            asked: 1000,
            answered: 990,
            retries: 0,
            reads: 10,
            told: 10,
            held: Held {
                held: 4,
                refused: 2,
                taken: 0,
                lost: 1,
            },
            naps: Naps { naps: 4, zombies: 3 },
            hits: vec![hit(true), hit(false)],
            conditions: BTreeMap::new(),
            points: BTreeMap::from([("taken", 2), ("decided", 3)]),
            heals: Vec::new(),
            ended: Vec::new(),
            violations: Vec::new(),
            floors: Floors {
                answered: 500,
                faults: 2,
                open: 1,
                each_point: 2,
                held: 2,
                zombies: 3,
            },
            is_over: true,
        }
    }

    #[test]
    fn a_run_in_which_too_little_happened_is_no_result() {
        assert_eq!(report().verdict(), Verdict::Kept);
        let too_little: [fn(&mut Report); 8] = [
            |report| report.floors.answered = 991,
            |report| report.asked = 2000,
            |report| report.hits.truncate(1),
            |report| {
                report.points.insert("begun", 1);
            },
            |report| report.hits.iter_mut().for_each(|hit| hit.in_transaction = false),
            // Neither one that is still on its way counts, nor one whose connection was gone.
            |report| report.held.refused = 1,
            // A nap between two transactions is not one of a zombie.
            |report| report.naps.zombies = 2,
            |report| report.is_over = false,
        ];
        for take in too_little {
            let mut report = report();
            take(&mut report);
            assert!(matches!(report.verdict(), Verdict::NoResult(_)), "{report}");
        }
    }

    #[test]
    fn a_broken_promise_is_one_however_little_happened() {
        let mut report = report();
        report.answered = 0;
        report.violations.push(Violation::Unanswered { key: Uuid::nil() });
        assert_eq!(report.verdict(), Verdict::Broken);
    }

    #[test]
    fn what_takes_longer_than_asked_for_is_said_and_is_no_failure() {
        let mut slow = report();
        slow.hits[0].back_after = Some(Duration::from_secs(6));
        assert_eq!(slow.verdict(), Verdict::Kept);
        let line = |report: &Report, what: &str| {
            let text = report.to_string();
            let line = text.lines().find(|line| line.contains(what));
            line.expect("each figure has a line").to_owned()
        };
        let kill = "back after a kill of the command handler |";
        assert!(line(&slow, kill).ends_with("(1 of 2 later) | NO |"), "{slow}");
        assert!(line(&report(), kill).ends_with("(2) | yes |"));
        let kill_of_a_broker = "kill of a broker";
        assert!(!slow.to_string().contains(kill_of_a_broker), "{slow}");
        slow.brokers = 3;
        assert!(line(&slow, kill_of_a_broker).ends_with("|  | not seen |"));
        assert!(line(&slow, "| lost").ends_with("| 0 | 0 | yes |"));
        slow.is_over = false;
        assert!(line(&slow, "| lost").ends_with("| 0 | 0 | not seen |"));
    }

    #[test]
    fn a_late_commit_that_was_taken_is_torn_and_breaks_the_run() {
        let mut torn = report();
        torn.violations.push(Violation::Torn { taken: 1 });
        assert_eq!(torn.verdict(), Verdict::Broken);
        assert!(torn.to_string().contains("| torn | 0 | 1 | NO |"), "{torn}");
    }

    #[test]
    fn of_times_the_95th_percentile_is_that_of_the_slowest_twentieth() {
        let times = Times::of((1..=40).rev().map(Duration::from_secs));
        assert_eq!(times.to_string(), "median 20.0s, 95 % 38.0s, at most 40.0s");
        assert_eq!(times.over(Duration::from_secs(38)), 2);
        assert_eq!(
            Times::of([Duration::from_secs(3)].into_iter()).to_string(),
            "median 3.0s, 95 % 3.0s, at most 3.0s"
        );
    }
}
