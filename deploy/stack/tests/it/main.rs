//! The stack as its users see it: real Kafka, a real registry, real signals.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod children;
mod refusals;
mod restarts;
mod survivors;

use std::path::{Path, PathBuf};

use foldline_stack::StackOptions;

/// The cache of the whole project, so that a test run fetches nothing that `cargo run` has fetched already.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.foldline/cache")
}

fn options(data: &Path) -> StackOptions {
    StackOptions::new(cache(), data)
}
