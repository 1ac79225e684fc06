use foldline_core::{AggregateId, Envelope, Field, Projection, Source, from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MenuEvent, MenuItem};
use crate::restaurant::Money;
use crate::restaurant::orders::{Order, OrderEvent};

/// The menu, with how often each item was ordered.
///
/// Popularity counts what was ordered: the quantities in orders that were placed. An open order is only a
/// wish, so what is added, changed, removed or cancelled before it is placed moves nothing, and a placed order
/// cannot change. So each order counts once, by its last event.
pub struct MenuItems;

/// An item of the menu, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MenuItemView {
    /// Its id.
    pub id: String,
    /// What it is, for guests.
    pub description: String,
    /// What one of it costs in an order from now on.
    pub price: Money,
    /// Whether it is sold.
    pub status: MenuItemStatus,
    /// How often it was ordered: the sum of its quantities in placed orders.
    pub popularity: i64,
}

/// Whether an item is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MenuItemStatus {
    /// It can be added to orders.
    OnSale,
    /// It can not. Orders that have it keep it.
    Removed,
    // An order's event came first: the row waits for that of the menu, and is not shown.
    #[doc(hidden)]
    #[schemars(skip)]
    Awaited,
}

impl Projection for MenuItems {
    const NAME: &'static str = "menu";
    const PATH: &'static str = "/menu/items";
    const FIELDS: &'static [Field] = &[
        Field::text("description"),
        Field::number("price.amount"),
        Field::text("price.currency"),
        Field::text("status"),
        Field::number("popularity"),
    ];

    type View = MenuItemView;

    fn sources() -> Vec<Source<MenuItemView>> {
        vec![
            from::<MenuItem, _>(|event| vec![event.meta.aggregate_id.clone()], menu_changed),
            from::<Order, _>(ordered_items, ordered),
        ]
    }

    fn is_listed(row: &MenuItemView) -> bool {
        row.status != MenuItemStatus::Awaited
    }
}

fn menu_changed(
    row: Option<MenuItemView>,
    event: &Envelope<MenuEvent>,
    id: &AggregateId,
) -> Option<MenuItemView> {
    let mut row = row.unwrap_or_else(|| awaited(id));
    match &event.event {
        MenuEvent::MenuItemAdded { description, price }
        | MenuEvent::MenuItemModified { description, price } => {
            row.description.clone_from(description);
            row.price.clone_from(price);
            row.status = MenuItemStatus::OnSale;
        }
        MenuEvent::MenuItemRemoved {} => row.status = MenuItemStatus::Removed,
    }
    Some(row)
}

/// Each item once, however many lines of the order have it.
fn ordered_items(event: &Envelope<OrderEvent>) -> Vec<AggregateId> {
    let OrderEvent::OrderPlaced { items, .. } = &event.event else {
        return vec![];
    };
    let mut ids: Vec<_> = items.iter().map(|item| item.menu_item_id.clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn ordered(
    row: Option<MenuItemView>,
    event: &Envelope<OrderEvent>,
    id: &AggregateId,
) -> Option<MenuItemView> {
    let OrderEvent::OrderPlaced { items, .. } = &event.event else {
        return row;
    };
    let mut row = row.unwrap_or_else(|| awaited(id));
    let of_this = items.iter().filter(|item| item.menu_item_id == *id);
    let quantity = of_this.map(|item| i64::from(item.quantity)).sum::<i64>();
    row.popularity = row.popularity.saturating_add(quantity);
    Some(row)
}

fn awaited(id: &AggregateId) -> MenuItemView {
    MenuItemView {
        id: id.to_string(),
        description: String::new(),
        price: Money {
            amount: 0,
            currency: String::new(),
        },
        status: MenuItemStatus::Awaited,
        popularity: 0,
    }
}
