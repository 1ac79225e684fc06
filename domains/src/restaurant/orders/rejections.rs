use foldline_core::{AggregateId, RefusalKind, Rejection};

/// How an order says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRejection {
    /// A link that has not the form of its field.
    #[error("{field} is no such link")]
    MalformedLink {
        /// The field.
        field: &'static str,
    },
    /// Nothing is ordered no times, or fewer.
    #[error("a quantity is 1 or more, not {quantity}")]
    QuantityNotPositive {
        /// What was asked.
        quantity: i32,
    },
    /// An order is opened once.
    #[error("the order was already opened")]
    AlreadyOpened,
    /// Only an open order can change.
    #[error("the order is {status}, and only an open one can change")]
    NotOpen {
        /// What it is instead.
        status: &'static str,
    },
    /// Nobody orders.
    #[error("there is no customer {id}")]
    UnknownCustomer {
        /// The id in the link.
        id: AggregateId,
    },
    /// The menu never had it.
    #[error("there is no menu item {id}")]
    UnknownMenuItem {
        /// The id in the link.
        id: AggregateId,
    },
    /// The menu has it no longer.
    #[error("the menu item {id} is no longer on sale")]
    NotOnSale {
        /// The id in the link.
        id: AggregateId,
    },
    /// There would be no total.
    #[error("the order is priced in {order}, and the item in {item}")]
    OtherCurrency {
        /// The currency of what is in the order.
        order: String,
        /// The currency of what was to be added.
        item: String,
    },
    /// See [`ITEMS_MAX`](super::ITEMS_MAX).
    #[error("the order holds as many items as an order can")]
    Full,
    /// It was never added, is already removed, or is in another order.
    #[error("the order has no such item")]
    ItemNotInOrder,
    /// Somebody else lives there.
    #[error("the address is not one of the order's customer")]
    OtherCustomersAddress,
    /// The customer never had it, or has removed it.
    #[error("the order's customer has no address of this nickname")]
    UnknownAddress,
    /// Nothing to place.
    #[error("there is no item in the order")]
    Empty,
    /// Nowhere to bring it.
    #[error("the order has no delivery address")]
    NoAddress,
}

impl OrderRejection {
    pub(super) fn malformed(field: &'static str) -> Self {
        Self::MalformedLink { field }
    }
}

impl Rejection for OrderRejection {
    const CODES: &'static [&'static str] = &[
        "malformed-link",
        "quantity-not-positive",
        "order-already-opened",
        "order-not-open",
        "unknown-customer",
        "unknown-menu-item",
        "menu-item-not-on-sale",
        "currency-mismatch",
        "order-full",
        "item-not-in-order",
        "address-of-another-customer",
        "unknown-address",
        "order-empty",
        "order-without-address",
    ];

    fn code(&self) -> &'static str {
        match self {
            Self::MalformedLink { .. } => "malformed-link",
            Self::QuantityNotPositive { .. } => "quantity-not-positive",
            Self::AlreadyOpened => "order-already-opened",
            Self::NotOpen { .. } => "order-not-open",
            Self::UnknownCustomer { .. } => "unknown-customer",
            Self::UnknownMenuItem { .. } => "unknown-menu-item",
            Self::NotOnSale { .. } => "menu-item-not-on-sale",
            Self::OtherCurrency { .. } => "currency-mismatch",
            Self::Full => "order-full",
            Self::ItemNotInOrder => "item-not-in-order",
            Self::OtherCustomersAddress => "address-of-another-customer",
            Self::UnknownAddress => "unknown-address",
            Self::Empty => "order-empty",
            Self::NoAddress => "order-without-address",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::MalformedLink { .. } => RefusalKind::Malformed,
            Self::QuantityNotPositive { .. } => RefusalKind::Value,
            Self::UnknownCustomer { .. } | Self::UnknownMenuItem { .. } | Self::UnknownAddress => {
                RefusalKind::UnknownReference
            }
            Self::AlreadyOpened
            | Self::NotOpen { .. }
            | Self::NotOnSale { .. }
            | Self::OtherCurrency { .. }
            | Self::Full
            | Self::ItemNotInOrder
            | Self::OtherCustomersAddress
            | Self::Empty
            | Self::NoAddress => RefusalKind::State,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::MalformedLink { field } => Some(field),
            Self::QuantityNotPositive { .. } => Some("quantity"),
            Self::UnknownCustomer { .. } => Some("customer"),
            Self::UnknownMenuItem { .. } | Self::NotOnSale { .. } | Self::OtherCurrency { .. } => {
                Some("menu_item")
            }
            Self::ItemNotInOrder => Some("order_item"),
            Self::OtherCustomersAddress | Self::UnknownAddress => Some("address"),
            Self::AlreadyOpened | Self::NotOpen { .. } | Self::Full | Self::Empty | Self::NoAddress => None,
        }
    }
}
