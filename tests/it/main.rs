//! End to end: one binary, so that one broker serves every test.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod acls;
mod as_one;
mod audit;
mod bad_input;
mod brokers;
mod catching_up;
mod chain;
mod clocks;
mod consistency;
mod contracts;
mod disks;
mod dlq;
mod engine;
mod erasure;
mod evolve;
mod faults;
mod fuzzing;
mod guides;
mod hanging;
mod kafka_door;
mod kafka_security;
#[cfg(feature = "kafka-tls")]
mod kafka_tls;
#[cfg(feature = "kafka-tls")]
mod kafka_tokens;
mod kills;
mod late_commits;
mod limits;
mod live;
mod outcomes;
mod outside_domain;
mod pace;
mod past;
mod preconditions;
mod races;
mod rebuild;
mod references;
mod registry;
mod replays;
mod restarts;
mod restaurant;
mod schemas;
mod security;
mod snapshots;
mod start_order;
mod starved;
mod stuck_commits;
mod tokens;
mod topic_damage;
mod traces;
mod unprivileged;
mod upcasting;
mod verify;
mod zombies;

/// `foldline` with the domains of the tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_foldline-under-test");
