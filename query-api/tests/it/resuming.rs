//! Whoever goes on behind the last event that it has gets each event once, whatever happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::log::{Filter, Log, number};
use crate::toy::Fixture;

#[derive(Debug, Clone)]
enum Step {
    /// The projector writes so many more.
    Write(usize),
    /// A client comes, takes as many as so many, and is cut off.
    Take(usize),
    /// The query API is another process.
    Restart,
    /// The store is removed, and built anew from so much of the log.
    Rebuild(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..12_usize).prop_map(Step::Write),
        4 => (1..12_usize).prop_map(Step::Take),
        1 => Just(Step::Restart),
        1 => (0..30_usize).prop_map(Step::Rebuild),
    ]
}

/// A client that goes on where it was cut off.
#[derive(Default)]
struct Follower {
    last: Option<String>,
    numbers: Vec<usize>,
}

impl Follower {
    async fn take(&mut self, fixture: &Fixture, uri: &str, count: usize) {
        if count == 0 {
            return;
        }
        let mut stream = fixture.follow(uri, self.last.as_deref()).await;
        for told in stream.events(count).await {
            self.numbers.push(number(&told));
            self.last = Some(told.id);
        }
    }
}

async fn run(log: &Log, filter: Filter, steps: &[Step]) -> Vec<usize> {
    let mut fixture = Fixture::new();
    let mut writer = Some(fixture.writer());
    let mut written = 0;
    let mut follower = Follower::default();
    let uri = filter.uri();
    let end = [Step::Write(log.0.len()), Step::Take(log.0.len())];
    for step in steps.iter().chain(&end) {
        match *step {
            Step::Write(count) => {
                let to = log.0.len().min(written + count);
                log.write(writer.as_deref_mut().unwrap(), written..to);
                written = to;
            }
            Step::Take(count) => {
                let had: BTreeSet<usize> = follower.numbers.iter().copied().collect();
                let wanted = log.wanted(filter, written);
                let there = wanted.iter().filter(|number| !had.contains(number)).count();
                follower.take(&fixture, &uri, count.min(there)).await;
            }
            Step::Restart => fixture = fixture.restarted(),
            Step::Rebuild(to) => {
                drop(writer.take());
                for file in std::fs::read_dir(fixture.folder.path()).unwrap() {
                    std::fs::remove_file(file.unwrap().path()).unwrap();
                }
                writer = Some(fixture.writer());
                written = to.min(log.0.len());
                log.write(writer.as_deref_mut().unwrap(), 0..written);
            }
        }
    }
    follower.numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_feed_has_no_gap_and_no_repeat_however_often_it_is_cut_off(
        draws in prop::collection::vec((any::<bool>(), 0..3, any::<bool>(), 0..3_i64), 1..60),
        (coats_only, ups_only) in any::<(bool, bool)>(),
        steps in prop::collection::vec(step(), 1..14),
    ) {
        let (log, filter) = (Log::new(&draws), Filter { coats_only, ups_only });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let numbers = runtime.block_on(run(&log, filter, &steps));
        let of = |number: usize| (log.0[number].aggregate.as_str(), log.0[number].partition);
        let mut last = BTreeMap::new();
        for &number in &numbers {
            let before = last.insert(of(number), number);
            prop_assert!(before < Some(number), "{number} came after {before:?}");
        }
        let once: BTreeSet<usize> = numbers.iter().copied().collect();
        prop_assert_eq!(once.len(), numbers.len());
        prop_assert_eq!(once.into_iter().collect::<Vec<_>>(), log.wanted(filter, log.0.len()));
    }
}
