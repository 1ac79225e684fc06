use foldline_core::testing::aggregate_id;
use foldline_core::{Aggregate, Link};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::OrderCommand::{
    AddItemToOrder, CancelOrder, ChangeItemQuantity, OpenOrder, PlaceOrder, RemoveItemFromOrder,
    SetDeliveryAddress,
};
use super::super::OrderEvent::{OrderCancelled, OrderPlaced};
use super::super::{Order, OrderCommand, OrderEvent, ToOrderItem};
use super::fixture::{added, at_home, changed, opened, placed, removed, restaurant};
use crate::restaurant::table::any_commands_keep_the_rules;

/// An item that the n-th command may have made: see `any_commands_keep_the_rules`.
fn order_item() -> impl Strategy<Value = Link<ToOrderItem>> {
    (0..6_u128).prop_map(|number| {
        let command_id = Uuid::from_u128(2 * number);
        let item = Uuid::new_v5(&command_id, &0_u32.to_be_bytes());
        Link::to([aggregate_id().as_str(), &item.to_string()])
    })
}

fn command() -> impl Strategy<Value = OrderCommand> {
    let menu_item = prop::sample::select(vec!["43", "44", "45", "46", "47"]);
    prop_oneof![
        4 => Just(OpenOrder { customer: Link::new("/customers/7") }),
        4 => (menu_item, 0..4).prop_map(|(id, quantity)| AddItemToOrder { menu_item: Link::to([id]), quantity }),
        2 => (order_item(), 0..4).prop_map(|(order_item, quantity)| ChangeItemQuantity { order_item, quantity }),
        2 => order_item().prop_map(|order_item| RemoveItemFromOrder { order_item }),
        2 => prop::sample::select(vec!["home", "work"])
            .prop_map(|nickname| SetDeliveryAddress { address: Link::to(["7", nickname]) }),
        1 => Just(PlaceOrder {}),
        1 => Just(CancelOrder {}),
    ]
}

fn event() -> impl Strategy<Value = OrderEvent> {
    let menu_item = || prop::sample::select(vec!["43", "44"]);
    prop_oneof![
        Just(opened()),
        (0..3_u128, menu_item(), any::<i32>()).prop_map(|(number, id, count)| added(number, id, count)),
        (0..3_u128, menu_item(), any::<i32>()).prop_map(|(number, id, count)| changed(number, id, 1, count)),
        (0..3_u128, menu_item(), any::<i32>()).prop_map(|(number, id, count)| removed(number, id, count)),
        Just(at_home()),
        Just(placed(&[], 0)),
        Just(OrderCancelled {}),
    ]
}

proptest! {
    #[test]
    fn any_events_in_any_order_are_folded(events in prop::collection::vec(event(), 0..12), command in command()) {
        restaurant(events.clone()).state().possible();
        // Whatever the decision is, it is one.
        let _ = restaurant(events).when(command).decided();
    }

    #[test]
    fn what_is_accepted_was_possible_and_happens_once(commands in prop::collection::vec(command(), 0..12)) {
        any_commands_keep_the_rules::<Order>(restaurant, commands, &["AddItemToOrder"]);
    }

    #[test]
    fn nothing_happens_to_an_order_after_its_end(
        events in prop::collection::vec(event(), 0..12),
        more in prop::collection::vec(event(), 0..6),
    ) {
        let order = restaurant(events).state();
        let mut later = order.clone();
        more.iter().for_each(|event| later.evolve(event));
        if matches!(order, Order::Placed(_) | Order::Cancelled(_)) {
            prop_assert_eq!(later, order);
        }
    }

    #[test]
    fn a_placed_order_has_items_and_a_total_that_is_their_sum(commands in prop::collection::vec(command(), 0..12)) {
        let mut history = Vec::new();
        for (number, command) in commands.into_iter().enumerate() {
            let id = Uuid::from_u128(2 * number as u128);
            history.extend(restaurant(history.clone()).command_id(id).when(command).decided().unwrap_or_default());
        }
        if let Some(OrderPlaced { items, total, .. }) = history.last() {
            prop_assert!(!items.is_empty());
            let sum: i64 = items.iter().map(|item| item.price.amount * i64::from(item.quantity)).sum();
            prop_assert_eq!(total.amount, sum);
        }
    }
}
