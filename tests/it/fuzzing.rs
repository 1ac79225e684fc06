//! Inputs that nobody meant: no decoder and no parser panics, takes memory without bound, or answers without a reason.
//!
//! Each kind is tried for a few seconds; `FOLDLINE_FUZZ_SECONDS=600 cargo test -p foldline-tests --test it -- fuzzing`
//! is the long form. What has once done harm is kept in `tests/corpus`, and tried first.

mod avro;
mod http;
mod text;
