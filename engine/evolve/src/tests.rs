//! The gate on logs made up by chance, in memory: the fold and the comparison, without Kafka.

mod memory;
mod toy;

use std::io::BufRead;
use std::sync::LazyLock;

use foldline_core::Domains;
use proptest::prelude::*;

use self::memory::MemoryLog;
use self::toy::{Step, domains};
use crate::check::check;
use crate::record::record;
use crate::{CheckOptions, Report};

/// Made once: the schemas of a program live as long as it does.
static BEFORE: LazyLock<Domains> = LazyLock::new(|| domains(1));
static AFTER: LazyLock<Domains> = LazyLock::new(|| domains(2));

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let price = (0..3_u8, 1..9_i64).prop_map(|(price, cents)| Step::Price { price, cents });
    let open = (0..5_u8, 0..3_u8).prop_map(|(order, code)| Step::Open { order, code });
    let add =
        (0..5_u8, 0..4_u8, 0..3_usize, any::<bool>()).prop_map(|(order, price, behind, expects)| Step::Add {
            order,
            price,
            behind,
            expects,
        });
    proptest::collection::vec(prop_oneof![price, open, add], 0..60)
}

fn recorded(log: &mut MemoryLog, domains: &Domains) -> Vec<u8> {
    let mut recording = Vec::new();
    record(log, domains, &mut recording, &mut |_, _| {}).unwrap();
    recording
}

fn checked(log: &mut MemoryLog, domains: &Domains, mut recording: Option<&[u8]>) -> Report {
    let options = CheckOptions {
        examples: 3,
        expected: Default::default(),
    };
    let against = recording.as_mut().map(|bytes| bytes as &mut dyn BufRead);
    check(log, domains, against, &options, &mut |_, _| {}).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Decisions of the made-up log see copies of other aggregates that are behind. So a decision, taken once more, may
    /// well come out otherwise than the log says; but by the same code it does so each time.
    #[test]
    fn the_same_code_finds_nothing(steps in steps()) {
        let mut log = MemoryLog::written(&BEFORE, &steps);
        let recording = recorded(&mut log, &BEFORE);
        let report = checked(&mut log, &BEFORE, Some(&recording));
        prop_assert!(report.findings.is_clean(), "{report}");
        prop_assert_eq!(report.counts.events, log.events());
        prop_assert_eq!(report.counts.gone + report.counts.not_rerun, 0);
        prop_assert_eq!(report.counts.commands, log.commands());
    }

    /// Where no copy was behind, every command comes out as logged, on the other aggregates as they were at the time:
    /// nothing stands out in the recording.
    #[test]
    fn a_command_is_decided_on_what_was_there_at_the_time(steps in steps()) {
        let up_to_date = |step| match step {
            Step::Add { order, price, expects, .. } => Step::Add { order, price, behind: 0, expects },
            step => step,
        };
        let steps: Vec<Step> = steps.into_iter().map(up_to_date).collect();
        let mut log = MemoryLog::written(&BEFORE, &steps);
        let recording = String::from_utf8(recorded(&mut log, &BEFORE)).unwrap();
        prop_assert!(!recording.contains("{\"command\":"), "{recording}");
    }

    /// A log that was written by this code agrees with it, as far as it can be looked up.
    #[test]
    fn without_a_recording_the_same_code_agrees_with_the_log(steps in steps()) {
        let mut log = MemoryLog::written(&BEFORE, &steps);
        let report = checked(&mut log, &BEFORE, None);
        prop_assert!(report.findings.is_clean(), "{report}");
    }

    /// A fold that differs is found if and only if the log holds an event that it folds otherwise.
    #[test]
    fn a_changed_fold_is_found_wherever_it_shows(steps in steps()) {
        let mut log = MemoryLog::written(&BEFORE, &steps);
        let recording = recorded(&mut log, &BEFORE);
        let report = checked(&mut log, &AFTER, Some(&recording));
        prop_assert_eq!(!report.findings.is_clean(), log.has_event("Added"), "{}", report);
        prop_assert_eq!(report.advice.is_empty(), report.findings.is_clean());
    }
}

#[test]
fn commands_whose_records_are_gone_are_counted_and_not_judged() {
    let steps = [
        Step::Price { price: 0, cents: 5 },
        Step::Price { price: 0, cents: 6 },
    ];
    let mut log = MemoryLog::written(&BEFORE, &steps);
    log.forget_commands();
    let report = checked(&mut log, &BEFORE, None);
    assert!(report.findings.is_clean(), "{report}");
    assert_eq!((report.counts.gone, report.counts.commands), (2, 0));
}
