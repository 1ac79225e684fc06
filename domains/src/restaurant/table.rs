//! Checks that every aggregate's tests share: every command in every state, and what holds of any commands.

use std::collections::BTreeSet;

use foldline_core::testing::Given;
use foldline_core::{Aggregate, Rejection};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// States by name, as the events that make them.
pub type States<A> = Vec<(&'static str, Vec<<A as Aggregate>::Event>)>;

/// Gives each command in each state, and compares what comes of it with a table, a line each:
/// `state, Command: event, rejection code or -`. The commands are right in themselves, one of each type.
///
/// What [`Aggregate::possible`] says must be just what makes events.
#[track_caller]
pub fn every_command_in_every_state<A: Aggregate>(
    given: impl Fn(Vec<A::Event>) -> Given<A>,
    states: States<A>,
    commands: &[A::Command],
    table: &str,
) {
    let mut found = String::new();
    for (state, events) in states {
        let mut makes_events = BTreeSet::new();
        for command in commands {
            let decided = given(events.clone()).when(command.clone()).decided();
            if decided.as_ref().is_ok_and(|events| !events.is_empty()) {
                makes_events.insert(type_of(command));
            }
            let outcome = outcome::<A>(decided);
            found += &format!("{state}, {}: {outcome}\n", type_of(command));
        }
        let possible = given(events).state().possible();
        let possible: BTreeSet<String> = possible.into_iter().map(str::to_owned).collect();
        assert_eq!(possible, makes_events, "possible in the state {state}");
    }
    let lines = |text: &str| text.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&found), lines(table), "found:\n{found}");
}

/// Gives one command after the other, each twice, and checks that
/// - what is accepted was said to be possible;
/// - the second time nothing happens, but for the types that add something anew each time.
#[track_caller]
pub fn any_commands_keep_the_rules<A: Aggregate>(
    given: impl Fn(Vec<A::Event>) -> Given<A>,
    commands: Vec<A::Command>,
    adding: &[&str],
) {
    let mut history = Vec::new();
    for (number, command) in commands.into_iter().enumerate() {
        let decide = |history: &Vec<A::Event>, time: u128| {
            let id = Uuid::from_u128(2 * number as u128 + time);
            let decided = given(history.clone())
                .command_id(id)
                .when(command.clone())
                .decided();
            decided.unwrap_or_default()
        };
        let kind = type_of(&command);
        let events = decide(&history, 0);
        if !events.is_empty() {
            let possible = given(history.clone()).state().possible();
            assert!(
                possible.contains(&kind.as_str()),
                "{kind} after {history:?} is not in {possible:?}"
            );
        }
        history.extend(events);
        if !adding.contains(&kind.as_str()) {
            assert_eq!(decide(&history, 1), [], "{command:?} again, after {history:?}");
        }
    }
}

/// `OpenOrder`: the name of a variant.
fn type_of(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(Value::Object(tagged)) => tagged.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

fn outcome<A: Aggregate>(decided: Result<Vec<A::Event>, A::Rejection>) -> String {
    match decided {
        Err(rejection) => rejection.code().to_owned(),
        Ok(events) if events.is_empty() => "-".to_owned(),
        Ok(events) => events.iter().map(type_of).collect::<Vec<_>>().join(" "),
    }
}
