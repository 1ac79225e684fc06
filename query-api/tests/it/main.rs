//! The read API on a real view store, as a client sees it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod consistency;
mod lists;
mod reads;
mod refusals;
mod toy;
