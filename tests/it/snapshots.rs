//! A command handler that has lost its disk begins from snapshots, and is as it was.

mod damage;
mod engines;
mod history;
mod identity;
mod killed;
mod restore;
mod standby;
mod unmarked;
