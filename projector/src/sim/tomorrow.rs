//! The program of tomorrow, in which the view of tabs is another one.

use foldline_core::schemars::JsonSchema;
use foldline_core::{Domain, Domains, Field, Projection, Source, from};
use serde::{Deserialize, Serialize};

use crate::toy::{Guest, Guests, Tab, TabEvent};

pub(super) const VERSION: u32 = 2;

struct Tabs;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct TabRow {
    total: i64,
    rounds: i64,
}

impl Projection for Tabs {
    const NAME: &'static str = "tabs";
    const VERSION: u32 = VERSION;
    const PATH: &'static str = "/tabs";
    const FIELDS: &'static [Field] = &[Field::number("total"), Field::number("rounds")];
    type View = TabRow;

    fn sources() -> Vec<Source<TabRow>> {
        vec![from::<Tab, TabRow>(
            |event| vec![event.meta.aggregate_id.clone()],
            |row, event, _| match &event.event {
                TabEvent::TabOpened {} => Some(TabRow::default()),
                TabEvent::Spent { amount, .. } => {
                    let row = row.unwrap_or_default();
                    Some(TabRow {
                        total: row.total + amount,
                        rounds: row.rounds + 1,
                    })
                }
                TabEvent::TabClosed {} => None,
            },
        )]
    }
}

pub(super) fn bar() -> Domains {
    let bar = Domain::new("bar").aggregate::<Tab>().aggregate::<Guest>();
    Domains::new([bar.view::<Tabs>().view::<Guests>()]).unwrap()
}
