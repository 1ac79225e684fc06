//! The restaurant of the talk: a menu, customers, and their orders.
//!
//! Each aggregate has the same files: `mod` (the rules in words), `events`, `commands`, the aggregate itself
//! (state, decide, evolve), `rejections`, `views`, `tests`. An order looks at the menu and at customers when
//! it decides; nothing else looks at anything else.

pub mod customers;
pub mod menu;
mod money;
pub mod orders;

#[cfg(test)]
mod table;

use foldline_core::Domain;

pub use money::{InvalidPrice, Money};

/// What a program installs.
pub fn domain() -> Domain {
    Domain::new("restaurant")
        .aggregate::<menu::MenuItem>()
        .aggregate::<customers::Customer>()
        .aggregate::<orders::Order>()
        .view::<menu::MenuItems>()
        .view::<customers::Customers>()
        .view::<orders::Orders>()
}
