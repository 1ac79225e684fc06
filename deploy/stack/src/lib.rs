//! Apache Kafka and the Apicurio Registry as child processes of this one: what `cargo run` and the end-to-end
//! tests stand on.
//!
//! Both programs are real and unmodified. Maven fetches them once into a cache folder, as `deploy/pom.xml`
//! names them; after that a start needs nothing but Java. [`Stack`] runs both; a [`Server`] is one of the
//! two, and can be stopped, killed, paused and started again on the same port and data, which is what the
//! tests of failure need. A [`Child`] is any other program, with the same promises.
//!
//! Three promises, because a dev stack that leaves things behind is worse than none:
//! - The children do not outlive this process, however it ends (`process.rs` says how).
//! - A folder of data is used by one process at a time.
//! - What is missing, taken or broken is a [`StackError`] that says what to do about it.
//!
//! Unix only: it sends signals.

#![cfg(unix)]

mod broker;
mod cache;
mod child;
mod classes;
mod cluster;
mod data;
mod error;
mod options;
mod port;
mod probe;
mod process;
mod registry;
mod server;
mod stack;
mod tools;

pub use cache::{KAFKA_VERSION, REGISTRY_VERSION};
pub use child::Child;
pub use error::StackError;
pub use options::{BrokerOptions, Progress, Quiet, StackOptions, Step};
pub use port::{Port, free_port};
pub use server::{Kind, Server};
pub use stack::Stack;
pub use tools::Tools;
