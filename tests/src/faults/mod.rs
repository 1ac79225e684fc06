//! Faults, drawn by a seed, on a whole system of real processes under load; and what it has kept of its promises.
//!
//! A run is periods. In each, [`schedule`] draws what goes wrong and when, one in four is calm; [`stage`] does it, and
//! heals: everything is let go on and started again, and then a command must be answered, and seen in the view, within
//! a bound. Then come periods for what must have happened so often and has not yet: kills at named points, late commits,
//! zombies. In the end all topics are read and judged (`check`), with what each client, reader and follower was told.
//!
//! The seed gives the schedule again, not the interleaving: processes, kernel and broker have a will of their own.

pub mod command;
mod journal;
mod readers;
pub mod report;
mod run;
pub mod schedule;
mod stage;

pub use self::report::{Report, Verdict};
pub use self::run::{Plan, run};
