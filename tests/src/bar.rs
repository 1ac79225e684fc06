//! A bar with tabs, whose view comes in several makes: as it should be, and with the mistakes that people make. Which
//! make a program has is said by [`MAKE`] in its environment.

use std::sync::LazyLock;

use foldline_core::{Aggregate, Context, Domain, Field, Projection, RefusalKind, Rejection, Source, from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The variable that says which make of the view a program has; with it, a program has the bar at all.
pub const MAKE: &str = "FOLDLINE_TEST_BAR";
/// The make that is as it should be.
pub const GOOD: &str = "good";
/// An amount that the `panics` make cannot take.
pub const UNLUCKY: i64 = 13;

static MAKE_HERE: LazyLock<String> =
    LazyLock::new(|| std::env::var(MAKE).unwrap_or_else(|_| GOOD.to_owned()));

fn is(make: &str) -> bool {
    *MAKE_HERE == make
}

/// What a program installs.
pub fn domain() -> Domain {
    let bar = Domain::new("bar").aggregate::<Tab>();
    if is("v2") {
        return bar.view::<TabsV2>();
    }
    bar.view::<Tabs>()
}

/// What can be asked of a tab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum TabCommand {
    /// Opens a tab.
    OpenTab {
        /// Whose.
        guest: String,
    },
    /// Orders drinks.
    OrderDrinks {
        /// How many.
        quantity: i64,
        /// What one costs.
        price: i64,
    },
    /// Leaves something for the house.
    Tip {
        /// How much.
        amount: i64,
    },
    /// Somebody else pays.
    HandOver {
        /// Who.
        guest: String,
    },
    /// It is paid.
    CloseTab {},
}

/// What can have happened to a tab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum TabEvent {
    /// It is open.
    TabOpened {
        /// Whose it is.
        guest: String,
    },
    /// Drinks were ordered.
    DrinksOrdered {
        /// How many.
        quantity: i64,
        /// What one costs.
        price: i64,
    },
    /// Something was left for the house.
    Tipped {
        /// How much.
        amount: i64,
    },
    /// Somebody else pays.
    TabHandedOver {
        /// Who.
        guest: String,
    },
    /// It is paid.
    TabClosed {},
}

/// How the bar says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tab is not open, or is open already")]
pub struct NotNow;

impl Rejection for NotNow {
    const CODES: &'static [&'static str] = &["tab-not-open"];

    fn code(&self) -> &'static str {
        "tab-not-open"
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

/// A tab, or the place for one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tab {
    is_open: bool,
}

impl Aggregate for Tab {
    const NAME: &'static str = "tabs";
    const PATH: &'static str = "/tabs";
    const CREATE: &'static str = "OpenTab";

    type Command = TabCommand;
    type Event = TabEvent;
    type Rejection = NotNow;

    fn decide(&self, command: &TabCommand, _: &Context<'_>) -> Result<Vec<TabEvent>, NotNow> {
        let event = match (self.is_open, command.clone()) {
            (false, TabCommand::OpenTab { guest }) => TabEvent::TabOpened { guest },
            (true, TabCommand::OrderDrinks { quantity, price }) => {
                TabEvent::DrinksOrdered { quantity, price }
            }
            (true, TabCommand::Tip { amount }) => TabEvent::Tipped { amount },
            (true, TabCommand::HandOver { guest }) => TabEvent::TabHandedOver { guest },
            (true, TabCommand::CloseTab {}) => TabEvent::TabClosed {},
            _ => return Err(NotNow),
        };
        Ok(vec![event])
    }

    fn evolve(&mut self, event: &TabEvent) {
        match event {
            TabEvent::TabOpened { .. } => self.is_open = true,
            TabEvent::TabClosed {} => self.is_open = false,
            _ => {}
        }
    }

    fn possible(&self) -> Vec<&'static str> {
        if self.is_open {
            vec!["OrderDrinks", "Tip", "HandOver", "CloseTab"]
        } else {
            vec!["OpenTab"]
        }
    }
}

/// A tab, as clients see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TabRow {
    id: String,
    guest: String,
    paid_by: Option<String>,
    drinks: i64,
    total: i64,
    tips: i64,
    closed: bool,
    made_by: Option<String>,
}

/// The tabs.
pub struct Tabs;
/// The tabs, as the next version has them: another field to look for them by.
pub struct TabsV2;

impl Projection for Tabs {
    const NAME: &'static str = "tabs";
    const PATH: &'static str = "/tabs";
    const FIELDS: &'static [Field] = &[Field::text("guest"), Field::number("total")];
    type View = TabRow;

    fn sources() -> Vec<Source<TabRow>> {
        vec![from::<Tab, TabRow>(
            |event| match &event.event {
                TabEvent::Tipped { .. } if is("tips-skipped") => vec![],
                TabEvent::Tipped { .. } if is("extra-row") => {
                    vec![event.meta.aggregate_id.clone(), "house".parse().expect("an id")]
                }
                _ => vec![event.meta.aggregate_id.clone()],
            },
            |row, event, id| {
                let mut row = row.unwrap_or_else(|| TabRow {
                    id: id.to_string(),
                    made_by: (is("tagged") || is("v2")).then(|| MAKE_HERE.clone()),
                    ..TabRow::default()
                });
                fold(&mut row, &event.event);
                let is_gone = is("row-removed") && row.closed;
                (!is_gone).then_some(row)
            },
        )]
    }
}

fn fold(row: &mut TabRow, event: &TabEvent) {
    match event {
        TabEvent::TabOpened { guest } => row.guest.clone_from(guest),
        TabEvent::DrinksOrdered { quantity, price } => {
            row.drinks += quantity;
            row.total += if is("quantity-ignored") {
                *price
            } else {
                quantity * price
            };
        }
        TabEvent::Tipped { amount } => {
            assert!(!(is("panics") && *amount == UNLUCKY), "unlucky");
            row.tips += amount * if is("double-count") { 2 } else { 1 };
        }
        TabEvent::TabHandedOver { guest } if is("wrong-field") => row.paid_by = Some(guest.clone()),
        TabEvent::TabHandedOver { guest } => row.guest.clone_from(guest),
        TabEvent::TabClosed {} => row.closed = true,
    }
}

impl Projection for TabsV2 {
    const NAME: &'static str = Tabs::NAME;
    const VERSION: u32 = 2;
    const PATH: &'static str = Tabs::PATH;
    const FIELDS: &'static [Field] = &[
        Field::text("guest"),
        Field::number("total"),
        Field::number("tips"),
    ];
    type View = TabRow;

    fn sources() -> Vec<Source<TabRow>> {
        Tabs::sources()
    }
}
