use foldline_core::{AggregateId, Envelope, Field, Link, Personal, Projection, Source, from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Order, OrderEvent, ToOrderItem};
use crate::restaurant::Money;
use crate::restaurant::customers::{ToAddress, ToCustomer};
use crate::restaurant::menu::ToMenuItem;

/// The orders, priced as they were when each item was added. A cancelled order stays visible.
pub struct Orders;

/// An order, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderView {
    /// Its id.
    pub id: String,
    /// Who orders: a link.
    pub customer: String,
    /// How far it is.
    pub status: OrderStatus,
    /// What is in it, in the order of addition.
    pub items: Vec<OrderItemView>,
    /// What it costs; nothing, if there is nothing in it.
    pub total: Option<Money>,
    /// Where it goes.
    pub delivery_address: Option<DeliveryAddressView>,
    /// When it was opened.
    pub opened_at: String,
    /// When it was placed.
    pub placed_at: Option<String>,
    /// When it was cancelled.
    pub cancelled_at: Option<String>,
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// It can change.
    Open,
    /// It is final.
    Placed,
    /// It was given up.
    Cancelled,
}

/// An item of an order, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderItemView {
    /// The link to it, for `ChangeItemQuantity` and `RemoveItemFromOrder`.
    pub order_item: String,
    /// The item on the menu: a link.
    pub menu_item: String,
    /// How the menu described it when it was added.
    pub description: String,
    /// What one of it cost when it was added.
    pub price: Money,
    /// How many of it.
    pub quantity: i32,
    /// Price times quantity.
    pub subtotal: Money,
}

/// Where an order goes, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryAddressView {
    /// The customer's address: a link. The customer may have removed it since.
    pub address: String,
    /// How the customer calls it.
    pub nickname: Personal,
    /// Where it was when it was set.
    pub location: Personal,
}

impl Projection for Orders {
    const NAME: &'static str = "orders";
    const PATH: &'static str = "/orders";
    const FIELDS: &'static [Field] = &[
        Field::text("customer"),
        Field::text("status"),
        Field::number("total.amount"),
        Field::text("total.currency"),
        Field::text("opened_at"),
        Field::text("placed_at"),
        Field::text("cancelled_at"),
    ];
    const LISTS: &'static [(&'static str, &'static [Field])] = &[(
        "items",
        &[
            Field::text("order_item"),
            Field::text("menu_item"),
            Field::text("description"),
            Field::number("price.amount"),
            Field::number("quantity"),
            Field::number("subtotal.amount"),
        ],
    )];

    type View = OrderView;

    fn owned(owner: &str) -> Option<(&'static str, String)> {
        Some(("customer", Link::<ToCustomer>::to([owner]).to_string()))
    }

    fn sources() -> Vec<Source<OrderView>> {
        vec![from::<Order, _>(
            |event| vec![event.meta.aggregate_id.clone()],
            project,
        )]
    }
}

fn project(row: Option<OrderView>, event: &Envelope<OrderEvent>, id: &AggregateId) -> Option<OrderView> {
    let at = event.meta.occurred_at.to_string();
    let Some(mut row) = row else {
        return opened(&event.event, id, at);
    };
    match &event.event {
        // The row is its trace already.
        OrderEvent::OrderOpened { .. } => {}
        OrderEvent::ItemAddedToOrder { .. }
        | OrderEvent::ItemQuantityChanged { .. }
        | OrderEvent::ItemRemovedFromOrder { .. } => row.change_items(&event.event, id),
        OrderEvent::DeliveryAddressSet {
            customer_id,
            nickname,
            location,
        } => {
            row.delivery_address = Some(DeliveryAddressView {
                address: Link::<ToAddress>::to([customer_id.as_str(), nickname.kept()]).to_string(),
                nickname: nickname.clone(),
                location: location.clone(),
            });
        }
        OrderEvent::OrderPlaced { .. } => {
            row.status = OrderStatus::Placed;
            row.placed_at = Some(at);
        }
        OrderEvent::OrderCancelled {} => {
            row.status = OrderStatus::Cancelled;
            row.cancelled_at = Some(at);
        }
    }
    Some(row)
}

/// An order's first event makes the row; no other one comes without it.
fn opened(event: &OrderEvent, id: &AggregateId, at: String) -> Option<OrderView> {
    let OrderEvent::OrderOpened { customer_id } = event else {
        return None;
    };
    Some(OrderView {
        id: id.to_string(),
        customer: Link::<ToCustomer>::to([customer_id.as_str()]).to_string(),
        status: OrderStatus::Open,
        items: vec![],
        total: None,
        delivery_address: None,
        opened_at: at,
        placed_at: None,
        cancelled_at: None,
    })
}

impl OrderView {
    fn change_items(&mut self, event: &OrderEvent, id: &AggregateId) {
        match event {
            OrderEvent::ItemAddedToOrder {
                order_item_id,
                menu_item_id,
                description,
                price,
                quantity,
                subtotal,
            } => {
                self.items.push(OrderItemView {
                    order_item: item_link(id, order_item_id),
                    menu_item: Link::<ToMenuItem>::to([menu_item_id.as_str()]).to_string(),
                    description: description.clone(),
                    price: price.clone(),
                    quantity: *quantity,
                    subtotal: subtotal.clone(),
                });
            }
            OrderEvent::ItemQuantityChanged {
                order_item_id,
                quantity,
                ..
            } => {
                let changed = item_link(id, order_item_id);
                if let Some(item) = self.items.iter_mut().find(|item| item.order_item == changed) {
                    item.quantity = *quantity;
                    item.subtotal = item.price.times(*quantity);
                }
            }
            OrderEvent::ItemRemovedFromOrder { order_item_id, .. } => {
                let removed = item_link(id, order_item_id);
                self.items.retain(|item| item.order_item != removed);
            }
            _ => {}
        }
        self.total = Money::sum(self.items.iter().map(|item| item.subtotal.clone()));
    }
}

fn item_link(order_id: &AggregateId, order_item_id: &Uuid) -> String {
    Link::<ToOrderItem>::to([order_id.as_str(), &order_item_id.to_string()]).to_string()
}
