//! Given / when / then for each rule. In all of these, the order's customer is 7, who lives at home; customer 8
//! lives elsewhere. The menu has the items 43 and 44, 45 was removed from it, and 46 is priced in euro.

mod fixture;
mod properties;
mod views;

use foldline_core::testing::{aggregate_id, new_id};
use foldline_core::{Aggregate, Link, Rejection};
use uuid::Uuid;

use self::fixture::{
    add, added, at_home, change, changed, deliver_to, delivered_to, item, money, open, opened, placed,
    remove, removed, restaurant,
};
use super::OrderCommand::{CancelOrder, ChangeItemQuantity, PlaceOrder, RemoveItemFromOrder};
use super::OrderEvent::{ItemAddedToOrder, OrderCancelled};
use super::{ITEMS_MAX, Order, OrderEvent, OrderRejection};
use crate::restaurant::menu::{MenuEvent, MenuItem};
use crate::restaurant::table::every_command_in_every_state;

// The talk's own example

#[test]
fn opened_43_added_44_added_twice_43_removed_and_placed_is_placed() {
    let history = [
        opened(),
        added(1, "43", 1),
        added(2, "44", 2),
        removed(1, "43", 1),
        at_home(),
    ];
    let order = restaurant(history)
        .when(PlaceOrder {})
        .then_state([placed(&[(2, "44", 2)], 2400)]);
    assert!(matches!(order, Order::Placed(_)));
}

// OpenOrder

#[test]
fn an_order_is_opened_for_a_customer() {
    for link in ["/customers/7", "http://127.0.0.1:8080/customers/7"] {
        restaurant([]).when(open(link)).then([opened()]);
    }
}

#[test]
fn an_order_is_opened_once() {
    restaurant([opened()])
        .when(open("/customers/7"))
        .then_rejects(OrderRejection::AlreadyOpened);
}

#[test]
fn an_order_is_not_opened_for_a_customer_who_does_not_exist() {
    let id = "9".parse().unwrap();
    restaurant([])
        .when(open("/customers/9"))
        .then_rejects(OrderRejection::UnknownCustomer { id });
}

// AddItemToOrder

#[test]
fn an_item_is_added_at_the_price_of_the_menu_under_an_id_of_its_own() {
    restaurant([opened()])
        .when(add("/menu/items/44", 2))
        .then([ItemAddedToOrder {
            order_item_id: new_id(0),
            menu_item_id: "44".parse().unwrap(),
            description: "Steak".to_owned(),
            price: money(1200, "USD"),
            quantity: 2,
            subtotal: money(2400, "USD"),
        }]);
}

#[test]
fn the_same_item_of_the_menu_added_again_is_another_item_of_the_order() {
    let order = restaurant([opened(), added(1, "43", 1), added(2, "43", 2), at_home()]);
    order
        .when(PlaceOrder {})
        .then([placed(&[(1, "43", 1), (2, "43", 2)], 1350)]);
}

#[test]
fn a_later_price_on_the_menu_changes_no_order() {
    let dearer = MenuEvent::MenuItemModified {
        description: "Soup".to_owned(),
        price: money(9900, "USD"),
    };
    restaurant([opened(), added(1, "43", 1), at_home()])
        .and::<MenuItem>("43", [dearer])
        .when(PlaceOrder {})
        .then([placed(&[(1, "43", 1)], 450)]);
}

#[test]
fn quantities_are_more_than_0() {
    for quantity in [0, -1, i32::MIN] {
        let rejection = OrderRejection::QuantityNotPositive { quantity };
        restaurant([opened()])
            .when(add("/menu/items/43", quantity))
            .then_rejects(rejection.clone());
        restaurant([opened(), added(1, "43", 1)])
            .when(change(1, quantity))
            .then_rejects(rejection);
    }
}

#[test]
fn an_item_that_was_never_on_the_menu_is_not_added() {
    let id = "47".parse().unwrap();
    restaurant([opened()])
        .when(add("/menu/items/47", 1))
        .then_rejects(OrderRejection::UnknownMenuItem { id });
}

