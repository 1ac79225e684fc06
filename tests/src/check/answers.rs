//! What the clients were told, against each other and against the topics.

use std::collections::HashMap;

use foldline_core::{CommandResult, EventMeta, Outcome};
use uuid::Uuid;

use super::results::{compare, events_by_command};
use super::{Placed, Violation};
use crate::load::{Answered, Entry, Expected, Verdict};

/// Every client has had an answer.
pub fn are_there(history: &[Entry]) -> Vec<Violation> {
    let unanswered = history.iter().filter(|entry| entry.answers.is_empty());
    let key = |entry: &Entry| Violation::Unanswered { key: entry.asked.key };
    unanswered.map(key).collect()
}

/// One key, one answer, however often it is asked; and it is about the command of that key.
pub fn are_the_same(history: &[Entry]) -> Vec<Violation> {
    let mut first: HashMap<Uuid, String> = HashMap::new();
    let mut found = Vec::new();
    for entry in history {
        let key = entry.asked.key;
        for answer in &entry.answers {
            let then = said(answer);
            let first = first.entry(key).or_insert_with(|| then.clone());
            if *first != then || answer.command_id != key {
                let first = first.clone();
                found.push(Violation::TwoAnswers { key, first, then });
            }
        }
    }
    found
}

/// All but whether it is a repetition: an answer that was lost was the first one.
fn said(answer: &Answered) -> String {
    format!(
        "{:?} at {} by {} for {}",
        answer.verdict, answer.sequence, answer.aggregate, answer.command_id
    )
}

/// What came is what the rules say. A client that had no answer goes on, and does not know what it goes on from: what
/// names an aggregate of such a command is not judged here.
pub fn are_right(history: &[Entry]) -> Vec<Violation> {
    let unanswered = history.iter().filter(|entry| entry.answers.is_empty());
    let in_doubt: Vec<String> = unanswered.map(aggregate_of).collect();
    let is_in_doubt = |entry: &Entry| {
        let body = entry.asked.body.to_string();
        let names = |id: &String| entry.asked.path.contains(id) || body.contains(id);
        in_doubt.iter().any(names)
    };
    let wrong = |entry: &Entry| {
        let wrong = |answer: &&Answered| !is_right(entry.asked.expected, &answer.verdict);
        let came = entry.answers.iter().find(wrong)?;
        Some(Violation::Unexpected {
            key: entry.asked.key,
            expected: format!(
                "{:?} of {} to {}",
                entry.asked.expected, entry.asked.body, entry.asked.path
            ),
            came: format!("{:?}", came.verdict),
        })
    };
    let judged = history.iter().filter(|entry| !is_in_doubt(entry));
    judged.filter_map(wrong).collect()
}

/// The id of the aggregate that a command is for.
fn aggregate_of(entry: &Entry) -> String {
    match entry.asked.path.rsplit('/').nth(1) {
        Some(id) if entry.asked.path.ends_with("/commands") => id.to_owned(),
        // How the API names what a request makes that names nothing.
        _ => Uuid::new_v5(&entry.asked.key, b"aggregate").to_string(),
    }
}

fn is_right(expected: Expected, verdict: &Verdict) -> bool {
    match (expected, verdict) {
        (Expected::Event(event), Verdict::Accepted(events)) => {
            matches!(&events[..], [only] if only.event_type == event)
        }
        (Expected::Nothing, Verdict::Accepted(events)) => events.is_empty(),
        (Expected::EventUnless(_), Verdict::Accepted(events)) => !events.is_empty(),
        (Expected::Refusal(code) | Expected::EventUnless(code), Verdict::Refused(came)) => code == came,
        (Expected::Event(_) | Expected::Nothing, Verdict::Refused(_))
        | (Expected::Refusal(_), Verdict::Accepted(_)) => false,
    }
}

/// What a client was told is what the decision on the topic says, and what has happened.
pub fn are_kept(
    history: &[Entry],
    results: &[&Placed<CommandResult>],
    events: &[Placed<EventMeta>],
) -> Vec<Violation> {
    let stand = events_by_command(events);
    let decisions = results.iter().filter(|result| !result.record.replayed);
    let decisions: HashMap<Uuid, &CommandResult> = decisions
        .map(|result| (result.record.command_id, &result.record))
        .collect();
    let mut found = Vec::new();
    for entry in history {
        let key = entry.asked.key;
        for answer in &entry.answers {
            let named = match &answer.verdict {
                Verdict::Accepted(events) => events.as_slice(),
                Verdict::Refused(_) => &[],
            };
            found.extend(compare(key, "answer", named, &stand));
            let decision = decisions.get(&key).copied();
            if !decision.is_some_and(|decision| is_of(decision, answer)) {
                found.push(Violation::OtherResult {
                    key,
                    told: said(answer),
                    stands: format!("{decision:?}"),
                });
            }
        }
    }
    found
}

