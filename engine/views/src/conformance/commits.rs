use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::toy::{AGGREGATE, Fixture, VIEW, event, id, key, put, remove, step};
use crate::{Batch, CommitError, HISTORY, NewRow, Parked, Position, RowChange, StoreError};

fn batch(from: i64, to: i64, doc: &str) -> Batch {
    Batch {
        rows: vec![put("1", doc)],
        moves: vec![step(from, to)],
        ..Batch::default()
    }
}

pub(crate) fn a_batch_is_there_whole_or_not_at_all(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&batch(0, 5, "{}")).unwrap();

    // The second of two steps does not fit: nothing of the batch is written, the first step neither.
    let mut bad = batch(5, 6, "{\"bad\":true}");
    bad.moves.push(step(9, 10));
    bad.history.push(event("a", 1));
    assert!(matches!(writer.commit(&bad), Err(CommitError::WrongStep { .. })));
    assert_eq!(fixture.get("1").unwrap().doc, "{}");
    assert_eq!(writer.checkpoints().unwrap()[&key(VIEW)], step(0, 5).to);
    assert!(writer.sequences(AGGREGATE, &[id("a")]).unwrap().is_empty());

    let mut good = batch(5, 6, "{\"good\":true}");
    good.history.push(event("a", 1));
    writer.commit(&good).unwrap();
    assert_eq!(fixture.get("1").unwrap().doc, "{\"good\":true}");
    assert_eq!(writer.checkpoints().unwrap()[&key(VIEW)], step(0, 6).to);
    assert_eq!(writer.sequences(AGGREGATE, &[id("a")]).unwrap()[&id("a")], 1);
}

pub(crate) fn a_batch_that_comes_twice_is_refused(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&batch(0, 5, "{}")).unwrap();
    let twice = writer.commit(&batch(0, 5, "{\"twice\":true}"));
    let Err(CommitError::WrongStep { from, actual, .. }) = twice else {
        panic!("{twice:?}");
    };
    assert_eq!((from, actual), (Position::START, step(0, 5).to));
    assert_eq!(fixture.get("1").unwrap().doc, "{}");
}

pub(crate) fn a_step_that_leaves_something_out_is_refused(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&batch(0, 5, "{}")).unwrap();
    let gap = writer.commit(&batch(7, 8, "{}"));
    assert!(matches!(gap, Err(CommitError::WrongStep { .. })));

    // The right offset with another command is not where it stands either.
    let mut other = batch(5, 6, "{}");
    other.moves[0].from.command_offset = 99;
    let other = writer.commit(&other);
    assert!(matches!(other, Err(CommitError::WrongStep { .. })));
}

pub(crate) fn an_event_that_the_history_has_is_refused(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let twice = Batch {
        history: vec![event("a", 1), event("a", 1)],
        ..Batch::default()
    };
    let twice = writer.commit(&twice);
    assert!(matches!(twice, Err(CommitError::Store(StoreError::Database(_)))));
    assert!(writer.sequences(AGGREGATE, &[id("a")]).unwrap().is_empty());
}

pub(crate) fn an_older_writer_is_fenced(fixture: &Fixture) {
    let mut older = fixture.writer();
    older.commit(&batch(0, 1, "{}")).unwrap();
    let mut newer = fixture.writer();
    let fenced = older.commit(&batch(1, 2, "{\"late\":true}"));
    let Err(CommitError::Fenced { ours, theirs }) = fenced else {
        panic!("{fenced:?}");
    };
    assert!(ours < theirs);
    assert_eq!(fixture.get("1").unwrap().doc, "{}");
    newer.commit(&batch(1, 2, "{\"in_time\":true}")).unwrap();
    assert_eq!(fixture.get("1").unwrap().doc, "{\"in_time\":true}");
}

pub(crate) fn a_reader_sees_no_half_batch(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let done = AtomicBool::new(false);
    // Each batch writes both rows and the step with the same number: whoever reads finds one number in all.
    let write = |writer: &mut dyn crate::ViewWriter, n: i64| {
        let doc = format!("{{\"n\":{n}}}");
        let batch = Batch {
            rows: vec![put("1", &doc), put("2", &doc)],
            moves: vec![step(n - 1, n)],
            ..Batch::default()
        };
        writer.commit(&batch).unwrap();
    };
    write(&mut *writer, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            (2..=200).for_each(|n| write(&mut *writer, n));
            done.store(true, Ordering::Release);
        });
        let mut reader = fixture.store.reader().unwrap();
        while !done.load(Ordering::Acquire) {
            let snapshot = reader.snapshot().unwrap();
            let first = snapshot.get(VIEW, &id("1")).unwrap().unwrap().doc;
            let position = snapshot.positions(VIEW).unwrap()[0].1;
            let second = snapshot.get(VIEW, &id("2")).unwrap().unwrap().doc;
            assert_eq!(first, second);
            assert_eq!(first, format!("{{\"n\":{}}}", position.next_offset));
        }
    });
}

