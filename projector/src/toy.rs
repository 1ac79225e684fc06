//! For tests: a bar with tabs and guests, a log of what happens there, and a store in memory.

mod bar;
mod log;
mod memory;

pub use self::bar::{Guest, GuestEvent, Guests, Tab, TabEvent, UNLUCKY, bar, without_guests};
pub use self::log::{Entry, Log, Spec};
pub use self::memory::Memory;
