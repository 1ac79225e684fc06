//! The command model: commands in over HTTP, events out.
//!
//! - [`http`] checks the form of a command and turns outcomes into answers.
//! - [`Commands`] is what it needs of the engine, and `engine` gives it that.
//! - [`run`] is the service.

mod commands;
mod engine;
pub mod http;
mod run;
mod settings;

pub use commands::{
    Asked, CommandStatus, Commands, DeadLettered, Found, NoStatus, NotTaken, Place, Rehearsed, Rehearsing,
    Submitted, Unreadable,
};
pub use run::run;
pub use settings::Settings;
