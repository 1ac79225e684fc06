//! Who orders, by which email, and where to.
//!
//! - An email has text on both sides of an '@', no spaces, and at most 254 characters. Emails that differ only in case are
//!   the same.
//! - An email belongs to one customer at a time. The engine sees to it; here is only said which one is held.
//!   When a customer changes to another one, the old one is free again.
//! - An email is verified by the token that was made with it. A changed email is unverified, with a new token;
//!   a change to the same email changes nothing.
//! - A customer's addresses have nicknames, which are unique per customer. Neither nickname nor location is empty, or longer than
//!   [`NICKNAME_MAX`] and [`LOCATION_MAX`], and there are at most [`ADDRESSES_MAX`], or no record would have room for
//!   a snapshot.
//!
//! The token shows how something is verified, and proves little: as all that a decision makes, it is made from the command's id,
//! which whoever sent the command knows, or has chosen. So who signs up can work it out, and need read no mail. A domain that must
//! know that an email is read has the token made where the mail is sent, at random, and has its hash put into the aggregate by a
//! command of its own; who shows the token then shows something that stands in the mail alone.
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
pub use customer::{ADDRESSES_MAX, Customer, LOCATION_MAX, NICKNAME_MAX, Profile};
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
