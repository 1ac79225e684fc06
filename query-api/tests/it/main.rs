//! The read API on a real view store, as a client sees it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod audit;
mod consistency;
mod documents;
mod feeds;
mod following;
mod formats;
mod generations;
mod keys;
mod limits;
mod lists;
mod live;
mod log;
mod past;
mod reads;
mod refusals;
mod resuming;
mod scopes;
mod tables;
mod toy;
mod world;
