//! The restaurant that the tests are in, and short names for what happens in it.

use foldline_core::Link;
use foldline_core::testing::{Given, aggregate_id, given};
use uuid::Uuid;

use super::super::OrderCommand::{
    AddItemToOrder, ChangeItemQuantity, OpenOrder, RemoveItemFromOrder, SetDeliveryAddress,
};
use super::super::OrderEvent::{
    DeliveryAddressSet, ItemAddedToOrder, ItemQuantityChanged, ItemRemovedFromOrder, OrderOpened, OrderPlaced,
};
use super::super::{Order, OrderCommand, OrderEvent, OrderedItem, ToOrderItem};
use crate::restaurant::Money;
use crate::restaurant::customers::{Customer, CustomerEvent};
use crate::restaurant::menu::{MenuEvent, MenuItem};

pub(super) fn money(amount: i64, currency: &str) -> Money {
    let currency = currency.to_owned();
    Money { amount, currency }
}

/// What items 43 and 44 cost.
pub(super) fn price_of(menu_item: &str) -> Money {
    money(if menu_item == "43" { 450 } else { 1200 }, "USD")
}

/// These events of the order, in the restaurant that is described above.
pub(super) fn restaurant(events: impl IntoIterator<Item = OrderEvent>) -> Given<Order> {
    let on_menu = |description: &str, price: Money| {
        let description = description.to_owned();
        MenuEvent::MenuItemAdded { description, price }
    };
    let customer = |email: &str, location: &str| {
        let (email, token) = (email.into(), String::new());
        let (nickname, location) = ("home".into(), location.into());
        let added = CustomerEvent::AddressAdded { nickname, location };
        [CustomerEvent::CustomerSignedUp { email, token }, added]
    };
    given(events)
        .and::<MenuItem>("43", [on_menu("Soup", price_of("43"))])
        .and::<MenuItem>("44", [on_menu("Steak", price_of("44"))])
        .and::<MenuItem>(
            "45",
            [on_menu("Eel", money(900, "USD")), MenuEvent::MenuItemRemoved {}],
        )
        .and::<MenuItem>("46", [on_menu("Wurst", money(300, "EUR"))])
        .and::<Customer>("7", customer("ada@example.org", "1 Main St"))
        .and::<Customer>("8", customer("bea@example.org", "2 Side St"))
}

// Commands

pub(super) fn open(customer: &str) -> OrderCommand {
    let customer = Link::new(customer);
    OpenOrder { customer }
}

pub(super) fn add(menu_item: &str, quantity: i32) -> OrderCommand {
    let menu_item = Link::new(menu_item);
    AddItemToOrder { menu_item, quantity }
}

/// The link to an item of this order. Its id is made of the number, unlike that of any menu item.
pub(super) fn item(number: u128) -> Link<ToOrderItem> {
    Link::to([aggregate_id().as_str(), &Uuid::from_u128(number).to_string()])
}

pub(super) fn change(number: u128, quantity: i32) -> OrderCommand {
    let order_item = item(number);
    ChangeItemQuantity { order_item, quantity }
}

pub(super) fn remove(number: u128) -> OrderCommand {
    let order_item = item(number);
    RemoveItemFromOrder { order_item }
}

pub(super) fn deliver_to(address: &str) -> OrderCommand {
    let address = Link::new(address);
    SetDeliveryAddress { address }
}

// Events

pub(super) fn opened() -> OrderEvent {
    let customer_id = "7".parse().unwrap();
    OrderOpened { customer_id }
}

pub(super) fn added(number: u128, menu_item: &str, quantity: i32) -> OrderEvent {
    ItemAddedToOrder {
        order_item_id: Uuid::from_u128(number),
        menu_item_id: menu_item.parse().unwrap(),
        description: if menu_item == "43" { "Soup" } else { "Steak" }.to_owned(),
        price: price_of(menu_item),
        quantity,
        subtotal: price_of(menu_item).times(quantity),
    }
}

pub(super) fn changed(number: u128, menu_item: &str, previous_quantity: i32, quantity: i32) -> OrderEvent {
    ItemQuantityChanged {
        order_item_id: Uuid::from_u128(number),
        menu_item_id: menu_item.parse().unwrap(),
        price: price_of(menu_item),
        previous_quantity,
        quantity,
    }
}

pub(super) fn removed(number: u128, menu_item: &str, quantity: i32) -> OrderEvent {
    ItemRemovedFromOrder {
        order_item_id: Uuid::from_u128(number),
        menu_item_id: menu_item.parse().unwrap(),
        price: price_of(menu_item),
        quantity,
    }
}

pub(super) fn delivered_to(location: &str) -> OrderEvent {
    DeliveryAddressSet {
        customer_id: "7".parse().unwrap(),
        nickname: "home".into(),
        location: location.into(),
    }
}

pub(super) fn at_home() -> OrderEvent {
    delivered_to("1 Main St")
}

pub(super) fn placed(items: &[(u128, &str, i32)], total: i64) -> OrderEvent {
    let ordered = |(number, menu_item, quantity): &(u128, &str, i32)| OrderedItem {
        order_item_id: Uuid::from_u128(*number),
        menu_item_id: menu_item.parse().unwrap(),
        price: price_of(menu_item),
        quantity: *quantity,
    };
    OrderPlaced {
        customer_id: "7".parse().unwrap(),
        items: items.iter().map(ordered).collect(),
        total: money(total, "USD"),
    }
}
