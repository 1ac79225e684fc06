//! Snapshots: the states of aggregates on a compacted topic, from which a start without local disk begins.
//!
//! A worker writes them (`worker/checkpoint`), `restore` reads them, and so may anybody: [`read_snapshots`].

mod current;
mod restore;

pub(crate) use restore::decode;

pub use current::{CurrentSnapshots, DamagedSnapshot, SnapshotsError, read_snapshots};
