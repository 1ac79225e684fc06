#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::LazyLock;

use foldline_core::schemars::JsonSchema;
use foldline_core::{
    Aggregate, Context, Domain, Domains, Field, Projection, RefusalKind, Rejection, Source, from,
};
use serde::{Deserialize, Serialize};

/// What makes the `tabs` view panic.
pub const UNLUCKY: i64 = 13;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum TabCommand {
    Open {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum TabEvent {
    TabOpened {},
    /// Guests had something together.
    Spent {
        guests: Vec<String>,
        amount: i64,
    },
    TabClosed {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum GuestCommand {
    Name {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum GuestEvent {
    Named { name: String },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("never")]
pub struct Never;

impl Rejection for Never {
    fn code(&self) -> &'static str {
        "never"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

macro_rules! aggregate {
    ($name:ident, $text:literal, $create:literal, $command:ty, $event:ty) => {
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {}
        impl Aggregate for $name {
            const NAME: &'static str = $text;
            const PATH: &'static str = concat!("/", $text);
            const CREATE: &'static str = $create;
            type Command = $command;
            type Event = $event;
            type Rejection = Never;
            fn decide(&self, _: &$command, _: &Context<'_>) -> Result<Vec<$event>, Never> {
                Ok(vec![])
            }
            fn evolve(&mut self, _: &$event) {}
            fn possible(&self) -> Vec<&'static str> {
                vec![]
            }
        }
    };
}
aggregate!(Tab, "tabs", "Open", TabCommand, TabEvent);
aggregate!(Guest, "guests", "Name", GuestCommand, GuestEvent);

/// What is on a tab; gone when it is closed.
pub struct Tabs;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TabRow {
    pub total: i64,
}

impl Projection for Tabs {
    const NAME: &'static str = "tabs";
    const PATH: &'static str = "/tabs";
    const FIELDS: &'static [Field] = &[Field::number("total")];
    type View = TabRow;

    fn sources() -> Vec<Source<TabRow>> {
        vec![from::<Tab, TabRow>(
            |event| vec![event.meta.aggregate_id.clone()],
            |row, event, _| match &event.event {
                TabEvent::TabOpened {} => Some(TabRow { total: 0 }),
                TabEvent::Spent { amount, .. } => {
                    assert_ne!(*amount, UNLUCKY, "unlucky");
                    let total = row.map_or(0, |row| row.total) + amount;
                    Some(TabRow { total })
                }
                TabEvent::TabClosed {} => None,
            },
        )]
    }
}

/// What guests have spent on all tabs; shown once they have a name.
pub struct Guests;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestRow {
    pub name: Option<String>,
    pub spent: i64,
}

impl Projection for Guests {
    const NAME: &'static str = "guests";
    const PATH: &'static str = "/guests";
    const FIELDS: &'static [Field] = &[Field::number("spent")];
    type View = GuestRow;

    fn sources() -> Vec<Source<GuestRow>> {
        vec![
            from::<Tab, GuestRow>(
                |event| match &event.event {
                    TabEvent::Spent { guests, .. } => {
                        guests.iter().filter_map(|guest| guest.parse().ok()).collect()
                    }
                    _ => vec![],
                },
                |row, event, id| {
                    let mut row = row.unwrap_or_default();
                    if let TabEvent::Spent { amount, .. } = &event.event {
                        let cursed = *amount == UNLUCKY && id.as_str() == "zoe";
                        assert!(!cursed, "zoe does not pay {UNLUCKY}");
                        row.spent += amount;
                    }
                    Some(row)
                },
            ),
            from::<Guest, GuestRow>(
                |event| vec![event.meta.aggregate_id.clone()],
                |row, event, _| {
                    let GuestEvent::Named { name } = &event.event;
                    let name = Some(name.clone());
                    Some(GuestRow {
                        name,
                        ..row.unwrap_or_default()
                    })
                },
            ),
        ]
    }

    fn is_listed(row: &GuestRow) -> bool {
        row.name.is_some()
    }
}

/// The installed domain; made once, as it is in a program.
pub fn bar() -> &'static Domains {
    static BAR: LazyLock<Domains> = LazyLock::new(|| {
        let bar = Domain::new("bar").aggregate::<Tab>().aggregate::<Guest>();
        Domains::new([bar.view::<Tabs>().view::<Guests>()]).unwrap()
    });
    &BAR
}

/// As the domain was before it had a view of its guests.
pub fn without_guests() -> Domains {
    let bar = Domain::new("bar").aggregate::<Tab>().aggregate::<Guest>();
    Domains::new([bar.view::<Tabs>()]).unwrap()
}