pub(crate) fn a_version_stands_until_something_is_committed(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&batch(0, 5, "{}")).unwrap();
    let mut reader = fixture.store.reader().unwrap();
    let first = reader.snapshot().unwrap().version();
    assert_eq!(reader.snapshot().unwrap().version(), first);

    // What is committed while a snapshot lives is no part of it, nor of its version.
    let snapshot = reader.snapshot().unwrap();
    writer.commit(&batch(5, 6, "{\"late\":true}")).unwrap();
    assert_eq!(snapshot.version(), first);
    assert_eq!(snapshot.get(VIEW, &id("1")).unwrap().unwrap().doc, "{}");
    drop(snapshot);
    let second = reader.snapshot().unwrap().version();
    assert_ne!(second, first);

    // A checkpoint alone is a change too: it is what tokens are made of.
    let moved = Batch {
        moves: vec![step(6, 7)],
        ..Batch::default()
    };
    writer.commit(&moved).unwrap();
    assert_ne!(reader.snapshot().unwrap().version(), second);
}

pub(crate) fn a_row_is_loaded_as_it_was_written(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let written = |doc: &str, sequence, version| RowChange {
        row: Some(NewRow {
            doc: doc.to_owned(),
            listed: true,
            sequence,
            version,
        }),
        ..put("1", "")
    };
    let rows = vec![written("{}", 3, 1), written("{\"colour\":\"grün\"}", 4, 2)];
    let batch = Batch {
        rows,
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    let loaded = writer.load(VIEW, &[id("1"), id("2")]).unwrap();
    assert_eq!(loaded.len(), 1, "only those that there are");
    assert_eq!(loaded[0].doc, "{\"colour\":\"grün\"}");
    assert_eq!((loaded[0].sequence, loaded[0].version), (4, 2));
    assert_eq!(fixture.get("1").as_ref(), Some(&loaded[0]));
}

pub(crate) fn a_row_that_is_removed_is_gone(fixture: &Fixture) {
    let mut writer = fixture.filled([("1", "{}".to_owned())]);
    assert!(fixture.get("1").is_some());
    let batch = Batch {
        rows: vec![remove("1"), remove("never-there")],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    assert!(fixture.get("1").is_none());
    assert!(writer.load(VIEW, &[id("1")]).unwrap().is_empty());
}

pub(crate) fn a_row_that_is_not_listed_is_loaded_and_not_read(fixture: &Fixture) {
    let mut writer = fixture.filled([("1", "{}".to_owned())]);
    let mut hidden = put("1", "{\"waits\":true}");
    hidden.row.as_mut().unwrap().listed = false;
    let batch = Batch {
        rows: vec![hidden],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    assert!(fixture.get("1").is_none());
    let list = fixture.read(|snapshot| snapshot.list(VIEW, &super::lists::first(9)).unwrap());
    assert!(list.rows.is_empty());
    assert_eq!(writer.load(VIEW, &[id("1")]).unwrap().len(), 1);
}

pub(crate) fn the_history_is_read_by_aggregate_in_pages(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let history: Vec<_> = (1..=5).flat_map(|n| [event("a", n), event("b", n)]).collect();
    let batch = Batch {
        history: history.clone(),
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    fixture.read(|snapshot| {
        let read = |after, limit| {
            let events = snapshot.events(AGGREGATE, &id("a"), after, limit).unwrap();
            events.into_iter().map(|event| event.sequence).collect::<Vec<_>>()
        };
        assert_eq!(read(0, 2), [1, 2]);
        assert_eq!(read(2, 9), [3, 4, 5]);
        assert!(read(5, 9).is_empty());
        let all = snapshot.events(AGGREGATE, &id("b"), 0, 9).unwrap();
        assert!(all.iter().eq(history.iter().filter(|event| event.id == id("b"))));
        assert!(snapshot.events("other.type", &id("a"), 0, 9).unwrap().is_empty());
    });
    let sequences = writer.sequences(AGGREGATE, &[id("a"), id("c")]).unwrap();
    assert_eq!(sequences.into_iter().collect::<Vec<_>>(), [(id("a"), 5)]);
}

pub(crate) fn what_is_parked_stays_parked_for_its_first_reason(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let parked = |reason: &str, offset| Parked {
        projection: VIEW.to_owned(),
        aggregate: AGGREGATE.to_owned(),
        id: id("a"),
        reason: reason.to_owned(),
        partition: 0,
        offset,
    };
    for (reason, offset) in [("no such field", 3), ("a gap", 4)] {
        let batch = Batch {
            parked: vec![parked(reason, offset)],
            ..Batch::default()
        };
        writer.commit(&batch).unwrap();
    }
    assert_eq!(writer.parked().unwrap(), [parked("no such field", 3)]);
}

pub(crate) fn positions_are_those_of_the_projection(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let mut of_history = step(0, 7);
    of_history.key.projection = HISTORY.to_owned();
    let batch = Batch {
        moves: vec![step(0, 5), of_history],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    fixture.read(|snapshot| {
        assert_eq!(snapshot.positions(VIEW).unwrap(), [(key(VIEW), step(0, 5).to)]);
        assert_eq!(snapshot.all_positions().unwrap().len(), 2);
        assert_eq!(snapshot.cluster_id().unwrap(), super::toy::CLUSTER);
    });
    assert_eq!(writer.checkpoints().unwrap().len(), 2);
}
