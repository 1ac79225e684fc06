//! What a command handler's log says of what it went through.

/// How often its workers have taken partitions over.
pub fn take_overs(log: &str) -> usize {
    log.matches("partitions taken over").count()
}

/// The transactions that Kafka did not take.
pub fn refused_transactions(log: &str) -> usize {
    log.matches("the transaction was aborted").count() + log.matches("fenced; asking the group").count()
}
