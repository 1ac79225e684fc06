//! Commits on a thread of its own, so that whoever has sent the records can decide the next ones meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;

use super::turns::Shared;
use crate::producer::TransactionError;

/// A transaction whose records are sent.
pub(super) struct Sent {
    pub(super) producer: Shared,
    pub(super) offsets: TopicPartitionList,
    /// Who we were in the group when it began.
    pub(super) metadata: ConsumerGroupMetadata,
}

/// The thread. It ends with this, when it has done what it was given.
pub(super) struct Committer {
    sent: Sender<Sent>,
    ended: Receiver<Result<(), TransactionError>>,
}

impl Committer {
    pub(super) fn start() -> Self {
        let (sent, to_commit) = channel::<Sent>();
        let (end, ended) = channel();
        let work = move || {
            for sent in to_commit {
                let mut producer = sent.producer.lock();
                let result = producer.commit(&sent.offsets, &sent.metadata);
                drop(producer);
                if end.send(result).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("committer".to_owned());
        thread
            .spawn(work)
            .expect("the operating system gives us a thread");
        Self { sent, ended }
    }

    pub(super) fn begin(&self, sent: Sent) {
        // It is there as long as we are; if it has panicked, `end` says so.
        let _ = self.sent.send(sent);
    }

    /// Waits for the transaction that was begun last.
    pub(super) fn end(&self) -> Result<(), TransactionError> {
        let ended = self.ended.recv();
        ended.unwrap_or(Err(TransactionError::Unknown(KafkaError::Canceled)))
    }
}
