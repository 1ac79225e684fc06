//! What has changed its meaning, in groups: one changed line of code shows in a thousand aggregates.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// Groups that are kept, at most: more tell nobody anything.
const GROUPS_MAX: usize = 1000;

/// What a check has found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// By key, what changed.
    pub groups: BTreeMap<String, Group>,
    /// Findings of further groups, which are only counted.
    pub beyond: u64,
    #[serde(skip)]
    examples_max: usize,
}

/// Findings of one kind about one thing.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Group {
    /// How many there are.
    pub count: u64,
    /// Whether it was expected.
    pub accepted: bool,
    /// The first ones.
    pub examples: Vec<Example>,
}

/// One finding.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Example {
    /// Which aggregate, row or record.
    pub what: String,
    /// At which event or command.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// As the recorded version, or the log, has it; `None` if it is not there or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// As this program has it; `None` if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Findings {
    pub(crate) fn new(examples_max: usize) -> Self {
        Self {
            examples_max,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, key: String, example: impl FnOnce() -> Example) {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            self.beyond += 1;
            return;
        }
        let examples_max = self.examples_max;
        let group = self.groups.entry(key).or_default();
        group.count += 1;
        if group.examples.len() < examples_max {
            group.examples.push(example());
        }
    }

    /// How many there are of a kind about one thing.
    pub(crate) fn of(&self, kind: &str, name: &str) -> u64 {
        let begins = format!("{kind}{name} ");
        let groups = self.groups.iter().filter(|(key, _)| key.starts_with(&begins));
        groups.map(|(_, group)| group.count).sum()
    }

    /// Marks what was expected: the keys that are listed.
    pub(crate) fn accept(&mut self, expected: &BTreeSet<String>) {
        for (key, group) in &mut self.groups {
            group.accepted = expected.contains(key);
        }
    }

    /// How many findings were not expected.
    pub fn unexpected(&self) -> u64 {
        let unexpected = self.groups.values().filter(|group| !group.accepted);
        unexpected.map(|group| group.count).sum::<u64>() + self.beyond
    }

    /// Whether all findings, if there are any, were expected.
    pub fn is_clean(&self) -> bool {
        self.unexpected() == 0
    }
}

/// Reads a list of expected findings: a key on each line; what follows a `#` is for people.
pub fn read_expected(text: &str) -> BTreeSet<String> {
    let keys = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    keys.filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Example, Findings, read_expected};

    #[test]
    fn findings_are_counted_beyond_the_examples_and_only_those_that_are_listed_are_accepted() {
        let mut findings = Findings::new(2);
        for _ in 0..5 {
            findings.add("state a.b /x".to_owned(), Example::default);
        }
        findings.add("row b /y".to_owned(), Example::default);
        let group = &findings.groups["state a.b /x"];
        assert_eq!((group.count, group.examples.len()), (5, 2));
        assert_eq!(findings.unexpected(), 6);

        findings.accept(&read_expected(
            "# intended\nstate a.b /x # since r2\n\nrow other /y\n",
        ));
        assert_eq!(findings.unexpected(), 1);
        findings.accept(&read_expected("state a.b /x\nrow b /y"));
        assert!(findings.is_clean());
    }

    #[test]
    fn the_number_of_groups_is_bounded_and_nothing_beyond_is_forgotten() {
        let mut findings = Findings::new(1);
        for n in 0..1010 {
            findings.add(format!("state a.b /{n}"), Example::default);
        }
        assert_eq!(findings.groups.len(), 1000);
        assert_eq!(findings.unexpected(), 1010);
    }
}
