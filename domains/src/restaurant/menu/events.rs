use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::restaurant::Money;

/// What can have happened to an item of the menu. Stored for ever: append, never edit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum MenuEvent {
    /// The item is on the menu.
    MenuItemAdded {
        /// What it is, for guests.
        description: String,
        /// What one of it costs.
        price: Money,
    },
    /// The item has another description, another price, or both. Orders keep the price that they were given.
    MenuItemModified {
        /// What it is from now on.
        description: String,
        /// What one of it costs from now on.
        price: Money,
    },
    /// The item is no longer sold.
    MenuItemRemoved {},
}
