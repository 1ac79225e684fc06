//! What is on the menu.
//!
//! - An item has a description, which is not empty, and a price, which is more than nothing.
//! - Both can be modified; to what they are already adds no event.
//! - A removed item can be neither modified nor removed again. It stays visible, and no order takes it any more.
//!
//! ```text
//!   AddMenuItem          ModifyMenuItem
//!  ------------> on sale ---. RemoveMenuItem
//!                  ^        | --------------> removed
//!                  '--------'
//! ```

mod commands;
mod events;
mod menu_item;
mod rejections;
mod views;

#[cfg(test)]
mod tests;

pub use commands::MenuCommand;
pub use events::MenuEvent;
pub use menu_item::{MenuItem, Offer};
pub use rejections::MenuRejection;
pub use views::{MenuItemStatus, MenuItemView, MenuItems};

use foldline_core::LinkTarget;

/// A [`Link`](foldline_core::Link) to an item of the menu.
pub struct ToMenuItem;

impl LinkTarget for ToMenuItem {
    const TEMPLATE: &'static str = "/menu/items/{id}";
}
