//! What is done once and ends: a file for each family.

pub(crate) mod dlq;
pub(crate) mod erase;
pub(crate) mod evolve;
pub(crate) mod progress;
pub(crate) mod schemas;
pub(crate) mod topics;
pub(crate) mod verify;
pub(crate) mod views;
