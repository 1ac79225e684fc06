//! Views that are built anew beside what is served: what differs is reported, clients notice nothing, and nothing is
//! lost or counted twice.

mod bugs;
pub mod evening;
mod poller;
mod switches;
