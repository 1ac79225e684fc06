//! Rules of feeds.

use foldline_core::Timestamp;

use super::toy::{AGGREGATE, Fixture, event, key};
use crate::{Batch, CheckpointMove, FeedPlace, FeedQuery, HISTORY, HistoryEvent, Position, ViewWriter};

/// The event that lies at this offset of a partition.
fn at(partition: i32, offset: i64, kind: &str) -> HistoryEvent {
    HistoryEvent {
        partition,
        offset,
        event_type: kind.to_owned(),
        recorded_at: Timestamp(offset),
        ..event(&format!("p{partition}"), offset + 1)
    }
}

/// Writes events of a partition, and that the history has come to this offset of it.
fn write(writer: &mut dyn ViewWriter, partition: i32, from: i64, to: i64, history: Vec<HistoryEvent>) {
    let position = |next_offset| Position {
        next_offset,
        command_offset: next_offset - 1,
    };
    let mut key = key(HISTORY);
    key.partition = partition;
    let moves = vec![CheckpointMove {
        key,
        from: position(from),
        to: position(to),
    }];
    let batch = Batch {
        history,
        moves,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
}

/// Partition 0 has events at its even offsets, types in turn; partition 1 at each; both end at 12.
fn filled(fixture: &Fixture) -> Box<dyn ViewWriter> {
    let mut writer = fixture.writer();
    let even = (0..12).step_by(2);
    let even = even.map(|offset| at(0, offset, if offset % 4 == 0 { "A" } else { "B" }));
    write(&mut *writer, 0, 0, 12, even.collect());
    write(
        &mut *writer,
        1,
        0,
        12,
        (0..12).map(|offset| at(1, offset, "C")).collect(),
    );
    writer
}

fn query(types: &[&str], limit: usize) -> FeedQuery {
    FeedQuery {
        aggregates: vec![AGGREGATE.to_owned()],
        types: types.iter().map(|&kind| kind.to_owned()).collect(),
        limit,
        ..FeedQuery::default()
    }
}

/// All pages from there on: the offsets of both partitions, and the place behind them.
fn read(fixture: &Fixture, mut query: FeedQuery) -> (Vec<i64>, Vec<i64>, FeedPlace) {
    let mut found = (Vec::new(), Vec::new());
    loop {
        let page = fixture.read(|snapshot| snapshot.feed(&query).unwrap());
        assert!(page.events.len() <= query.limit);
        for event in page.events {
            let of = if event.partition == 0 {
                &mut found.0
            } else {
                &mut found.1
            };
            of.push(event.offset);
        }
        query.after = page.next;
        if !page.more {
            return (found.0, found.1, query.after);
        }
    }
}

fn place(offsets: &[(i32, i64)]) -> FeedPlace {
    let entries = offsets
        .iter()
        .map(|&(partition, offset)| ((AGGREGATE.to_owned(), partition), offset));
    entries.collect()
}

pub(crate) fn a_feed_has_every_event_once_in_the_order_of_its_partition(fixture: &Fixture) {
    let mut writer = filled(fixture);
    let even = vec![0, 2, 4, 6, 8, 10];
    let all: Vec<i64> = (0..12).collect();
    let end = place(&[(0, 12), (1, 12)]);
    for limit in 1..=20 {
        assert_eq!(
            read(fixture, query(&[], limit)),
            (even.clone(), all.clone(), end.clone()),
            "{limit}"
        );
    }
    let mut query = query(&[], 5);
    query.after = end;
    assert_eq!(read(fixture, query.clone()).1, [] as [i64; 0]);
    write(&mut *writer, 1, 12, 14, vec![at(1, 13, "C")]);
    assert_eq!(
        read(fixture, query),
        (vec![], vec![13], place(&[(0, 12), (1, 14)]))
    );
}

pub(crate) fn a_feed_leaves_out_what_is_not_asked_for_and_goes_on_behind_it(fixture: &Fixture) {
    let _writer = filled(fixture);
    for limit in 1..=5 {
        let (first, second, end) = read(fixture, query(&["B", "never"], limit));
        assert_eq!((first, second), (vec![2, 6, 10], vec![]));
        assert_eq!(
            end,
            place(&[(0, 12), (1, 12)]),
            "what was left out is behind it too"
        );
    }
    let mut elsewhere = query(&[], 5);
    elsewhere.aggregates = vec!["other.type".to_owned()];
    assert_eq!(read(fixture, elsewhere), (vec![], vec![], FeedPlace::new()));
}

pub(crate) fn a_feed_begins_and_ends_where_it_is_told(fixture: &Fixture) {
    let _writer = filled(fixture);
    let mut query = query(&[], 3);
    query.after = place(&[(0, 3), (1, 7)]);
    query.until = Some(place(&[(0, 9), (1, 8)]));
    assert_eq!(
        read(fixture, query.clone()),
        (vec![4, 6, 8], vec![7], place(&[(0, 9), (1, 8)]))
    );
    // A store that has not come that far has nothing to say, and does not lead back.
    query.until = None;
    query.after = place(&[(0, 50), (1, 50)]);
    assert_eq!(read(fixture, query.clone()), (vec![], vec![], query.after));
}

pub(crate) fn the_partitions_of_a_page_come_by_time(fixture: &Fixture) {
    let _writer = filled(fixture);
    let page = fixture.read(|snapshot| snapshot.feed(&query(&[], 100)).unwrap());
    assert!(page.events.is_sorted_by_key(|event| event.recorded_at));
    assert_eq!((page.events.len(), page.more), (18, false));
}
