use foldline_core::Link;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToOrderItem;
use crate::restaurant::customers::{ToAddress, ToCustomer};
use crate::restaurant::menu::ToMenuItem;

/// What can be asked of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum OrderCommand {
    /// Opens a new order.
    OpenOrder {
        /// Who orders: a link, `/customers/{id}`.
        customer: Link<ToCustomer>,
    },
    /// Adds an item from the menu, at the price of this moment.
    AddItemToOrder {
        /// What is ordered: a link, `/menu/items/{id}`.
        menu_item: Link<ToMenuItem>,
        /// How many of it; more than 0.
        quantity: i32,
    },
    /// Orders more or fewer of an item.
    ChangeItemQuantity {
        /// Which item of this order: a link, `/orders/{id}/items/{item}`.
        order_item: Link<ToOrderItem>,
        /// How many of it from now on; more than 0.
        quantity: i32,
    },
    /// Takes an item out of the order.
    RemoveItemFromOrder {
        /// Which item of this order: a link, `/orders/{id}/items/{item}`.
        order_item: Link<ToOrderItem>,
    },
    /// Says where the order goes.
    SetDeliveryAddress {
        /// An address of the order's customer: a link, `/customers/{id}/addresses/{nickname}`.
        address: Link<ToAddress>,
    },
    /// Orders what is in the order, for good.
    PlaceOrder {},
    /// Gives the order up, for good.
    CancelOrder {},
}
