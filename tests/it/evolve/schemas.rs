//! Versions whose schemas differ. A registry sees the change, and can only say whether the bytes can be read.

use foldline_core::Upcaster;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::club::{self, State, Version, converted, fold};

/// A version with another type of events; in `$change`, what it changes beside.
macro_rules! events {
    ($(#[$doc:meta])* $name:ident { $($variants:tt)* } $($change:item)*) => {
        $(#[$doc])*
        pub mod $name {
            use super::*;

            #[derive(Default, Clone, PartialEq, Debug)]
            pub struct Changed;

            /// What can have happened to a member.
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
            pub enum MemberEvent { $($variants)* }

            impl Version for Changed {
                type Command = club::MemberCommand;
                type Event = MemberEvent;
                $($change)*
            }
        }
    };
}

/// An event of one version as one of another, by its JSON.
fn patched<T: serde::de::DeserializeOwned>(event: &impl Serialize, patch: fn(&str, &mut Value)) -> T {
    let mut json: Value = converted(event);
    let (name, fields) = json
        .as_object_mut()
        .and_then(|variants| variants.iter_mut().next())
        .expect("a variant");
    patch(&name.clone(), fields);
    converted(&json)
}

fn rename(fields: &mut Value, from: &str, to: &str) {
    if let Some(value) = fields.as_object_mut().and_then(|fields| fields.remove(from)) {
        fields[to] = value;
    }
}

events! {
    /// An optional field has another name, and no alias.
    field_renamed {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, remark: Option<String> },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    fn read(event: &MemberEvent) -> club::MemberEvent {
        patched(event, |_, fields| rename(fields, "remark", "note"))
    }
    fn write(event: &club::MemberEvent) -> MemberEvent {
        patched(event, |name, fields| {
            if name == "MoneyDeposited" {
                rename(fields, "note", "remark");
            }
        })
    }
}

events! {
    /// A type of events has another name.
    event_renamed {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String> },
        VisitMade { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    fn read(event: &MemberEvent) -> club::MemberEvent {
        renamed(event, "VisitMade", "MemberVisited")
    }
    fn write(event: &club::MemberEvent) -> MemberEvent {
        renamed(event, "MemberVisited", "VisitMade")
    }
}

fn renamed<T: serde::de::DeserializeOwned>(event: &impl Serialize, from: &str, to: &str) -> T {
    let mut json: Value = converted(event);
    rename(&mut json, from, to);
    converted(&json)
}

events! {
    /// What older events lack reads as something else.
    default_changed {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String> },
        MemberVisited { kind: String, #[serde(default = "one")] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
}

fn one() -> i32 {
    1
}

events! {
    /// An optional field is not there any more.
    field_dropped {
        MemberJoined { email: String, plan: String, price: i64 },
        MoneyDeposited { amount: i64, note: Option<String> },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
}

events! {
    /// A field that every event has is not there any more.
    required_field_dropped {
        MemberJoined { email: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String> },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    fn read(event: &MemberEvent) -> club::MemberEvent {
        patched(event, |name, fields| {
            if name == "MemberJoined" {
                fields["plan"] = json!("");
            }
        })
    }
}

events! {
    /// A field that no event has must be there.
    required_field_added {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String>, currency: String },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    fn write(event: &club::MemberEvent) -> MemberEvent {
        patched(event, |name, fields| {
            if name == "MoneyDeposited" {
                fields["currency"] = json!("EUR");
            }
        })
    }
}

events! {
    /// A number has fewer bits.
    field_narrowed {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i32, note: Option<String> },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
}

events! {
    /// A revision is raised, and nothing makes the older one into it.
    no_upcaster {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String>, #[schemars(extend("x-since-revision" = 2))] credited: i64 },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    const REVISIONS: &'static [(&'static str, i32)] = &[("MoneyDeposited", 2)];
    fn write(event: &club::MemberEvent) -> MemberEvent {
        patched(event, credit)
    }
}

events! {
    /// An upcaster computes something wrong.
    wrong_upcaster {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String>, #[schemars(extend("x-since-revision" = 2))] credited: i64 },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    const REVISIONS: &'static [(&'static str, i32)] = &[("MoneyDeposited", 2)];
    const UPCASTERS: &'static [Upcaster] = &[Upcaster {
        event: "MoneyDeposited",
        from: 1,
        upcast: |payload| payload.set("credited", payload.get::<i64>("amount")? / 100),
    }];
    fn write(event: &club::MemberEvent) -> MemberEvent {
        patched(event, credit)
    }
    fn read(event: &MemberEvent) -> club::MemberEvent {
        patched(event, credited)
    }
}

events! {
    /// Harmless: a new revision, with an upcaster that is right.
    right_upcaster {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String>, #[schemars(extend("x-since-revision" = 2))] credited: i64 },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
    const REVISIONS: &'static [(&'static str, i32)] = &[("MoneyDeposited", 2)];
    const UPCASTERS: &'static [Upcaster] = &[Upcaster {
        event: "MoneyDeposited",
        from: 1,
        upcast: |payload| payload.set("credited", payload.get::<i64>("amount")?),
    }];
    fn write(event: &club::MemberEvent) -> MemberEvent {
        patched(event, credit)
    }
    fn read(event: &MemberEvent) -> club::MemberEvent {
        patched(event, credited)
    }
}

fn credit(name: &str, fields: &mut Value) {
    if name == "MoneyDeposited" {
        fields["credited"] = fields["amount"].clone();
    }
}

fn credited(name: &str, fields: &mut Value) {
    if name == "MoneyDeposited" {
        fields["amount"] = fields["credited"].clone();
    }
}

events! {
    /// Harmless: a new optional field.
    optional_field {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String>, referrer: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String> },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
    }
}

events! {
    /// Harmless: a new type of events, which nothing has written yet.
    new_event {
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        MoneyDeposited { amount: i64, note: Option<String> },
        MemberVisited { kind: String, #[serde(default)] guests: i32 },
        EmailChanged { email: String },
        MemberLeft {},
        MoneyRefunded { amount: i64 },
    }
    fn read(event: &MemberEvent) -> club::MemberEvent {
        match event {
            MemberEvent::MoneyRefunded { amount } => {
                club::MemberEvent::MoneyDeposited { amount: -amount, note: None }
            }
            event => converted(event),
        }
    }
    fn evolve(state: &mut State, event: &club::MemberEvent) {
        fold(state, event);
    }
}

events! {
    /// Harmless, and still not to be done: readers that go by the place of a field would stumble.
    reordered {
        MemberLeft {},
        MoneyDeposited { note: Option<String>, amount: i64 },
        MemberJoined { email: String, plan: String, price: i64, note: Option<String> },
        EmailChanged { email: String },
        MemberVisited { #[serde(default)] guests: i32, kind: String },
    }
}

/// A command's field has another name.
pub mod command_field_renamed {
    use super::{Deserialize, JsonSchema, Serialize, Version, club, patched, rename};

    #[derive(Default, Clone, PartialEq, Debug)]
    pub struct Changed;

    /// What can be asked of a member.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub enum MemberCommand {
        Join {
            email: String,
            plan: String,
            note: Option<String>,
        },
        Deposit {
            amount: i64,
            remark: Option<String>,
        },
        Visit {
            kind: String,
            #[serde(default)]
            guests: i32,
        },
        ChangeEmail {
            email: String,
        },
        Leave {},
    }

    impl Version for Changed {
        type Command = MemberCommand;
        type Event = club::MemberEvent;

        fn asked(command: &MemberCommand) -> club::MemberCommand {
            patched(command, |_, fields| rename(fields, "remark", "note"))
        }
    }
}