#[test]
fn an_item_that_was_removed_from_the_menu_is_not_added() {
    let id = "45".parse().unwrap();
    restaurant([opened()])
        .when(add("/menu/items/45", 1))
        .then_rejects(OrderRejection::NotOnSale { id });
}

#[test]
fn the_items_of_an_order_are_priced_in_one_currency() {
    let mismatch = OrderRejection::OtherCurrency {
        order: "USD".to_owned(),
        item: "EUR".to_owned(),
    };
    restaurant([opened(), added(1, "43", 1)])
        .when(add("/menu/items/46", 1))
        .then_rejects(mismatch);
    let emptied = restaurant([opened(), added(1, "43", 1), removed(1, "43", 1)]);
    let decided = emptied.when(add("/menu/items/46", 1)).decided();
    assert_eq!(decided.map(|events| events.len()), Ok(1));
}

#[test]
fn an_order_holds_only_so_many_items() {
    let full = (1..=ITEMS_MAX as u128).map(|number| added(number, "43", 1));
    let full: Vec<_> = std::iter::once(opened()).chain(full).collect();
    restaurant(full.clone())
        .when(add("/menu/items/43", 1))
        .then_rejects(OrderRejection::Full);
    let possible = restaurant(full).state().possible();
    assert!(!possible.contains(&"AddItemToOrder"), "{possible:?}");
}

// ChangeItemQuantity, RemoveItemFromOrder

#[test]
fn the_quantity_of_an_item_is_changed() {
    restaurant([opened(), added(1, "43", 1), added(2, "44", 2)])
        .when(change(2, 5))
        .then([changed(2, "44", 2, 5)]);
}

#[test]
fn a_change_to_the_same_quantity_changes_nothing() {
    restaurant([opened(), added(1, "43", 1)])
        .when(change(1, 1))
        .then_nothing();
    restaurant([opened(), added(1, "43", 1), changed(1, "43", 1, 3)])
        .when(change(1, 3))
        .then_nothing();
}

#[test]
fn an_item_is_removed_with_what_there_was_of_it() {
    restaurant([opened(), added(1, "43", 1), changed(1, "43", 1, 3)])
        .when(remove(1))
        .then([removed(1, "43", 3)]);
}

#[test]
fn only_an_item_that_is_in_the_order_is_changed_or_removed() {
    let order = || {
        restaurant([
            opened(),
            added(1, "43", 1),
            removed(1, "43", 1),
            added(2, "44", 1),
        ])
    };
    let of_another_order = || Link::to(["o-2", &Uuid::from_u128(2).to_string()]);
    let no_uuid = || Link::to([aggregate_id().as_str(), "43"]);
    for order_item in [item(1), item(3), of_another_order(), no_uuid()] {
        let quantity = 2;
        order()
            .when(RemoveItemFromOrder {
                order_item: order_item.clone(),
            })
            .then_rejects(OrderRejection::ItemNotInOrder);
        order()
            .when(ChangeItemQuantity { order_item, quantity })
            .then_rejects(OrderRejection::ItemNotInOrder);
    }
}

// SetDeliveryAddress

#[test]
fn an_address_of_the_customer_is_set_with_its_location() {
    restaurant([opened()])
        .when(deliver_to("/customers/7/addresses/home"))
        .then([at_home()]);
}

#[test]
fn an_address_of_another_customer_is_not_set() {
    for link in ["/customers/8/addresses/home", "/customers/9/addresses/home"] {
        restaurant([opened()])
            .when(deliver_to(link))
            .then_rejects(OrderRejection::OtherCustomersAddress);
    }
}

#[test]
fn an_address_that_the_customer_does_not_have_is_not_set() {
    restaurant([opened()])
        .when(deliver_to("/customers/7/addresses/work"))
        .then_rejects(OrderRejection::UnknownAddress);
}

#[test]
fn the_same_address_set_again_changes_nothing_unless_it_has_moved() {
    restaurant([opened(), at_home()])
        .when(deliver_to("/customers/7/addresses/home"))
        .then_nothing();
    restaurant([opened(), delivered_to("3 Old St")])
        .when(deliver_to("/customers/7/addresses/home"))
        .then([at_home()]);
}