fn is_of(decision: &CommandResult, answer: &Answered) -> bool {
    let verdict = match decision.decided() {
        Outcome::Accepted(events) => Verdict::Accepted(events),
        Outcome::Refused(refusal) => Verdict::Refused(refusal.code),
    };
    let id = answer.aggregate.rsplit('/').next().unwrap_or_default();
    verdict == answer.verdict && decision.sequence == answer.sequence && decision.aggregate_id.as_str() == id
}

#[cfg(test)]
mod tests {
    use super::{are_kept, are_right, are_the_same, are_there};
    use crate::check::Violation;
    use crate::check::sample::{REFUSED, Sample};
    use crate::load::{Expected, Verdict};

    fn violations(sample: &Sample) -> Vec<Violation> {
        let results: Vec<_> = sample.results.iter().collect();
        [
            are_there(&sample.history),
            are_the_same(&sample.history),
            are_right(&sample.history),
            are_kept(&sample.history, &results, &sample.events),
        ]
        .concat()
    }

    #[test]
    fn a_good_history_passes() {
        assert_eq!(violations(&Sample::good()), []);
    }

    #[test]
    fn a_command_without_answer_is_found() {
        let mut sample = Sample::good();
        sample.history[1].answers.clear();
        let found = violations(&sample);
        assert!(matches!(&found[..], [Violation::Unanswered { .. }]), "{found:?}");
    }

    #[test]
    fn an_acknowledged_command_without_events_is_found() {
        let mut sample = Sample::good();
        sample.events.remove(0);
        let found = violations(&sample);
        // Once for each time that it was acknowledged.
        assert!(
            matches!(
                &found[..],
                [Violation::OtherEvents { .. }, Violation::OtherEvents { .. }]
            ),
            "{found:?}"
        );
    }

    #[test]
    fn an_acknowledged_command_whose_events_stand_twice_is_found() {
        let mut sample = Sample::good();
        sample.events.push(sample.events[1].clone());
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::OtherEvents { by: "answer", .. }]),
            "{found:?}"
        );
    }

    #[test]
    fn an_acknowledged_command_that_the_topic_knows_nothing_of_is_found() {
        let mut sample = Sample::good();
        sample
            .results
            .retain(|result| result.record.command_id != REFUSED);
        let found = violations(&sample);
        assert!(
            matches!(&found[..], [Violation::OtherResult { stands, .. }] if stands == "None"),
            "{found:?}"
        );
    }

    #[test]
    fn a_refused_command_with_events_is_found() {
        let mut sample = Sample::good();
        sample.events[0].record.command_id = REFUSED;
        let found = violations(&sample);
        let of_refused = |violation: &Violation| matches!(violation, Violation::OtherEvents { command, .. } if *command == REFUSED);
        assert!(found.iter().any(of_refused), "{found:?}");
    }

    #[test]
    fn two_answers_for_one_key_are_found() {
        let mut sample = Sample::good();
        sample.history[0].answers[1].sequence = 2;
        let found = violations(&sample);
        assert!(matches!(found[0], Violation::TwoAnswers { .. }), "{found:?}");
    }

    #[test]
    fn two_answers_for_one_key_are_found_in_two_entries_too() {
        let mut sample = Sample::good();
        let mut again = sample.history[0].clone();
        again.answers.truncate(1);
        again.answers[0].verdict = Verdict::Accepted(vec![]);
        sample.history.push(again);
        let found = violations(&sample);
        assert!(matches!(found[0], Violation::TwoAnswers { .. }), "{found:?}");
    }

    #[test]
    fn what_rests_on_a_command_that_was_never_answered_is_not_judged_by_the_rules() {
        let mut sample = Sample::good();
        sample.history[2].asked.expected = Expected::Event("OrderPlaced");
        sample.history[1].answers.clear();
        assert_eq!(are_right(&sample.history), []);
        sample.history[1].asked.path = "/orders/another/commands".to_owned();
        assert_eq!(are_right(&sample.history).len(), 1);
    }

    #[test]
    fn an_answer_that_the_rules_forbid_is_found() {
        let mut sample = Sample::good();
        sample.history[2].asked.expected = Expected::Event("OrderPlaced");
        let found = violations(&sample);
        assert!(matches!(&found[..], [Violation::Unexpected { .. }]), "{found:?}");
    }
}
