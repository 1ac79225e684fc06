use foldline_core::{RefusalKind, Rejection};

use crate::restaurant::InvalidPrice;

/// How an item of the menu says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MenuRejection {
    /// Guests must know what it is.
    #[error("the description is empty")]
    EmptyDescription,
    /// Money that cannot be a price.
    #[error(transparent)]
    Price(#[from] InvalidPrice),
    /// An item is added once.
    #[error("the item was already added to the menu")]
    AlreadyAdded,
    /// A removed item stays as it was.
    #[error("the item is no longer on the menu")]
    NotOnSale,
}

impl Rejection for MenuRejection {
    const CODES: &'static [&'static str] = &[
        "description-empty",
        "price-not-positive",
        "currency-invalid",
        "menu-item-already-added",
        "menu-item-removed",
    ];

    fn code(&self) -> &'static str {
        match self {
            Self::EmptyDescription => "description-empty",
            Self::Price(InvalidPrice::NotPositive { .. }) => "price-not-positive",
            Self::Price(InvalidPrice::Currency { .. }) => "currency-invalid",
            Self::AlreadyAdded => "menu-item-already-added",
            Self::NotOnSale => "menu-item-removed",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::EmptyDescription | Self::Price(_) => RefusalKind::Value,
            Self::AlreadyAdded | Self::NotOnSale => RefusalKind::State,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::EmptyDescription => Some("description"),
            Self::Price(_) => Some("price"),
            Self::AlreadyAdded | Self::NotOnSale => None,
        }
    }
}
