//! What a run has come to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::check::Violation;
use crate::proxy::Held;

/// Of what share of the commands the answer must have come, in per cent.
const ANSWERED_MIN: usize = 95;

/// A blow, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What was done.
    pub fault: String,
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
}

/// What a run has come to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed of its schedule.
    pub seed: u64,
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
        let floors = self.floors;
        let too_few = |what: &str, found: usize, least: usize| {
            (found < least).then(|| Verdict::NoResult(format!("{found} {what}, of {least} at least")))
        };
        let rarest = self.points.values().min().copied().unwrap_or_default();
        let (open, _) = self.open_transactions();
        too_few("commands were answered", self.answered, floors.answered)
            .or_else(|| {
                let per_cent = self.answered * 100 / self.asked.max(1);
                too_few("% of the commands were answered", per_cent, ANSWERED_MIN)
            })
            .or_else(|| too_few("faults", self.faults(), floors.faults))
            .or_else(|| too_few("kills at the rarest point", rarest, floors.each_point))
            .or_else(|| too_few("blows hit an open transaction", open, floors.open))
            .unwrap_or(Verdict::Kept)
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
            "seed {}: {:?}, after {:.0?}\n",
            self.seed,
            self.verdict(),
            self.took
        )?;
        writeln!(
            to,
            "- commands: {} asked, {} answered, {} sent again",
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
        let mut kinds: BTreeMap<&str, Vec<&Hit>> = BTreeMap::new();
        for hit in &self.hits {
            kinds.entry(&hit.fault).or_default().push(hit);
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

/// Some times, as their median and their greatest.
struct Times(Vec<Duration>);

impl Times {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        Self(times)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.get(self.0.len() / 2), self.0.last()) {
            (Some(median), Some(max)) => write!(to, "median {median:.1?}, at most {max:.1?}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use uuid::Uuid;

    use super::{Floors, Hit, Report, Verdict};
    use crate::check::Violation;
    use crate::proxy::Held;

    fn report() -> Report {
        let hit = |in_transaction| Hit {
            fault: "kill".to_owned(),
            at: Duration::ZERO,
            in_transaction,
            waiting: 1,
            is_felt: true,
            back_after: Some(Duration::from_secs(1)),
        };
        Report {
            seed: 1,
            took: Duration::from_secs(60),
            asked: 1000,
            answered: 990,
            retries: 0,
            reads: 10,
            told: 10,
            held: Held::default(),
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
            },
        }
    }

    #[test]
    fn a_run_in_which_too_little_happened_is_no_result() {
        assert_eq!(report().verdict(), Verdict::Kept);
        let too_little: [fn(&mut Report); 5] = [
            |report| report.floors.answered = 991,
            |report| report.asked = 2000,
            |report| drop(report.hits.pop()),
            |report| {
                report.points.insert("begun", 1);
            },
            |report| report.hits.iter_mut().for_each(|hit| hit.in_transaction = false),
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
}
