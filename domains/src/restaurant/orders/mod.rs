//! What a customer orders, and where it goes.
//!
//! - An order is opened for a customer who exists, and only an open one can change.
//! - An item is added from the menu, if it is on sale there, at the price that the menu says at that moment:
//!   later changes of the menu change no order. Each addition is an item of its own, with an id of its own.
//! - Quantities are more than 0. To change one to what it is already changes nothing.
//! - Only an item that is in the order can be changed or removed.
//! - All items of an order are priced in one currency, or it had no total. It holds at most [`ITEMS_MAX`] items,
//!   or its last event would outgrow what a record may be.
//! - It is delivered to an address of its own customer. It keeps the location as it was when it was set.
//! - To be placed it needs at least one item, and an address. A placed or cancelled order cannot change.
//!
//! ```text
//!   OpenOrder         PlaceOrder
//!  ----------> open ------------> placed
//!             ^    |
//!             |    | CancelOrder
//!             '----'------------> cancelled
//!   AddItemToOrder, ChangeItemQuantity, RemoveItemFromOrder, SetDeliveryAddress
//! ```

mod commands;
mod events;
mod order;
mod rejections;
mod upcasters;
mod views;

#[cfg(test)]
mod tests;

pub use commands::OrderCommand;
pub use events::{OrderEvent, OrderedItem};
pub use order::{Contents, Delivery, ITEMS_MAX, Item, Order};
pub use rejections::OrderRejection;
pub use views::{DeliveryAddressView, OrderItemView, OrderStatus, OrderView, Orders};

use foldline_core::LinkTarget;

/// A [`Link`](foldline_core::Link) to an order.
pub struct ToOrder;

impl LinkTarget for ToOrder {
    const TEMPLATE: &'static str = "/orders/{id}";
}

/// A [`Link`](foldline_core::Link) to an item of an order.
pub struct ToOrderItem;

impl LinkTarget for ToOrderItem {
    const TEMPLATE: &'static str = "/orders/{id}/items/{item}";
}
