use foldline_core::{Aggregate, AggregateId, Context, Link, Personal, Upcaster};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{OrderCommand, OrderEvent, OrderRejection, OrderedItem, ToOrderItem, upcasters};
use crate::restaurant::Money;
use crate::restaurant::customers::{Customer, ToAddress, ToCustomer};
use crate::restaurant::menu::{MenuItem, ToMenuItem};

/// How many items an order holds at most. At 1000, its last event stays well below the megabyte that Kafka
/// takes as one record.
pub const ITEMS_MAX: usize = 1000;

/// An order, as the fold of its events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Order {
    /// Not there yet.
    #[default]
    Unknown,
    /// It can change.
    Open(Contents),
    /// It is final.
    Placed(Contents),
    /// It was given up.
    Cancelled(Contents),
}

/// What is in an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contents {
    customer_id: AggregateId,
    items: Vec<Item>,
    delivery: Option<Delivery>,
}

/// An item of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    order_item_id: Uuid,
    menu_item_id: AggregateId,
    price: Money,
    quantity: i32,
}

/// Where an order goes; the address is one of its customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    nickname: Personal,
    location: Personal,
}

type Decision = Result<Vec<OrderEvent>, OrderRejection>;

// Each decision says first what can never be right, then what the state forbids, then what it points at: so
// the answer does not change with the state for a command that is wrong in itself.
impl Aggregate for Order {
    const NAME: &'static str = "orders";
    const PATH: &'static str = "/orders";
    const CREATE: &'static str = "OpenOrder";
    const REFERENCES: &'static [&'static str] = &[MenuItem::NAME, Customer::NAME];
    const SUBJECT: &'static str = Customer::NAME;
    const REVISIONS: &'static [(&'static str, i32)] = &[("ItemAddedToOrder", 2)];
    const UPCASTERS: &'static [Upcaster] = upcasters::UPCASTERS;

    type Command = OrderCommand;
    type Event = OrderEvent;
    type Rejection = OrderRejection;

    fn decide(&self, command: &OrderCommand, context: &Context<'_>) -> Decision {
        match command {
            OrderCommand::OpenOrder { customer } => self.open(customer, context),
            OrderCommand::AddItemToOrder { menu_item, quantity } => {
                self.add_item(menu_item, *quantity, context)
            }
            OrderCommand::ChangeItemQuantity { order_item, quantity } => {
                self.change_quantity(order_item, *quantity, context)
            }
            OrderCommand::RemoveItemFromOrder { order_item } => self.remove_item(order_item, context),
            OrderCommand::SetDeliveryAddress { address } => self.set_address(address, context),
            OrderCommand::PlaceOrder {} => self.place(),
            OrderCommand::CancelOrder {} => self.contents().map(|_| vec![OrderEvent::OrderCancelled {}]),
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        *self = match (std::mem::take(self), event) {
            (Self::Unknown, OrderEvent::OrderOpened { customer_id }) => Self::Open(Contents {
                customer_id: customer_id.clone(),
                items: Vec::new(),
                delivery: None,
            }),
            (Self::Open(contents), OrderEvent::OrderPlaced { .. }) => Self::Placed(contents),
            (Self::Open(contents), OrderEvent::OrderCancelled {}) => Self::Cancelled(contents),
            (Self::Open(mut contents), event) => {
                contents.evolve(event);
                Self::Open(contents)
            }
            // No decision makes such an event: it changes nothing.
            (closed @ (Self::Unknown | Self::Placed(_) | Self::Cancelled(_)), _) => closed,
        };
    }

    /// The customer who ordered.
    fn owner(&self, id: &AggregateId) -> Option<String> {
        self.subject(id).map(|customer| customer.to_string())
    }

    /// The customer, whose address it goes to.
    fn subject(&self, _: &AggregateId) -> Option<AggregateId> {
        match self {
            Self::Unknown => None,
            Self::Open(contents) | Self::Placed(contents) | Self::Cancelled(contents) => {
                Some(contents.customer_id.clone())
            }
        }
    }

    fn named_owner(_: &AggregateId, command: &OrderCommand) -> Option<String> {
        match command {
            OrderCommand::OpenOrder { customer } => customer.id().map(|id| id.to_string()),
            _ => None,
        }
    }

    fn possible(&self) -> Vec<&'static str> {
        let contents = match self {
            Self::Unknown => return vec!["OpenOrder"],
            Self::Placed(_) | Self::Cancelled(_) => return vec![],
            Self::Open(contents) => contents,
        };
        let mut possible = vec!["SetDeliveryAddress", "CancelOrder"];
        if contents.items.len() < ITEMS_MAX {
            possible.push("AddItemToOrder");
        }
        if !contents.items.is_empty() {
            possible.extend(["ChangeItemQuantity", "RemoveItemFromOrder"]);
        }
        if contents.place().is_ok() {
            possible.push("PlaceOrder");
        }
        possible
    }
}

