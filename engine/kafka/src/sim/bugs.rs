//! Mistakes that a client of Kafka can make, each planted where the write path asks it of the cluster. The write path's
//! own code is the same in each run.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A reader of committed records is given those of open transactions.
    ReadsUncommitted,
    /// A writer takes the end of all there is for the end of what is settled.
    WaitsForNoTransaction,
    /// The group's offsets are read although a transaction is open that has some.
    ReadsUnstableOffsets,
    /// The offsets are committed first, and the records afterwards.
    CommitsOffsetsOutside,
    /// The offsets are committed in no member's name.
    CommitsInNobodysName,
    /// A commit whose outcome is unknown is taken for one.
    BelievesUnknownCommit,
    /// A commit whose outcome is unknown is taken for an abort, and the producer is used again.
    AbortsUnknownCommit,
    /// A commit is reported before it is asked for.
    AnswersBeforeCommit,
    /// A producer is used on after a connection broke.
    KeepsTroubledProducer,
    /// A producer that is begun anew has the epoch that it had.
    RenewsWithoutEpoch,
    /// That partitions were given up is not heard of.
    OverlooksRevocation,
    /// What a predecessor has written is not folded.
    FoldsNothing,
    /// What a predecessor has answered is not folded.
    FoldsNoResults,
    /// It does not go back to the commands of a batch that failed.
    SeeksNowhere,
    /// The key of a person is written beside the transaction of their first event.
    WritesKeysOutside,
    /// The key of a person is committed with the next transaction after that of their first event.
    WritesKeysLater,
    /// Who follows the keys hears of none: of no erasure either.
    HearsOfNoKeys,
}

impl Bug {
    pub(super) const ALL: [Self; 17] = [
        Self::ReadsUncommitted,
        Self::WaitsForNoTransaction,
        Self::ReadsUnstableOffsets,
        Self::CommitsOffsetsOutside,
        Self::CommitsInNobodysName,
        Self::BelievesUnknownCommit,
        Self::AbortsUnknownCommit,
        Self::AnswersBeforeCommit,
        Self::KeepsTroubledProducer,
        Self::RenewsWithoutEpoch,
        Self::OverlooksRevocation,
        Self::FoldsNothing,
        Self::FoldsNoResults,
        Self::SeeksNowhere,
        Self::WritesKeysOutside,
        Self::WritesKeysLater,
        Self::HearsOfNoKeys,
    ];
}
