//! End to end: one binary, so that one broker serves every test.

mod engine;
mod kills;
mod restaurant;

/// `foldline` with the domains of the tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_foldline-under-test");
