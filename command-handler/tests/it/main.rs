//! The write API as a client sees it. The engine behind it is a stand-in that answers what a test wants: what is
//! shown here is the form of requests and answers. The whole path, on Kafka, is shown by the workspace's tests.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod bad_input;
mod client;
mod creating;
mod documents;
mod engine;
mod forms;
mod headers;
mod outcomes;
mod parcels;