// PlaceOrder, CancelOrder

#[test]
fn an_order_with_nothing_in_it_is_not_placed() {
    restaurant([opened(), at_home()])
        .when(PlaceOrder {})
        .then_rejects(OrderRejection::Empty);
    restaurant([opened(), at_home(), added(1, "43", 1), removed(1, "43", 1)])
        .when(PlaceOrder {})
        .then_rejects(OrderRejection::Empty);
}

#[test]
fn an_order_without_an_address_is_not_placed() {
    restaurant([opened(), added(1, "43", 1)])
        .when(PlaceOrder {})
        .then_rejects(OrderRejection::NoAddress);
}

#[test]
fn an_open_order_is_cancelled() {
    let cancelled = restaurant([opened(), added(1, "43", 1)])
        .when(CancelOrder {})
        .then_state([OrderCancelled {}]);
    assert!(matches!(cancelled, Order::Cancelled(_)));
}

// All of them

#[test]
fn a_link_of_another_form_is_refused_whatever_the_state() {
    let malformed = |field| OrderRejection::MalformedLink { field };
    let cases = [
        (open("7"), "customer"),
        (open("/menu/items/43"), "customer"),
        (add("/menu/items/", 1), "menu_item"),
        (add("/menu/items/4%2F3", 1), "menu_item"),
        (
            RemoveItemFromOrder {
                order_item: Link::new("/orders/1"),
            },
            "order_item",
        ),
        (
            ChangeItemQuantity {
                order_item: Link::new("1"),
                quantity: 1,
            },
            "order_item",
        ),
        (deliver_to("/customers/7/addresses"), "address"),
        (deliver_to("/customers/%20/addresses/home"), "address"),
    ];
    for (command, field) in cases {
        restaurant([])
            .when(command.clone())
            .then_rejects(malformed(field));
        restaurant([opened(), OrderCancelled {}])
            .when(command)
            .then_rejects(malformed(field));
    }
}

#[test]
fn each_command_in_each_state() {
    let filled = || vec![opened(), added(1, "43", 1)];
    let ready = || vec![opened(), added(1, "43", 1), at_home()];
    let then = |mut events: Vec<OrderEvent>, event| {
        events.push(event);
        events
    };
    every_command_in_every_state::<Order>(
        restaurant,
        vec![
            ("unknown", vec![]),
            ("empty", vec![opened()]),
            ("filled", filled()),
            ("ready", then(filled(), delivered_to("3 Old St"))),
            ("placed", then(ready(), placed(&[(1, "43", 1)], 450))),
            ("cancelled", then(ready(), OrderCancelled {})),
        ],
        &[
            open("/customers/7"),
            add("/menu/items/44", 2),
            change(1, 2),
            remove(1),
            deliver_to("/customers/7/addresses/home"),
            PlaceOrder {},
            CancelOrder {},
        ],
        include_str!("tests/states.txt").trim_end(),
    );
}

#[test]
fn the_codes_are_those_of_its_rejections() {
    let id = aggregate_id;
    let all = [
        OrderRejection::MalformedLink { field: "customer" },
        OrderRejection::QuantityNotPositive { quantity: 0 },
        OrderRejection::AlreadyOpened,
        OrderRejection::NotOpen { status: "placed" },
        OrderRejection::UnknownCustomer { id: id() },
        OrderRejection::UnknownMenuItem { id: id() },
        OrderRejection::NotOnSale { id: id() },
        OrderRejection::OtherCurrency {
            order: String::new(),
            item: String::new(),
        },
        OrderRejection::Full,
        OrderRejection::ItemNotInOrder,
        OrderRejection::OtherCustomersAddress,
        OrderRejection::UnknownAddress,
        OrderRejection::Empty,
        OrderRejection::NoAddress,
    ];
    assert_eq!(all.map(|rejection| rejection.code()), OrderRejection::CODES);
}
