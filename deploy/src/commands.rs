//! What is done once and ends: a file for each family.

pub(crate) mod schemas;
pub(crate) mod topics;
pub(crate) mod views;
