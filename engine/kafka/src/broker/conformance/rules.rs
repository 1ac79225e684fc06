use std::ops::ControlFlow;
use std::time::Duration;

use super::{Bench, PARTITIONS, take, text};
use crate::broker::{Isolation, Place, is_fenced};
use crate::follower::FollowError;
use crate::producer::TransactionError;

pub(super) fn a_transaction_is_seen_as_a_whole(bench: &Bench) {
    let mut member = bench.join_alone("a");
    member.begin().expect("begun");
    member.send(bench.event(0, "first", 5)).expect("sent");
    member.send(bench.event(1, "second", 6)).expect("sent");
    // It is there, and below no end of what is settled.
    bench.eventually("the first is there", || {
        bench.end(0, Isolation::ReadUncommitted) == 1
    });
    assert_eq!(bench.end(0, Isolation::ReadCommitted), 0);
    assert!(bench.events().is_empty());

    bench.commit(member.as_mut(), 0, 1).expect("committed");
    assert_eq!((member.delivered(5), member.delivered(6)), (Some(0), Some(0)));
    assert_eq!(member.delivered(7), None);
    bench.eventually("both are seen", || bench.events() == ["first", "second"]);
    // The marker takes an offset too.
    bench.eventually("it is settled", || bench.end(0, Isolation::ReadCommitted) == 2);
}

pub(super) fn offsets_lie_with_the_records_of_their_transaction(bench: &Bench) {
    let mut member = bench.join_alone("a");
    assert_eq!(bench.committed(member.as_ref(), 0), None);
    member.begin().expect("begun");
    member.send(bench.event(0, "first", 1)).expect("sent");
    bench.commit(member.as_mut(), 0, 3).expect("committed");
    // It is not told before its marker is there.
    assert_eq!(bench.committed(member.as_ref(), 0), Some(3));
    assert_eq!(bench.committed(member.as_ref(), 1), None);

    let mut successor = bench.join("b");
    member.begin().expect("begun");
    member.send(bench.event(0, "never", 1)).expect("sent");
    member.renew().expect("renewed");
    assert_eq!(bench.committed(successor.as_ref(), 0), Some(3));
    take(successor.as_mut());
}

pub(super) fn a_renewal_settles_what_was_open(bench: &Bench) {
    let mut member = bench.join_alone("a");
    member.begin().expect("begun");
    member.send(bench.event(0, "never", 1)).expect("sent");
    bench.eventually("it is there", || bench.end(0, Isolation::ReadUncommitted) == 1);
    member.renew().expect("renewed");
    let end = bench.end(0, Isolation::ReadUncommitted);
    bench.eventually("it is settled", || bench.end(0, Isolation::ReadCommitted) == end);
    assert!(bench.events().is_empty());

    member.begin().expect("begun anew");
    member.send(bench.event(0, "seen", 1)).expect("sent");
    bench.commit(member.as_mut(), 0, 1).expect("committed");
    bench.eventually("it is seen", || bench.events() == ["seen"]);
}

pub(super) fn who_takes_a_name_fences_the_one_before(bench: &Bench) {
    let mut before = bench.join_alone("a");
    before.begin().expect("begun");
    before.send(bench.event(0, "never", 1)).expect("sent");
    bench.eventually("it is there", || bench.end(0, Isolation::ReadUncommitted) == 1);

    let mut after = bench.join("a");
    let refused = bench.commit(before.as_mut(), 0, 1);
    assert!(matches!(refused, Err(TransactionError::Fenced(_))), "{refused:?}");
    assert!(bench.events().is_empty());
    bench.eventually("it hears of it", || {
        take(after.as_mut());
        let polled = before.take(Duration::from_millis(50), &mut |_| ControlFlow::Continue(()));
        polled.is_err_and(|error| is_fenced(&error))
    });
    after.begin().expect("begun");
    after.send(bench.event(0, "seen", 1)).expect("sent");
    bench.commit(after.as_mut(), 0, 1).expect("committed");
    bench.eventually("it is seen", || bench.events() == ["seen"]);
}

pub(super) fn what_a_lost_member_has_left_open_can_be_ended(bench: &Bench) {
    let mut lost = bench.join_alone("a");
    for value in ["first", "never"] {
        lost.begin().expect("begun");
        lost.send(bench.event(0, value, 1)).expect("sent");
        if value == "first" {
            bench.commit(lost.as_mut(), 0, 1).expect("committed");
        }
    }
    bench.eventually("it is there", || bench.end(0, Isolation::ReadUncommitted) == 3);
    let mut successor = bench.join("b");
    take(successor.as_mut());
    // Nobody ends what is of one who is there.
    successor.fence_the_gone().expect("asked");
    assert_eq!(bench.end(0, Isolation::ReadCommitted), 2);

    drop(lost);
    let mut assigned = 0;
    bench.eventually("its partitions go to another", || {
        take(successor.as_mut());
        assigned += successor.changes().assigned.len();
        assigned == PARTITIONS as usize
    });
    successor.fence_the_gone().expect("ended");
    assert_eq!(bench.end(0, Isolation::ReadCommitted), 4);
    assert_eq!(bench.committed(successor.as_ref(), 0), Some(1));
    successor.begin().expect("begun");
    successor.send(bench.event(0, "seen", 1)).expect("sent");
    bench.commit(successor.as_mut(), 0, 2).expect("committed");
    bench.eventually("it is seen", || bench.events() == ["first", "seen"]);
}

