use std::time::Duration;

use futures_util::FutureExt;

use super::ends;
use crate::broker::{Broker, Record, Seat};
use crate::follower::FollowError;
use crate::runtime::Runtime;
use crate::settled::OPEN_MAX;
use crate::sim::alone;

const LETTERS: &str = "counter.counters.commands.dlt";

#[test]
fn a_note_behind_a_letter_that_is_not_committed_is_waited_for() {
    alone(|broker, runtime| {
        let mut worker = broker
            .join(Seat {
                group: "commands",
                member: "worker",
                topics: &["counter.counters.commands"],
            })
            .unwrap();
        worker.begin().unwrap();
        let letter = Record {
            topic: LETTERS,
            partition: 0,
            key: None,
            value: Some(b"no command".as_slice().into()),
            headers: Vec::new(),
            number: 0,
        };
        worker.send(letter).unwrap();
        let appender = broker.appender().unwrap();
        let note = appender.append((LETTERS, 0), "7", b"", Vec::new()).now_or_never();
        note.unwrap().unwrap();

        let seam: (&dyn Broker, &dyn Runtime) = (&*broker, &*runtime);
        let late = ends(seam, LETTERS, 0..2, Duration::from_secs(5)).unwrap_err();
        assert!(
            matches!(&late, FollowError::Unsettled { topic } if topic == LETTERS),
            "{late}"
        );
        // Then the cluster gives the transaction up.
        let ends = ends(seam, LETTERS, 0..2, OPEN_MAX).unwrap();
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(0, 2)]);
    });
}
