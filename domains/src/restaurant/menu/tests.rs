use foldline_core::Rejection;
use foldline_core::testing::{given, rows};
use proptest::prelude::*;
use uuid::Uuid;

use super::MenuCommand::{AddMenuItem, ModifyMenuItem, RemoveMenuItem};
use super::MenuEvent::{MenuItemAdded, MenuItemModified, MenuItemRemoved};
use super::{MenuCommand, MenuEvent, MenuItem, MenuItemStatus, MenuItems, MenuRejection};
use crate::restaurant::orders::{Order, OrderEvent, OrderedItem};
use crate::restaurant::table::{any_commands_keep_the_rules, every_command_in_every_state};
use crate::restaurant::{InvalidPrice, Money};

fn usd(amount: i64) -> Money {
    let currency = "USD".to_owned();
    Money { amount, currency }
}

fn add(description: &str, price: Money) -> MenuCommand {
    let description = description.to_owned();
    AddMenuItem { description, price }
}

fn modify(description: &str, price: Money) -> MenuCommand {
    let description = description.to_owned();
    ModifyMenuItem { description, price }
}

fn added(description: &str, price: Money) -> MenuEvent {
    let description = description.to_owned();
    MenuItemAdded { description, price }
}

fn modified(description: &str, price: Money) -> MenuEvent {
    let description = description.to_owned();
    MenuItemModified { description, price }
}

fn soup() -> MenuEvent {
    added("Soup", usd(450))
}

#[test]
fn an_item_is_added_with_its_description_and_price() {
    given::<MenuItem>([])
        .when(add("Soup", usd(450)))
        .then([added("Soup", usd(450))]);
}

#[test]
fn an_item_is_added_once() {
    given::<MenuItem>([soup()])
        .when(add("Soup", usd(450)))
        .then_rejects(MenuRejection::AlreadyAdded);
    given::<MenuItem>([soup(), MenuItemRemoved {}])
        .when(add("Soup", usd(450)))
        .then_rejects(MenuRejection::AlreadyAdded);
}

#[test]
fn a_description_is_not_empty() {
    for empty in ["", "  \t"] {
        given::<MenuItem>([])
            .when(add(empty, usd(450)))
            .then_rejects(MenuRejection::EmptyDescription);
        given::<MenuItem>([soup()])
            .when(modify(empty, usd(450)))
            .then_rejects(MenuRejection::EmptyDescription);
    }
}

#[test]
fn a_price_is_more_than_nothing() {
    for amount in [0, -1] {
        let rejection = MenuRejection::Price(InvalidPrice::NotPositive { amount });
        given::<MenuItem>([])
            .when(add("Soup", usd(amount)))
            .then_rejects(rejection.clone());
        given::<MenuItem>([soup()])
            .when(modify("Soup", usd(amount)))
            .then_rejects(rejection);
    }
}

#[test]
fn a_price_is_in_a_currency() {
    let currency = "dollars".to_owned();
    let price = Money {
        amount: 450,
        currency: currency.clone(),
    };
    given::<MenuItem>([])
        .when(add("Soup", price))
        .then_rejects(MenuRejection::Price(InvalidPrice::Currency { currency }));
}

#[test]
fn an_item_is_modified() {
    given::<MenuItem>([soup()])
        .when(modify("Pumpkin soup", usd(500)))
        .then([modified("Pumpkin soup", usd(500))]);
}

#[test]
fn a_modification_to_the_same_values_changes_nothing() {
    given::<MenuItem>([soup()])
        .when(modify("Soup", usd(450)))
        .then_nothing();
    given::<MenuItem>([soup(), modified("Soup", usd(500))])
        .when(modify("Soup", usd(500)))
        .then_nothing();
}

#[test]
fn an_item_is_removed() {
    given::<MenuItem>([soup()])
        .when(RemoveMenuItem {})
        .then([MenuItemRemoved {}]);
}

#[test]
fn a_removed_item_is_neither_modified_nor_removed_again() {
    let removed = || given::<MenuItem>([soup(), MenuItemRemoved {}]);
    removed()
        .when(modify("Pumpkin soup", usd(500)))
        .then_rejects(MenuRejection::NotOnSale);
    removed()
        .when(RemoveMenuItem {})
        .then_rejects(MenuRejection::NotOnSale);
}

#[test]
fn each_command_in_each_state() {
    every_command_in_every_state::<MenuItem>(
        given,
        vec![
            ("unknown", vec![]),
            ("on sale", vec![soup()]),
            ("removed", vec![soup(), MenuItemRemoved {}]),
        ],
        &[
            add("Salad", usd(700)),
            modify("Salad", usd(700)),
            RemoveMenuItem {},
        ],
        "unknown, AddMenuItem: MenuItemAdded
         unknown, ModifyMenuItem: menu-item-removed
         unknown, RemoveMenuItem: menu-item-removed
         on sale, AddMenuItem: menu-item-already-added
         on sale, ModifyMenuItem: MenuItemModified
         on sale, RemoveMenuItem: MenuItemRemoved
         removed, AddMenuItem: menu-item-already-added
         removed, ModifyMenuItem: menu-item-removed
         removed, RemoveMenuItem: menu-item-removed",
    );
}

#[test]
fn the_codes_are_those_of_its_rejections() {
    let all = [
        MenuRejection::EmptyDescription,
        MenuRejection::Price(InvalidPrice::NotPositive { amount: 0 }),
        MenuRejection::Price(InvalidPrice::Currency {
            currency: String::new(),
        }),
        MenuRejection::AlreadyAdded,
        MenuRejection::NotOnSale,
    ];
    assert_eq!(all.map(|rejection| rejection.code()), MenuRejection::CODES);
}

