//! For tests: a bar with tabs and guests, a log of what happens there, its results, and a store in memory.

mod bar;
mod log;
mod memory;
mod results;
mod started;

pub use self::bar::{Guest, GuestEvent, Guests, Tab, TabEvent, UNLUCKY, bar, without_guests};
pub use self::log::{Entry, Log, Spec};
pub use self::memory::Memory;
pub use self::results::{OneResult, caused};
pub use self::started::{start, unseen};
