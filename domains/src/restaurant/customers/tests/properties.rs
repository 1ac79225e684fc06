use foldline_core::testing::given;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Customer, CustomerCommand, CustomerEvent};
use super::{
    ADA, BEA, add, added, change, changed, email, remove, removed, sign_up, signed_up, unique, verified,
    verify,
};
use crate::restaurant::table::any_commands_keep_the_rules;

fn text(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(of).prop_map(str::to_owned)
}

fn any_email() -> impl Strategy<Value = String> {
    text(&[ADA, "ada@example.org", BEA, "nobody"])
}

fn any_token() -> impl Strategy<Value = String> {
    // That of the first command, and a wrong one.
    prop_oneof![
        Just(Uuid::new_v5(&Uuid::nil(), &0_u32.to_be_bytes()).to_string()),
        Just("t".to_owned())
    ]
}

fn nickname() -> impl Strategy<Value = String> {
    text(&["home", "work", ""])
}

fn command() -> impl Strategy<Value = CustomerCommand> {
    prop_oneof![
        any_email().prop_map(|email| sign_up(&email)),
        any_email().prop_map(|email| change(&email)),
        any_token().prop_map(|token| verify(&token)),
        nickname().prop_map(|nickname| add(&nickname, "1 Main St")),
        nickname().prop_map(|nickname| remove(&nickname)),
    ]
}

fn event() -> impl Strategy<Value = CustomerEvent> {
    prop_oneof![
        any_token().prop_map(|token| signed_up(&token)),
        (any_email(), any_token()).prop_map(|(email, token)| changed(&email, &token)),
        any_email().prop_map(|email| verified(&email)),
        nickname().prop_map(|nickname| added(&nickname)),
        nickname().prop_map(|nickname| removed(&nickname)),
    ]
}

proptest! {
    #[test]
    fn any_events_in_any_order_are_folded(events in prop::collection::vec(event(), 0..9), command in command()) {
        given::<Customer>(events.clone()).state();
        // Whatever the decision is, it is one.
        let _ = given::<Customer>(events).when(command).decided();
    }

    #[test]
    fn what_is_accepted_was_possible_and_happens_once(commands in prop::collection::vec(command(), 0..12)) {
        any_commands_keep_the_rules::<Customer>(given, commands, &[]);
    }

    #[test]
    fn a_customer_holds_the_folded_form_of_the_last_email(emails in prop::collection::vec("[a-zA-Z]{1,3}@[xX]", 1..6)) {
        let mut events = vec![signed_up("t")];
        for email in &emails {
            let decided = given::<Customer>(events.clone()).when(change(email)).decided();
            events.extend(decided.unwrap());
        }
        let last = emails.last().unwrap().to_lowercase();
        prop_assert_eq!(unique(events), email(&last));
    }
}
