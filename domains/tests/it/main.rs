//! What must hold of every installed domain, ours and an adopter's: its schemas are kept, its events of every
//! revision are read, its refusals are explained.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod contract;
mod errors;
mod golden;
mod guide;
mod installed;
mod upcasting;

use std::path::PathBuf;

/// A folder of the workspace.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}
