//! Mistakes, each planted where the projector asks something of the log, the store or the clock. The projector's own code is
//! the same in each run.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A reader is given the records of open and of aborted transactions.
    ReadsUncommitted,
    /// A reader passes over an open transaction, and goes on behind it.
    ReadsPastOpen,
    /// A record is passed over now and then.
    DropsRecord,
    /// Two records of a partition come in the wrong order now and then.
    SwapsRecords,
    /// A log begins one place behind where it was asked to.
    BeginsLate,
    /// Checkpoints are committed first, and rows and history afterwards.
    PlacesFirst,
    /// Rows and history are committed first, and checkpoints afterwards.
    RowsFirst,
    /// A commit is now and then reported that was not made.
    LosesCommit,
    /// A generation is served before it has come as far as what was served.
    ServesBehind,
}

impl Bug {
    pub(super) const ALL: [Self; 9] = [
        Self::ReadsUncommitted,
        Self::ReadsPastOpen,
        Self::DropsRecord,
        Self::SwapsRecords,
        Self::BeginsLate,
        Self::PlacesFirst,
        Self::RowsFirst,
        Self::LosesCommit,
        Self::ServesBehind,
    ];
}
