//! What could not be handled is shown, handed in again once its reason is gone, or given up; nothing is lost meanwhile.

mod commands;
mod parked;