impl Order {
    fn contents(&self) -> Result<&Contents, OrderRejection> {
        let status = match self {
            Self::Open(contents) => return Ok(contents),
            Self::Unknown => "not opened",
            Self::Placed(_) => "placed",
            Self::Cancelled(_) => "cancelled",
        };
        Err(OrderRejection::NotOpen { status })
    }

    fn open(&self, customer: &Link<ToCustomer>, context: &Context<'_>) -> Decision {
        let customer_id = customer.id().ok_or(OrderRejection::malformed("customer"))?;
        if *self != Self::Unknown {
            return Err(OrderRejection::AlreadyOpened);
        }
        let unknown = || OrderRejection::UnknownCustomer {
            id: customer_id.clone(),
        };
        context.find::<Customer>(&customer_id).ok_or_else(unknown)?;
        Ok(vec![OrderEvent::OrderOpened { customer_id }])
    }

    fn add_item(&self, menu_item: &Link<ToMenuItem>, quantity: i32, context: &Context<'_>) -> Decision {
        let id = menu_item.id().ok_or(OrderRejection::malformed("menu_item"))?;
        check_quantity(quantity)?;
        let contents = self.contents()?;
        if contents.items.len() >= ITEMS_MAX {
            return Err(OrderRejection::Full);
        }
        let offer = match context.find::<MenuItem>(&id) {
            Some(MenuItem::OnSale(offer)) => offer,
            Some(MenuItem::Removed) => return Err(OrderRejection::NotOnSale { id }),
            Some(MenuItem::Unknown) | None => return Err(OrderRejection::UnknownMenuItem { id }),
        };
        contents.check_currency(&offer.price)?;
        Ok(vec![OrderEvent::ItemAddedToOrder {
            order_item_id: context.new_id(0),
            menu_item_id: id,
            description: offer.description,
            subtotal: offer.price.times(quantity),
            price: offer.price,
            quantity,
        }])
    }

    fn change_quantity(
        &self,
        order_item: &Link<ToOrderItem>,
        quantity: i32,
        context: &Context<'_>,
    ) -> Decision {
        let target = ItemTarget::of(order_item)?;
        check_quantity(quantity)?;
        let item = self.contents()?.item(&target, context)?.clone();
        if item.quantity == quantity {
            return Ok(vec![]);
        }
        Ok(vec![OrderEvent::ItemQuantityChanged {
            order_item_id: item.order_item_id,
            menu_item_id: item.menu_item_id,
            price: item.price,
            previous_quantity: item.quantity,
            quantity,
        }])
    }

    fn remove_item(&self, order_item: &Link<ToOrderItem>, context: &Context<'_>) -> Decision {
        let target = ItemTarget::of(order_item)?;
        let item = self.contents()?.item(&target, context)?.clone();
        Ok(vec![OrderEvent::ItemRemovedFromOrder {
            order_item_id: item.order_item_id,
            menu_item_id: item.menu_item_id,
            price: item.price,
            quantity: item.quantity,
        }])
    }

