use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::restaurant::Money;

/// What can be asked of an item of the menu.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum MenuCommand {
    /// Puts a new item on the menu.
    AddMenuItem {
        /// What it is, for guests; not empty.
        description: String,
        /// What one of it costs; more than nothing.
        price: Money,
    },
    /// Describes and prices the item anew, for orders from now on.
    ModifyMenuItem {
        /// What it is, for guests; not empty.
        description: String,
        /// What one of it costs; more than nothing.
        price: Money,
    },
    /// Takes the item off the menu, for good.
    RemoveMenuItem {},
}
