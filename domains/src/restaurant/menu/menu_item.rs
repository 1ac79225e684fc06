use foldline_core::{Aggregate, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MenuCommand, MenuEvent, MenuRejection};
use crate::restaurant::Money;

/// An item of the menu, as the fold of its events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum MenuItem {
    /// Not there yet.
    #[default]
    Unknown,
    /// On the menu.
    OnSale(Offer),
    /// No longer on the menu.
    Removed,
}

/// What is sold, and for how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// What it is, for guests.
    pub description: String,
    /// What one of it costs.
    pub price: Money,
}

type Decision = Result<Vec<MenuEvent>, MenuRejection>;

impl Aggregate for MenuItem {
    const NAME: &'static str = "menu";
    const PATH: &'static str = "/menu/items";
    const CREATE: &'static str = "AddMenuItem";

    type Command = MenuCommand;
    type Event = MenuEvent;
    type Rejection = MenuRejection;

    fn decide(&self, command: &MenuCommand, _: &Context<'_>) -> Decision {
        match command {
            MenuCommand::AddMenuItem { description, price } => self.add(Offer::new(description, price)?),
            MenuCommand::ModifyMenuItem { description, price } => {
                self.modify(Offer::new(description, price)?)
            }
            MenuCommand::RemoveMenuItem {} => self.remove(),
        }
    }

    fn evolve(&mut self, event: &MenuEvent) {
        match event {
            MenuEvent::MenuItemAdded { description, price }
            | MenuEvent::MenuItemModified { description, price } => {
                *self = Self::OnSale(Offer {
                    description: description.clone(),
                    price: price.clone(),
                });
            }
            MenuEvent::MenuItemRemoved {} => *self = Self::Removed,
        }
    }

    fn possible(&self) -> Vec<&'static str> {
        match self {
            Self::Unknown => vec!["AddMenuItem"],
            Self::OnSale(_) => vec!["ModifyMenuItem", "RemoveMenuItem"],
            Self::Removed => vec![],
        }
    }
}

impl MenuItem {
    fn add(&self, Offer { description, price }: Offer) -> Decision {
        match self {
            Self::Unknown => Ok(vec![MenuEvent::MenuItemAdded { description, price }]),
            Self::OnSale(_) | Self::Removed => Err(MenuRejection::AlreadyAdded),
        }
    }

    fn modify(&self, wanted: Offer) -> Decision {
        if *self.offer()? == wanted {
            return Ok(vec![]);
        }
        let Offer { description, price } = wanted;
        Ok(vec![MenuEvent::MenuItemModified { description, price }])
    }

    fn remove(&self) -> Decision {
        self.offer()?;
        Ok(vec![MenuEvent::MenuItemRemoved {}])
    }

    fn offer(&self) -> Result<&Offer, MenuRejection> {
        match self {
            Self::OnSale(offer) => Ok(offer),
            Self::Unknown | Self::Removed => Err(MenuRejection::NotOnSale),
        }
    }
}

impl Offer {
    fn new(description: &str, price: &Money) -> Result<Self, MenuRejection> {
        if description.trim().is_empty() {
            return Err(MenuRejection::EmptyDescription);
        }
        price.check_price()?;
        Ok(Self {
            description: description.to_owned(),
            price: price.clone(),
        })
    }
}
