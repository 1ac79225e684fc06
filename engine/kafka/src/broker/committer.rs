//! Commits on a thread of its own, so that whoever has sent the records can decide the next ones meanwhile.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use krafka::KrafkaError;
use krafka::consumer::ConsumerGroupMetadata;
use krafka::producer::TopicPartitionOffset;

use super::member::SESSION;
use super::turns::Shared;
use crate::producer::TransactionError;

/// A commit takes milliseconds. Who is silent for longer is given up by the group, so what is waited for then can only fail.
const COMMIT_MAX: Duration = SESSION;

/// A transaction whose records are sent.
pub(super) struct Sent {
    pub(super) producer: Shared,
    pub(super) offsets: Vec<TopicPartitionOffset>,
    /// Who we were in the group when it began.
    pub(super) metadata: ConsumerGroupMetadata,
}

/// The thread. It ends with this, when it has done what it was given.
pub(super) struct Committer {
    sent: Sender<Sent>,
    ended: Receiver<Result<(), TransactionError>>,
    begun_at: Instant,
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
        Self {
            sent,
            ended,
            begun_at: Instant::now(),
        }
    }

    pub(super) fn begin(&mut self, sent: Sent) {
        self.begun_at = Instant::now();
        // It is there as long as we are; if it has panicked, `end` says so.
        let _ = self.sent.send(sent);
    }

    /// Waits for the transaction that was begun last. One that does not come back keeps its thread and its producer: in place of
    /// the thread there is a new one, and the producer must be [renewed](super::turns::Turns::renew).
    pub(super) fn end(&mut self) -> Result<(), TransactionError> {
        let left = COMMIT_MAX.saturating_sub(self.begun_at.elapsed());
        match self.ended.recv_timeout(left) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(TransactionError::Unknown(KrafkaError::closed(
                "the thread that commits",
            ))),
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(after = ?COMMIT_MAX, "a commit does not come back; another producer takes its place");
                *self = Self::start();
                Err(TransactionError::Unknown(KrafkaError::timeout("a commit")))
            }
        }
    }
}