// The view.

fn placed(items: &[(&str, i32)]) -> OrderEvent {
    let item = |(menu_item_id, quantity): &(&str, i32)| OrderedItem {
        order_item_id: Uuid::nil(),
        menu_item_id: menu_item_id.parse().unwrap(),
        price: usd(450),
        quantity: *quantity,
    };
    OrderEvent::OrderPlaced {
        customer_id: "7".parse().unwrap(),
        items: items.iter().map(item).collect(),
        total: usd(1),
    }
}

fn item_added(menu_item_id: &str) -> OrderEvent {
    OrderEvent::ItemAddedToOrder {
        order_item_id: Uuid::nil(),
        menu_item_id: menu_item_id.parse().unwrap(),
        description: "Soup".to_owned(),
        price: usd(450),
        quantity: 5,
        subtotal: usd(2250),
    }
}

#[test]
fn a_row_shows_the_item_as_it_is() {
    let rows = rows::<MenuItems>().after::<MenuItem>("43", [soup()]);
    let row = rows.row("43").unwrap();
    assert_eq!((row.id.as_str(), row.description.as_str()), ("43", "Soup"));
    assert_eq!((row.price, row.status), (usd(450), MenuItemStatus::OnSale));

    let rows = rows.after::<MenuItem>("43", [modified("Pumpkin soup", usd(500)), MenuItemRemoved {}]);
    let row = rows.row("43").unwrap();
    assert_eq!(
        (row.description.as_str(), row.price, row.status),
        ("Pumpkin soup", usd(500), MenuItemStatus::Removed)
    );
}

#[test]
fn popularity_is_the_sum_of_the_quantities_in_placed_orders() {
    let rows = rows::<MenuItems>()
        .after::<MenuItem>("43", [soup()])
        .after::<Order>("o-1", [placed(&[("43", 2), ("44", 7), ("43", 1)])])
        .after::<Order>("o-2", [placed(&[("43", 4)])]);
    assert_eq!(rows.row("43").unwrap().popularity, 7);
}

#[test]
fn an_order_that_is_not_placed_makes_nothing_popular() {
    let rows = rows::<MenuItems>()
        .after::<MenuItem>("43", [soup()])
        .after::<Order>("o-1", [item_added("43")])
        .after::<Order>("o-2", [item_added("43"), OrderEvent::OrderCancelled {}]);
    assert_eq!(rows.row("43").unwrap().popularity, 0);
}

#[test]
fn an_order_that_comes_before_its_item_is_counted_and_shows_nothing_yet() {
    let rows = rows::<MenuItems>().after::<Order>("o-1", [placed(&[("43", 2)])]);
    assert_eq!(rows.row("43"), None);
    let rows = rows.after::<MenuItem>("43", [soup()]);
    assert_eq!(rows.row("43").unwrap().popularity, 2);
}

// Properties.

fn price() -> impl Strategy<Value = Money> {
    (-1..3_i64, prop_oneof![Just("USD"), Just("EUR"), Just("no")]).prop_map(|(amount, currency)| Money {
        amount,
        currency: currency.to_owned(),
    })
}

fn description() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Soup".to_owned()),
        Just("Salad".to_owned()),
        Just(String::new())
    ]
}

fn command() -> impl Strategy<Value = MenuCommand> {
    prop_oneof![
        (description(), price()).prop_map(|(description, price)| AddMenuItem { description, price }),
        (description(), price()).prop_map(|(description, price)| ModifyMenuItem { description, price }),
        Just(RemoveMenuItem {}),
    ]
}

fn event() -> impl Strategy<Value = MenuEvent> {
    prop_oneof![
        (description(), price()).prop_map(|(description, price)| MenuItemAdded { description, price }),
        (description(), price()).prop_map(|(description, price)| MenuItemModified { description, price }),
        Just(MenuItemRemoved {}),
    ]
}

proptest! {
    #[test]
    fn any_events_in_any_order_are_folded(events in prop::collection::vec(event(), 0..9), command in command()) {
        given::<MenuItem>(events.clone()).state();
        // Whatever the decision is, it is one.
        let _ = given::<MenuItem>(events).when(command).decided();
    }

    #[test]
    fn what_is_accepted_was_possible_and_happens_once(commands in prop::collection::vec(command(), 0..9)) {
        any_commands_keep_the_rules::<MenuItem>(given, commands, &[]);
    }

    #[test]
    fn the_row_is_the_same_however_menu_and_orders_interleave(
        menu in prop::collection::vec(event(), 1..5),
        orders in prop::collection::vec(1..9, 0..5),
        order in prop::collection::vec(any::<bool>(), 9),
    ) {
        let separate = rows::<MenuItems>()
            .after::<MenuItem>("43", menu.clone())
            .after::<Order>("o", orders.iter().map(|quantity| placed(&[("43", *quantity)])));
        let (mut menu, mut orders) = (menu.into_iter(), orders.into_iter());
        let mut mixed = rows::<MenuItems>();
        for menu_first in order {
            let next = if menu_first { menu.next() } else { None };
            mixed = match next {
                Some(event) => mixed.after::<MenuItem>("43", [event]),
                None => mixed.after::<Order>("o", orders.next().map(|quantity| placed(&[("43", quantity)]))),
            };
        }
        let mixed = mixed
            .after::<Order>("o", orders.map(|quantity| placed(&[("43", quantity)])))
            .after::<MenuItem>("43", menu);
        prop_assert_eq!(mixed.row("43"), separate.row("43"));
    }
}
