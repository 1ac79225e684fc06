use foldline_core::{AggregateId, Personal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::restaurant::Money;

/// What can have happened to an order. Stored for ever: append, never edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum OrderEvent {
    /// A customer began an order.
    OrderOpened {
        /// The id of the customer.
        customer_id: AggregateId,
    },
    /// There is one more item in the order.
    ItemAddedToOrder {
        /// The id of the item within the order, a UUID.
        order_item_id: Uuid,
        /// The id of the item on the menu.
        menu_item_id: AggregateId,
        /// How the menu described it at that moment.
        description: String,
        /// What one of it cost at that moment, and costs in this order.
        price: Money,
        /// How many of it.
        quantity: i32,
        /// What they cost together: price times quantity.
        #[schemars(extend("x-since-revision" = 2))]
        subtotal: Money,
    },
    /// An item is ordered more or less often.
    ItemQuantityChanged {
        /// The id of the item within the order, a UUID.
        order_item_id: Uuid,
        /// The id of the item on the menu.
        menu_item_id: AggregateId,
        /// What one of it costs in this order.
        price: Money,
        /// How many of it there were.
        previous_quantity: i32,
        /// How many of it there are now.
        quantity: i32,
    },
    /// An item is no longer in the order.
    ItemRemovedFromOrder {
        /// The id of the item within the order, a UUID.
        order_item_id: Uuid,
        /// The id of the item on the menu.
        menu_item_id: AggregateId,
        /// What one of it cost in this order.
        price: Money,
        /// How many of it there were.
        quantity: i32,
    },
    /// It is known where the order goes.
    DeliveryAddressSet {
        /// The id of the customer, who is the order's.
        customer_id: AggregateId,
        /// How the customer calls the address.
        nickname: Personal,
        /// Where it was at that moment, and stays for this order.
        location: Personal,
    },
    /// The order is final. All that was ordered, in one event, so that nobody needs the others to count it.
    OrderPlaced {
        /// The id of the customer.
        customer_id: AggregateId,
        /// What was ordered, at least one item, in the order of addition.
        items: Vec<OrderedItem>,
        /// The sum of price times quantity over the items.
        total: Money,
    },
    /// The order was given up before it was placed.
    OrderCancelled {},
}

/// An item of a placed order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderedItem {
    /// The id of the item within the order, a UUID.
    pub order_item_id: Uuid,
    /// The id of the item on the menu.
    pub menu_item_id: AggregateId,
    /// What one of it costs in this order.
    pub price: Money,
    /// How many of it.
    pub quantity: i32,
}
