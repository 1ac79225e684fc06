//! One event of each type, with values of every kind. A new type gets its sample here.

use foldline_core::{AnyEvent, Claim, ClaimEvent, EventHash, EventMeta, Timestamp};
use foldline_domains::counter::{Counter, CounterEvent};
use foldline_domains::restaurant::Money;
use foldline_domains::restaurant::customers::{Customer, CustomerEvent};
use foldline_domains::restaurant::menu::{MenuEvent, MenuItem};
use foldline_domains::restaurant::orders::{Order, OrderEvent, OrderedItem};
use uuid::Uuid;

/// What each sample's record says besides its payload.
pub fn meta() -> EventMeta {
    EventMeta {
        event_id: Uuid::from_u128(0xe1),
        event_type: String::new(),
        aggregate_id: "8659a0d6".parse().unwrap(),
        sequence: 3,
        revision: 0,
        occurred_at: Timestamp(1_490_442_531_250),
        recorded_at: Timestamp(1_490_442_531_251),
        command_id: Uuid::from_u128(0xc1),
        correlation_id: "checkout-17".to_owned(),
        causation_id: Uuid::from_u128(0xc1).to_string(),
        actor: Some("ada".to_owned()),
        index: 0,
        count: 1,
        command_offset: 300,
        previous_hash: Some(EventHash::of(b"the event before it")),
        written_revision: 1,
    }
}

/// The samples of an aggregate type, in the order of its schema.
pub fn of(qualified_name: &str) -> Vec<AnyEvent> {
    match qualified_name {
        "counter.counters" => counter(),
        "restaurant.menu" => menu(),
        "restaurant.customers" => customers(),
        "restaurant.customers-email" => claims(),
        "restaurant.orders" => orders(),
        // An empty list is told by the test that asks.
        _ => vec![],
    }
}

fn usd(amount: i64) -> Money {
    let currency = "USD".to_owned();
    Money { amount, currency }
}

fn counter() -> Vec<AnyEvent> {
    let events = [
        CounterEvent::CounterStarted {},
        CounterEvent::CounterIncremented { by: 2 },
    ];
    events.map(AnyEvent::new::<Counter>).into()
}

fn menu() -> Vec<AnyEvent> {
    let events = [
        MenuEvent::MenuItemAdded {
            description: "Crème brûlée".to_owned(),
            price: usd(1250),
        },
        MenuEvent::MenuItemModified {
            description: "Crème caramel".to_owned(),
            price: usd(5_000_000_000),
        },
        MenuEvent::MenuItemRemoved {},
    ];
    events.map(AnyEvent::new::<MenuItem>).into()
}

fn customers() -> Vec<AnyEvent> {
    let email = || "Ada@example.org".into();
    let token = || Uuid::from_u128(0x70).to_string();
    let nickname = || "home".into();
    let events = [
        CustomerEvent::CustomerSignedUp {
            email: email(),
            token: token(),
        },
        CustomerEvent::CustomerEmailChanged {
            email: email(),
            token: token(),
        },
        CustomerEvent::CustomerEmailVerified { email: email() },
        CustomerEvent::AddressAdded {
            nickname: nickname(),
            location: "1 Main St".into(),
        },
        CustomerEvent::AddressRemoved { nickname: nickname() },
    ];
    events.map(AnyEvent::new::<Customer>).into()
}

fn claims() -> Vec<AnyEvent> {
    let value = || "ada@example.org".to_owned();
    let holder = || "7".to_owned();
    let events = [
        ClaimEvent::ValueReserved {
            value: value(),
            holder: holder(),
        },
        ClaimEvent::ValueReleased {
            value: value(),
            holder: holder(),
        },
    ];
    events.map(AnyEvent::new::<Claim>).into()
}

fn orders() -> Vec<AnyEvent> {
    let order_item_id = Uuid::from_u128(0x17);
    let menu_item_id = || "8d30d99".parse().unwrap();
    let customer_id = || "7".parse().unwrap();
    let ordered = OrderedItem {
        order_item_id,
        menu_item_id: menu_item_id(),
        price: usd(1250),
        quantity: 2,
    };
    let events = [
        OrderEvent::OrderOpened {
            customer_id: customer_id(),
        },
        OrderEvent::ItemAddedToOrder {
            order_item_id,
            menu_item_id: menu_item_id(),
            description: "Crème brûlée".to_owned(),
            price: usd(1250),
            quantity: 1,
            subtotal: usd(1250),
        },
        OrderEvent::ItemQuantityChanged {
            order_item_id,
            menu_item_id: menu_item_id(),
            price: usd(1250),
            previous_quantity: 1,
            quantity: 2,
        },
        OrderEvent::ItemRemovedFromOrder {
            order_item_id,
            menu_item_id: menu_item_id(),
            price: usd(1250),
            quantity: 2,
        },
        OrderEvent::DeliveryAddressSet {
            customer_id: customer_id(),
            nickname: "home".into(),
            location: "1 Main St".into(),
        },
        OrderEvent::OrderPlaced {
            customer_id: customer_id(),
            items: vec![ordered],
            total: usd(2500),
        },
        OrderEvent::OrderCancelled {},
    ];
    events.map(AnyEvent::new::<Order>).into()
}