    fn set_address(&self, address: &Link<ToAddress>, context: &Context<'_>) -> Decision {
        let malformed = || OrderRejection::malformed("address");
        let customer_id = address.id().ok_or_else(malformed)?;
        let nickname = address
            .segments()
            .and_then(|segments| segments.into_iter().nth(1));
        let nickname = nickname.ok_or_else(malformed)?;
        let contents = self.contents()?;
        if customer_id != contents.customer_id {
            return Err(OrderRejection::OtherCustomersAddress);
        }
        let customer = context.find::<Customer>(&customer_id).unwrap_or_default();
        let Some((nickname, location)) = customer.address(&nickname) else {
            return Err(OrderRejection::UnknownAddress);
        };
        let wanted = Delivery {
            nickname: nickname.clone(),
            location: location.clone(),
        };
        if contents.delivery.as_ref() == Some(&wanted) {
            return Ok(vec![]);
        }
        let Delivery { nickname, location } = wanted;
        Ok(vec![OrderEvent::DeliveryAddressSet {
            customer_id,
            nickname,
            location,
        }])
    }

    fn place(&self) -> Decision {
        Ok(vec![self.contents()?.place()?])
    }
}

impl Contents {
    fn item(&self, target: &ItemTarget, context: &Context<'_>) -> Result<&Item, OrderRejection> {
        let is_it = |item: &&Item| item.order_item_id.to_string() == target.item;
        let found = self.items.iter().find(is_it);
        found
            .filter(|_| target.order_id == *context.aggregate_id)
            .ok_or(OrderRejection::ItemNotInOrder)
    }

    fn check_currency(&self, price: &Money) -> Result<(), OrderRejection> {
        match self.items.first() {
            Some(first) if first.price.currency != price.currency => Err(OrderRejection::OtherCurrency {
                order: first.price.currency.clone(),
                item: price.currency.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn place(&self) -> Result<OrderEvent, OrderRejection> {
        let subtotals = self.items.iter().map(|item| item.price.times(item.quantity));
        let total = Money::sum(subtotals).ok_or(OrderRejection::Empty)?;
        if self.delivery.is_none() {
            return Err(OrderRejection::NoAddress);
        }
        let ordered = |item: &Item| OrderedItem {
            order_item_id: item.order_item_id,
            menu_item_id: item.menu_item_id.clone(),
            price: item.price.clone(),
            quantity: item.quantity,
        };
        Ok(OrderEvent::OrderPlaced {
            customer_id: self.customer_id.clone(),
            items: self.items.iter().map(ordered).collect(),
            total,
        })
    }

    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::ItemAddedToOrder {
                order_item_id,
                menu_item_id,
                price,
                quantity,
                ..
            } => {
                self.items.push(Item {
                    order_item_id: *order_item_id,
                    menu_item_id: menu_item_id.clone(),
                    price: price.clone(),
                    quantity: *quantity,
                });
            }
            OrderEvent::ItemQuantityChanged {
                order_item_id,
                quantity,
                ..
            } => {
                let same = |item: &&mut Item| item.order_item_id == *order_item_id;
                if let Some(item) = self.items.iter_mut().find(same) {
                    item.quantity = *quantity;
                }
            }
            OrderEvent::ItemRemovedFromOrder { order_item_id, .. } => {
                self.items.retain(|item| item.order_item_id != *order_item_id);
            }
            OrderEvent::DeliveryAddressSet {
                nickname, location, ..
            } => {
                self.delivery = Some(Delivery {
                    nickname: nickname.clone(),
                    location: location.clone(),
                });
            }
            // These make a state of the order, or are its end.
            OrderEvent::OrderOpened { .. }
            | OrderEvent::OrderPlaced { .. }
            | OrderEvent::OrderCancelled {} => {}
        }
    }
}

/// What a link to an item of an order names.
struct ItemTarget {
    order_id: AggregateId,
    item: String,
}

impl ItemTarget {
    fn of(link: &Link<ToOrderItem>) -> Result<Self, OrderRejection> {
        let malformed = || OrderRejection::malformed("order_item");
        let order_id = link.id().ok_or_else(malformed)?;
        let item = link.segments().and_then(|segments| segments.into_iter().nth(1));
        let item = item.ok_or_else(malformed)?;
        Ok(Self { order_id, item })
    }
}

fn check_quantity(quantity: i32) -> Result<(), OrderRejection> {
    if quantity > 0 {
        return Ok(());
    }
    Err(OrderRejection::QuantityNotPositive { quantity })
}
