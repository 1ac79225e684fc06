//! Logs as the write side makes them, tampered with in every way that is told apart.

mod log;

use proptest::prelude::*;

use self::log::{Log, Order, script};
use super::FindingKind::{
    Changed, Cut, Misplaced, Missing, Reordered, Repeated, Rewritten, Unasked, Unreadable,
};
use super::{Finding, FindingKind, LogKind};

/// What was found, and where.
fn places(findings: &[Finding]) -> Vec<(FindingKind, LogKind, i64)> {
    let place = |found: &Finding| (found.kind, found.log, found.offset);
    findings.iter().map(place).collect()
}

fn event(kind: FindingKind, offset: i64) -> Vec<(FindingKind, LogKind, i64)> {
    vec![(kind, LogKind::Events, offset)]
}

/// One that has seven events of two aggregates, in four commands.
fn sample() -> Log {
    Log::written(&[(0, 2, true), (1, 1, true), (0, 1, true), (1, 3, true)])
}

proptest! {
    #[test]
    fn an_untouched_log_has_no_finding_however_it_is_read(script in script(), order in Order::any()) {
        prop_assert_eq!(Log::written(&script).verify(order).findings, vec![]);
    }

    #[test]
    fn an_edited_event_is_found_where_it_lies(script in script(), order in Order::any(), at in any::<prop::sample::Index>()) {
        let mut log = Log::chained(&script);
        prop_assume!(!log.events.is_empty());
        let event = at.get_mut(&mut log.events);
        event.value.push(b'!');
        let offset = event.offset;
        prop_assert_eq!(places(&log.verify(order).findings), self::event(Changed, offset));
    }

    #[test]
    fn a_dropped_event_is_found_by_its_sequence(script in script(), order in Order::any(), at in any::<prop::sample::Index>()) {
        let mut log = Log::chained(&script);
        prop_assume!(!log.events.is_empty());
        let event = log.events.remove(at.index(log.events.len()));
        let findings = log.verify(order).findings;
        prop_assert_eq!(findings.len(), 1, "{:?}", findings);
        prop_assert_eq!(findings[0].kind, Missing);
        prop_assert_eq!(findings[0].sequence, Some(event.record.sequence));
        prop_assert_eq!(findings[0].aggregate_id.as_ref(), Some(&event.record.aggregate_id));
    }

    #[test]
    fn a_repeated_event_is_found_where_it_stands_again(
        script in script(), order in Order::any(), at in any::<prop::sample::Index>(), later in any::<prop::sample::Index>(),
    ) {
        let mut log = Log::chained(&script);
        prop_assume!(!log.events.is_empty());
        let at = at.index(log.events.len());
        let later = at + 1 + later.index(log.events.len() - at);
        let again = log.events[at].clone();
        log.events.insert(later, again);
        log.number();
        prop_assert_eq!(places(&log.verify(order).findings), event(Repeated, log.events[later].offset));
    }

    #[test]
    fn two_events_that_changed_places_are_found(script in script(), order in Order::any(), at in any::<prop::sample::Index>()) {
        let mut log = Log::chained(&script);
        prop_assume!(log.events.len() > 1);
        let at = at.index(log.events.len() - 1);
        log.events.swap(at, at + 1);
        log.number();
        prop_assert_eq!(places(&log.verify(order).findings), event(Reordered, log.events[at + 1].offset));
    }

    #[test]
    fn an_aggregate_whose_last_events_are_gone_is_found_by_the_results_that_name_them(
        script in script(), order in Order::any(), at in any::<prop::sample::Index>(), count in 1..4_usize,
    ) {
        let mut log = Log::chained(&script);
        prop_assume!(!log.events.is_empty());
        let id = at.get(&log.events).record.aggregate_id.clone();
        let mut gone = Vec::new();
        for _ in 0..count {
            let Some(last) = log.events.iter().rposition(|event| event.record.aggregate_id == id) else { break };
            gone.push(log.events.remove(last).record.sequence);
        }
        let findings = log.verify(order).findings;
        prop_assert!(findings.iter().all(|found| found.kind == Missing && found.log == LogKind::Results), "{:?}", findings);
        let mut found: Vec<i64> = findings.iter().filter_map(|found| found.sequence).collect();
        found.sort_by_key(|sequence| -sequence);
        prop_assert_eq!(found, gone);
    }

    #[test]
    fn events_whose_result_is_gone_are_found(script in script(), order in Order::any(), at in any::<prop::sample::Index>()) {
        let mut log = Log::chained(&script);
        let named: Vec<usize> = (0..log.results.len()).filter(|at| !log.results[*at].record.events.is_empty()).collect();
        prop_assume!(!named.is_empty());
        let gone = log.results.remove(*at.get(&named)).record;
        let findings = log.verify(order).findings;
        prop_assert!(findings.iter().all(|found| found.kind == Unasked), "{:?}", findings);
        prop_assert_eq!(findings.len(), gone.events.len());
    }

    #[test]
    fn what_nothing_witnesses_is_found_against_an_anchor(script in script(), order in Order::any(), cut in any::<prop::sample::Index>()) {
        let whole = Log::chained(&script);
        prop_assume!(!whole.events.is_empty());
        let anchors = whole.verify(order).anchors();
        // Cut between two commands, in both topics: it is a log as it once was.
        let shorter = Log::chained(&script[..cut.index(script.len())]);
        prop_assert_eq!(shorter.verify(order).findings, vec![]);
        let found = shorter.verify_against(order, &anchors).findings;
        prop_assert!(!found.is_empty() && found.iter().all(|found| found.kind == Cut), "{:?}", found);
        let is_cut = |log| found.iter().any(|found| found.log == log);
        prop_assert!(is_cut(LogKind::Results));
        prop_assert_eq!(is_cut(LogKind::Events), shorter.events.len() < whole.events.len());
        // Written anew with a chain of its own.
        let mut anew = script.clone();
        anew.iter_mut().for_each(|(_, events, _)| *events += usize::from(*events > 0));
        let anew = Log::chained(&anew);
        prop_assert_eq!(anew.verify(order).findings, vec![]);
        let found = anew.verify_against(order, &anchors).findings;
        prop_assert!(found.iter().any(|found| found.kind == Rewritten), "{:?}", found);
        // And what has only grown is what it was.
        let mut longer = script.clone();
        longer.push((0, 1, true));
        prop_assert_eq!(Log::chained(&longer).verify_against(order, &anchors).findings, vec![]);
    }
}

