//! End to end: one binary, so that one broker serves every test.

mod engine;
