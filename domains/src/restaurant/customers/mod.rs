//! Who orders, by which email, and where to.
//!
//! - An email has text on both sides of an '@' and no spaces. Emails that differ only in case are the same.
//! - An email belongs to one customer at a time. The engine sees to it; here is only said which one is held.
//!   When a customer changes to another one, the old one is free again.
//! - An email is verified by the token that was made with it. A changed email is unverified, with a new token;
//!   a change to the same email changes nothing.
//! - A customer's addresses have nicknames, which are unique per customer. Neither nickname nor location is empty.
//!
//! ```text
//!   SignUp                 VerifyEmail
//!  -------> unverified --------------------> verified      AddAddress, RemoveAddress: in both
//!               ^  ^---. ChangeEmail             |
//!               |  '---'         ChangeEmail     |
//!               '--------------------------------'
//! ```

mod commands;
mod customer;
mod email;
mod events;
mod rejections;
mod views;

#[cfg(test)]
mod tests;

pub use commands::CustomerCommand;
pub use customer::{Customer, Profile};
pub use email::folded;
pub use events::CustomerEvent;
pub use rejections::CustomerRejection;
pub use views::{AddressView, CustomerView, Customers};

use foldline_core::LinkTarget;

/// A [`Link`](foldline_core::Link) to a customer.
pub struct ToCustomer;

impl LinkTarget for ToCustomer {
    const TEMPLATE: &'static str = "/customers/{id}";
}

/// A [`Link`](foldline_core::Link) to an address of a customer.
pub struct ToAddress;

impl LinkTarget for ToAddress {
    const TEMPLATE: &'static str = "/customers/{id}/addresses/{nickname}";
}