#[test]
fn a_changed_result_is_told_from_a_changed_event_by_the_event_after() {
    let mut log = sample();
    log.results[0].record.last_event_hash = Some(crate::EventHash::of(b"another"));
    let findings = log.verify(Order::EventsFirst).findings;
    assert_eq!(places(&findings), [(Changed, LogKind::Results, 0)]);
    let findings = log.verify(Order::ResultsFirst).findings;
    assert_eq!(places(&findings), [(Changed, LogKind::Results, 0)]);
}

#[test]
fn an_event_that_names_another_one_before_it_is_told_from_a_change_of_that_one_by_its_result() {
    let mut log = sample();
    let changed = &mut log.events[3];
    changed.record.previous_hash = Some(crate::EventHash::of(b"another"));
    let offset = changed.offset;
    for order in [Order::EventsFirst, Order::ResultsFirst, Order::ByCommand] {
        assert_eq!(places(&log.verify(order).findings), event(Changed, offset));
    }
}

#[test]
fn an_event_that_no_longer_names_the_one_before_it_is_found_unless_its_writer_never_did() {
    let mut log = sample();
    log.events[3].record.previous_hash = None;
    let offset = log.events[3].offset;
    assert_eq!(
        places(&log.verify(Order::ByCommand).findings),
        event(Changed, offset)
    );
    let older = Log::written(&[(0, 2, false), (0, 1, true), (0, 1, false)]);
    let report = older.verify(Order::ByCommand);
    assert_eq!((report.findings, report.unchained), (vec![], 2));
}

#[test]
fn an_event_under_another_key_is_misplaced_and_missing_where_it_was() {
    let mut log = sample();
    log.events[2].key = b"other".to_vec();
    let offset = log.events[2].offset;
    let findings = log.verify(Order::ByCommand).findings;
    assert!(
        places(&findings).contains(&(Misplaced, LogKind::Events, offset)),
        "{findings:?}"
    );
}

#[test]
fn what_cannot_be_read_stands_for_the_event_that_was_there() {
    let mut log = sample();
    log.events[1].is_readable = false;
    let offset = log.events[1].offset;
    assert_eq!(
        places(&log.verify(Order::ByCommand).findings),
        event(Unreadable, offset)
    );
}

#[test]
fn a_result_that_stands_twice_is_found() {
    let mut log = sample();
    let again = log.results[1].clone();
    log.results.insert(2, again);
    log.number();
    assert_eq!(
        places(&log.verify(Order::ByCommand).findings),
        [(Repeated, LogKind::Results, 2)]
    );
}
