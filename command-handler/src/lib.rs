//! The command model: commands in over HTTP, events out.
//!
//! - [`http`] checks the form of a command and turns outcomes into answers.
//! - [`Commands`] is what it needs of the engine.
//! - [`run`] is the service.

mod commands;
pub mod http;

pub use commands::{CommandStatus, Commands, Found, NotTaken, Submitted, Unreadable};