pub(super) fn a_generation_that_is_over_commits_nothing(bench: &Bench) {
    let mut member = bench.join_alone("a");
    member.begin().expect("begun");
    member.send(bench.event(0, "never", 1)).expect("sent");
    let mut other = bench.join("b");
    bench.eventually("another one has a partition", || {
        take(member.as_mut());
        take(other.as_mut());
        !other.changes().assigned.is_empty()
    });
    let refused = bench.commit(member.as_mut(), 0, 1);
    assert!(
        matches!(refused, Err(TransactionError::Aborted(_))),
        "{refused:?}"
    );
    assert!(bench.events().is_empty());
    assert_eq!(bench.committed(other.as_ref(), 0), None);
    // In the new one it may write again.
    member.begin().expect("begun");
    member.send(bench.event(0, "seen", 1)).expect("sent");
    bench.commit(member.as_mut(), 0, 1).expect("committed");
    bench.eventually("it is seen", || bench.events() == ["seen"]);
}

pub(super) fn nothing_comes_of_a_partition_before_it_is_resumed(bench: &Bench) {
    for value in ["first", "second", "third"] {
        bench.command(0, value);
    }
    let mut member = bench.join_alone("a");
    assert!(take(member.as_mut()).is_empty());
    let place: Place<'_> = (&bench.commands, 0);
    member.seek(&[(place, None)]).expect("sought");
    member.resume(&[place]).expect("resumed");
    let mut taken = Vec::new();
    bench.eventually("all come", || {
        taken.extend(take(member.as_mut()));
        taken.len() >= 3
    });
    assert_eq!(taken, ["first", "second", "third"]);

    member.seek(&[(place, Some(1))]).expect("sought");
    taken.clear();
    bench.eventually("they come again", || {
        taken.extend(take(member.as_mut()));
        taken.len() >= 2
    });
    assert_eq!(taken, ["second", "third"]);
}

pub(super) fn a_range_is_read_without_what_lies_beside_it(bench: &Bench) {
    let mut member = bench.join_alone("a");
    for value in ["first", "second", "third"] {
        member.begin().expect("begun");
        member.send(bench.event(0, value, 1)).expect("sent");
        bench.commit(member.as_mut(), 0, 1).expect("committed");
    }
    bench.eventually("all are seen", || bench.events().len() == 3);
    let range = |from, to| {
        let mut found = Vec::new();
        let read = bench
            .broker
            .read_range((&bench.events, 0), (from, to), &mut |message| {
                found.push((message.offset, text(message.value)));
                Ok(())
            });
        read.expect("a range");
        found
    };
    // A record and its marker, three times.
    assert_eq!(range(1, 4), [(2, "second".to_owned())]);
    assert_eq!(range(2, 5), [(2, "second".to_owned()), (4, "third".to_owned())]);
    assert_eq!(range(5, 6), []);

    member.begin().expect("begun");
    member.send(bench.event(0, "open", 1)).expect("sent");
    bench.eventually("it is there", || bench.end(0, Isolation::ReadUncommitted) == 7);
    let read = bench
        .broker
        .read_range((&bench.events, 0), (4, 7), &mut |_| Ok(()));
    assert!(matches!(read, Err(FollowError::Unsettled { .. })), "{read:?}");
}

pub(super) fn a_follower_is_handed_what_is_committed(bench: &Bench) {
    let from: Vec<(Place<'_>, i64)> = (0..PARTITIONS)
        .map(|partition| ((bench.events.as_str(), partition), 0))
        .collect();
    let mut reader = bench.broker.follow(&from).expect("a reader");
    let mut member = bench.join_alone("a");
    member.begin().expect("begun");
    member.send(bench.event(0, "never", 1)).expect("sent");
    member.renew().expect("renewed");
    member.begin().expect("begun");
    member.send(bench.event(0, "seen", 1)).expect("sent");
    bench.commit(member.as_mut(), 0, 1).expect("committed");
    let mut found = Vec::new();
    bench.eventually("it comes", || {
        let taken = reader.take(Duration::from_millis(50), &mut |message| {
            found.push(text(message.value));
            ControlFlow::Continue(())
        });
        taken.expect("a reader");
        !found.is_empty()
    });
    assert_eq!(found, ["seen"]);
}
