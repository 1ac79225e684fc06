//! Versions whose code means something else by the same schemas. No registry can see any of them.

use foldline_core::{AggregateId, Context, Unique};

use super::club::{
    MemberCommand, MemberEvent, MemberRow, No, State, Status, Version, cost, email_of, fold, row_after, rules,
};

/// A version with the running one's schemas.
macro_rules! version {
    ($(#[$doc:meta])* $name:ident { $($change:item)* }) => {
        $(#[$doc])*
        #[derive(Default, Clone, PartialEq, Debug)]
        pub struct $name;

        impl Version for $name {
            type Command = MemberCommand;
            type Event = MemberEvent;
            $($change)*
        }
    };
}

version! {
    /// The fold forgets a field: a changed email.
    FoldForgets {
        fn evolve(state: &mut State, event: &MemberEvent) {
            if !matches!(event, MemberEvent::EmailChanged { .. }) {
                fold(state, event);
            }
        }
    }
}

version! {
    /// The fold counts each visit twice.
    FoldDoubles {
        fn evolve(state: &mut State, event: &MemberEvent) {
            fold(state, event);
            state.visits += i64::from(matches!(event, MemberEvent::MemberVisited { .. }));
        }
    }
}

version! {
    /// The fold differs only until the next event: nothing is left of it in any newest state.
    FoldDiffersOnTheWay {
        fn evolve(state: &mut State, event: &MemberEvent) {
            fold(state, event);
            match event {
                MemberEvent::MemberVisited { .. } => state.guests += 100,
                _ => state.guests %= 100,
            }
        }
    }
}

version! {
    /// Less than ten is not taken any more.
    RuleStricter {
        fn decide(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
            match command {
                MemberCommand::Deposit { amount: 1..1000, .. } => Err(No("too-little")),
                command => rules(state, command, context),
            }
        }
    }
}

version! {
    /// Visits on credit.
    RuleLaxer {
        fn decide(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
            let rich = State { balance: i64::MAX, ..state.clone() };
            match command {
                MemberCommand::Visit { .. } => rules(&rich, command, context),
                command => rules(state, command, context),
            }
        }
    }
}

version! {
    /// The same rule under another code, which clients act on.
    RefusalRenamed {
        fn decide(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
            rules(state, command, context).map_err(|no| match no {
                No("too-poor") => No("balance-too-low"),
                no => no,
            })
        }
    }
}

version! {
    /// Another price is written into the event.
    EventDiffers {
        fn decide(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
            let mut events = rules(state, command, context)?;
            for event in &mut events {
                if let MemberEvent::MemberJoined { price, .. } = event {
                    *price -= *price / 10;
                }
            }
            Ok(events)
        }
    }
}

version! {
    /// Amounts are read as euros.
    UnitChanged {
        fn evolve(state: &mut State, event: &MemberEvent) {
            match event.clone() {
                MemberEvent::MoneyDeposited { amount, note } => {
                    fold(state, &MemberEvent::MoneyDeposited { amount: amount * 100, note });
                }
                event => fold(state, &event),
            }
        }
    }
}

version! {
    /// A night costs what a day costs.
    ValueMeansOther {
        fn evolve(state: &mut State, event: &MemberEvent) {
            let before = state.balance;
            fold(state, event);
            if matches!(event, MemberEvent::MemberVisited { .. }) {
                state.balance = before - cost(state, "DAY");
            }
        }
    }
}

version! {
    /// The projection shows the last note only.
    ProjectionChanged {
        fn project(row: Option<MemberRow>, event: &MemberEvent, id: &AggregateId) -> Option<MemberRow> {
            let mut row = row_after(row, event, id)?;
            let last = row.notes.pop();
            row.notes = last.into_iter().collect();
            Some(row)
        }
    }
}

version! {
    /// Emails are unique letter by letter.
    UniqueChanged {
        fn unique(state: &State) -> Vec<Unique> {
            email_of(state, state.email.clone())
        }
    }
}

version! {
    /// Harmless: the same rules and the same fold, written otherwise.
    Refactored {
        fn decide(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
            let (Status::Active, MemberCommand::Deposit { amount, note }) = (&state.status, command) else {
                return rules(state, command, context);
            };
            let (amount, note) = (*amount, note.clone());
            let is_taken = amount > 0;
            is_taken
                .then(|| vec![MemberEvent::MoneyDeposited { amount, note }])
                .ok_or(No("not-positive"))
        }
        fn evolve(state: &mut State, event: &MemberEvent) {
            let MemberEvent::MoneyDeposited { amount, note } = event else {
                return fold(state, event);
            };
            if let Some(note) = note {
                state.note = Some(note.clone());
            }
            state.balance += amount;
        }
    }
}
