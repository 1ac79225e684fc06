use foldline_core::testing::{aggregate_id, rows};
use serde_json::{Value, json};

use super::super::OrderEvent::OrderCancelled;
use super::super::{Order, OrderEvent, OrderStatus, OrderView, Orders};
use super::fixture::{added, at_home, changed, item, opened, placed, removed};

fn row(events: impl IntoIterator<Item = OrderEvent>) -> OrderView {
    let id = aggregate_id();
    let rows = rows::<Orders>().after::<Order>(id.as_str(), events);
    rows.row(id.as_str()).unwrap()
}

#[test]
fn a_row_shows_the_order_with_prices_subtotals_and_total() {
    let events = [
        opened(),
        added(1, "43", 1),
        added(2, "44", 2),
        added(3, "43", 4),
        changed(2, "44", 2, 3),
        removed(3, "43", 4),
        at_home(),
        placed(&[(1, "43", 1), (2, "44", 3)], 4050),
    ];
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let ordered = |number: u128, menu_item: &str, description: &str, price: i64, quantity: i64| -> Value {
        json!({
            "order_item": item(number).to_string(),
            "menu_item": menu_item,
            "description": description,
            "price": usd(price),
            "quantity": quantity,
            "subtotal": usd(price * quantity),
        })
    };
    assert_eq!(
        serde_json::to_value(row(events)).unwrap(),
        json!({
            "id": aggregate_id(),
            "customer": "/customers/7",
            "status": "PLACED",
            "items": [
                ordered(1, "/menu/items/43", "Soup", 450, 1),
                ordered(2, "/menu/items/44", "Steak", 1200, 3),
            ],
            "total": usd(4050),
            "delivery_address":
                { "address": "/customers/7/addresses/home", "nickname": "home", "location": "1 Main St" },
            "opened_at": "1970-01-01T00:00:01.000Z",
            "placed_at": "1970-01-01T00:00:08.000Z",
            "cancelled_at": null,
        })
    );
}

#[test]
fn an_empty_order_has_no_total() {
    assert_eq!(row([opened()]).total, None);
    assert_eq!(
        row([opened(), added(1, "43", 1), removed(1, "43", 1)]).total,
        None
    );
}

#[test]
fn a_cancelled_order_stays_visible_with_what_was_in_it() {
    let row = row([opened(), added(1, "43", 1), OrderCancelled {}]);
    assert_eq!(row.status, OrderStatus::Cancelled);
    assert_eq!(row.items.len(), 1);
    assert_eq!(row.cancelled_at.as_deref(), Some("1970-01-01T00:00:03.000Z"));
}
