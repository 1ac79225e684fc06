//! Rules of generations: what is built beside is seen by nobody until it is served, and then by everybody at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use foldline_core::Domains;

use super::lists::first;
use super::toy::{
    AGGREGATE, CLUSTER, Fixture, VIEW, WET, coats, event, id, ids, key, newer_coats, plain_coats, put,
    remove, step,
};
use crate::{
    Batch, Build, CommitError, DeskError, Filter, ListQuery, OpenError, Parked, ServeError, StoreError, Test,
    ViewBuilder,
};

const PROGRAM: Build<'_> = Build::Resume { program: "ours" };

fn builder(fixture: &Fixture, domains: &Domains, build: Build<'_>) -> Box<dyn ViewBuilder> {
    let view = domains.views()[0].info();
    fixture.store.builder(view, build, CLUSTER).unwrap()
}

fn batch(row: &str, doc: &str, from: i64, to: i64) -> Batch {
    Batch {
        rows: vec![put(row, doc)],
        moves: vec![step(from, to)],
        ..Batch::default()
    }
}

fn doc(fixture: &Fixture) -> String {
    fixture.get("1").unwrap().doc
}

fn parked(offset: i64) -> Parked {
    Parked {
        projection: VIEW.to_owned(),
        aggregate: AGGREGATE.to_owned(),
        id: id("a"),
        reason: format!("it failed at {offset}"),
        partition: 0,
        offset,
    }
}

fn served_on_in_the_old_form(fixture: &Fixture, changed: &Domains) {
    fixture.writer().commit(&batch("1", "{}", 0, 5)).unwrap();
    let mut writer = fixture.store.writer(changed, CLUSTER).unwrap();
    assert_eq!(writer.beside(), [VIEW]);
    let of_history = Batch {
        history: vec![event("a", 1)],
        ..Batch::default()
    };
    writer.commit(&of_history).unwrap();
    let refused = writer.commit(&batch("1", "{\"new\":true}", 5, 6));
    assert!(matches!(refused, Err(CommitError::Store(StoreError::NoView(_)))));
    assert_eq!(doc(fixture), "{}");
    fixture.read(|snapshot| {
        assert_eq!(snapshot.missing(&coats()).unwrap(), [""; 0]);
        assert_eq!(snapshot.missing(changed).unwrap(), [VIEW]);
        assert_eq!(snapshot.positions(VIEW).unwrap(), [(key(VIEW), step(0, 5).to)]);
    });

    let mut built = builder(fixture, changed, PROGRAM);
    assert!(built.checkpoints().unwrap().is_empty(), "from the beginning");
    built.commit(&batch("1", "{\"new\":true}", 0, 5)).unwrap();
    built.hold().unwrap().serve().unwrap();
    assert_eq!(doc(fixture), "{\"new\":true}");
    fixture.read(|snapshot| assert_eq!(snapshot.missing(changed).unwrap(), [""; 0]));
    let writer = fixture.store.writer(changed, CLUSTER).unwrap();
    assert!(writer.beside().is_empty());
}

pub(crate) fn a_view_of_another_version_is_served_on_until_it_is_built(fixture: &Fixture) {
    served_on_in_the_old_form(fixture, &newer_coats());
    let older = fixture.store.writer(&coats(), CLUSTER).err();
    let Some(OpenError::NewerView { found, expected, .. }) = older else {
        panic!("a program that is too old: {older:?}");
    };
    assert_eq!((found, expected), (2, 1));
}

pub(crate) fn a_view_with_other_fields_is_served_on_until_it_is_built(fixture: &Fixture) {
    served_on_in_the_old_form(fixture, &plain_coats());
}

pub(crate) fn a_field_that_the_served_form_lacks_is_named(fixture: &Fixture) {
    let mut writer = fixture.store.writer(&plain_coats(), CLUSTER).unwrap();
    writer.commit(&batch("1", "{\"wet\":true}", 0, 5)).unwrap();
    let query = ListQuery {
        filters: vec![Filter {
            field: WET,
            test: Test::In(vec![crate::FieldValue::Boolean(true)]),
        }],
        ..first(9)
    };
    fixture.read(|snapshot| {
        let refused = snapshot.list(VIEW, &query).map(|page| page.rows.len());
        assert!(matches!(refused, Err(StoreError::OtherForm { field, .. }) if field == WET.name));
        assert_eq!(snapshot.list(VIEW, &first(9)).unwrap().rows.len(), 1);
    });
}

pub(crate) fn a_generation_is_built_beside_the_one_that_is_served(fixture: &Fixture) {
    let mut writer = fixture.filled([("1", "{}".to_owned())]);
    let mut built = builder(fixture, &coats(), PROGRAM);
    assert_eq!(built.generation(), 2);
    built.commit(&batch("1", "{\"new\":true}", 0, 3)).unwrap();
    built.commit(&batch("2", "{\"new\":true}", 3, 4)).unwrap();
    writer.commit(&batch("1", "{\"old\":true}", 0, 9)).unwrap();
    assert_eq!(doc(fixture), "{\"old\":true}");
    assert_eq!(built.load(VIEW, &[id("1")]).unwrap()[0].doc, "{\"new\":true}");
    assert_eq!(built.checkpoints().unwrap()[&key(VIEW)], step(0, 4).to);
    fixture.read(|snapshot| {
        assert_eq!(snapshot.positions(VIEW).unwrap(), [(key(VIEW), step(0, 9).to)]);
        assert_eq!(snapshot.all_positions().unwrap().len(), 1);
        assert_eq!(
            snapshot.positions_of(VIEW, 2).unwrap(),
            [(key(VIEW), step(0, 4).to)]
        );
        assert_eq!(ids(&snapshot.list(VIEW, &first(9)).unwrap()), ["1"]);
        let all = snapshot.rows_of(VIEW, 2, None, 9).unwrap();
        assert_eq!(all.len(), 2);
        let rest = snapshot.rows_of(VIEW, 2, Some(&id("1")), 9).unwrap();
        assert_eq!(rest, all[1..]);
        assert_eq!((rest[0].row.generation, rest[0].listed), (2, true));
        let states: Vec<_> = snapshot.generations().unwrap();
        let states: Vec<_> = states.iter().map(|one| (one.number, one.is_served)).collect();
        assert_eq!(states, [(1, true), (2, false)]);
        let none = snapshot.rows_of(VIEW, 3, None, 9);
        assert!(matches!(
            none,
            Err(StoreError::NoGeneration { generation: 3, .. })
        ));
    });
}

pub(crate) fn a_generation_is_served_when_it_has_come_as_far(fixture: &Fixture) {
    fixture.writer().commit(&batch("1", "{}", 0, 5)).unwrap();
    let mut built = builder(fixture, &coats(), PROGRAM);
    built.commit(&batch("1", "{\"new\":true}", 0, 4)).unwrap();
    let behind = built.hold().unwrap().serve();
    assert!(matches!(behind, Err(ServeError::Behind { generation: 2, .. })));
    assert_eq!(doc(fixture), "{}");

    let mut held = built.hold().unwrap();
    assert_eq!(held.served().unwrap()[&key(VIEW)], step(0, 5).to);
    held.commit(&batch("2", "{\"last\":true}", 4, 5)).unwrap();
    held.serve().unwrap();
    assert_eq!(doc(fixture), "{\"new\":true}");
    fixture.read(|snapshot| {
        assert_eq!(snapshot.positions(VIEW).unwrap(), [(key(VIEW), step(0, 5).to)]);
        assert_eq!(snapshot.get(VIEW, &id("2")).unwrap().unwrap().generation, 2);
    });
    let late = built.commit(&batch("1", "{\"late\":true}", 5, 6));
    assert!(matches!(late, Err(CommitError::NotOurs { generation: 2, .. })));
}

pub(crate) fn what_a_builder_held_is_given_back(fixture: &Fixture) {
    let mut writer = fixture.filled([("1", "{}".to_owned())]);
    let mut built = builder(fixture, &coats(), PROGRAM);
    let mut held = built.hold().unwrap();
    held.commit(&batch("1", "{\"new\":true}", 0, 4)).unwrap();
    drop(held);
    assert!(built.load(VIEW, &[id("1")]).unwrap().is_empty());
    writer.commit(&batch("1", "{\"old\":true}", 0, 1)).unwrap();
    built.commit(&batch("1", "{\"new\":true}", 0, 4)).unwrap();
}

pub(crate) fn a_writer_begins_again_after_a_switch(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&batch("1", "{}", 0, 5)).unwrap();
    let mut built = builder(fixture, &coats(), PROGRAM);
    built.commit(&batch("1", "{\"new\":true}", 0, 7)).unwrap();
    built.hold().unwrap().serve().unwrap();

    let Err(CommitError::Switched { ours, theirs, .. }) = writer.commit(&batch("1", "{\"late\":true}", 5, 6))
    else {
        panic!("a writer of what is not served");
    };
    assert_eq!((ours, theirs), (1, 2));
    assert_eq!(doc(fixture), "{\"new\":true}");
    let mut writer = fixture.writer();
    assert_eq!(writer.checkpoints().unwrap()[&key(VIEW)], step(0, 7).to);
    writer.commit(&batch("1", "{\"newer\":true}", 7, 8)).unwrap();
    assert_eq!(doc(fixture), "{\"newer\":true}");

    // And back: the old one stands where it stood.
    fixture.store.desk().unwrap().serve(VIEW, 1).unwrap();
    assert_eq!(doc(fixture), "{}");
    fixture.read(|snapshot| {
        assert_eq!(snapshot.positions(VIEW).unwrap(), [(key(VIEW), step(0, 5).to)]);
    });
}

pub(crate) fn a_reader_sees_one_generation_whole(fixture: &Fixture) {
    let tag = |n: i64| format!("{{\"generation\":{n}}}");
    let both = |n: i64| Batch {
        rows: vec![put("1", &tag(n)), put("2", &tag(n))],
        moves: vec![step(0, n)],
        ..Batch::default()
    };
    fixture.writer().commit(&both(1)).unwrap();
    let mut built = builder(fixture, &coats(), PROGRAM);
    built.commit(&both(2)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut desk = fixture.store.desk().unwrap();
            (0..200).for_each(|turn| desk.serve(VIEW, 2 - turn % 2).unwrap());
            done.store(true, Ordering::Release);
        });
        let mut reader = fixture.store.reader().unwrap();
        while !done.load(Ordering::Acquire) {
            let snapshot = reader.snapshot().unwrap();
            let first_row = snapshot.get(VIEW, &id("1")).unwrap().unwrap();
            let positions = snapshot.positions(VIEW).unwrap();
            let list = snapshot.list(VIEW, &first(9)).unwrap();
            let second = snapshot.get(VIEW, &id("2")).unwrap().unwrap();
            assert_eq!(first_row.doc, tag(first_row.generation));
            assert_eq!(positions[0].1.next_offset, first_row.generation);
            assert_eq!(list.rows, [first_row, second]);
        }
    });
}

pub(crate) fn all_pages_of_a_list_can_come_from_one_generation(fixture: &Fixture) {
    let rows = |docs: &[(&str, &str)]| Batch {
        rows: docs.iter().map(|(row, doc)| put(row, doc)).collect(),
        ..Batch::default()
    };
    fixture
        .writer()
        .commit(&rows(&[("1", "{}"), ("2", "{}")]))
        .unwrap();
    let page = fixture.read(|snapshot| snapshot.list(VIEW, &first(1)).unwrap());
    let mut built = builder(fixture, &coats(), PROGRAM);
    built.commit(&rows(&[("3", "{}")])).unwrap();
    built.hold().unwrap().serve().unwrap();
    let rest = ListQuery {
        after: page.next,
        generation: Some(page.generation),
        ..first(9)
    };
    let list = |query: &ListQuery| {
        fixture.read(|snapshot| snapshot.list(VIEW, query).map(|page| ids(&page).concat()))
    };
    assert_eq!(list(&rest).unwrap(), "2");
    assert_eq!(
        list(&ListQuery {
            generation: None,
            ..rest.clone()
        })
        .unwrap(),
        "3"
    );
    fixture.store.desk().unwrap().remove(VIEW, 1).unwrap();
    let gone = list(&rest);
    assert!(
        matches!(gone, Err(StoreError::NoGeneration { generation: 1, .. })),
        "{gone:?}"
    );
}

pub(crate) fn a_builder_goes_on_where_it_stood(fixture: &Fixture) {
    let _writer = fixture.writer();
    let mut before = builder(fixture, &coats(), PROGRAM);
    before.commit(&batch("1", "{}", 0, 3)).unwrap();
    let mut built = builder(fixture, &coats(), PROGRAM);
    assert_eq!(built.generation(), 2);
    assert_eq!(built.checkpoints().unwrap()[&key(VIEW)], step(0, 3).to);
    let late = before.commit(&batch("1", "{}", 3, 4));
    assert!(matches!(late, Err(CommitError::NotOurs { .. })), "{late:?}");
    built.commit(&batch("1", "{}", 3, 4)).unwrap();
}

pub(crate) fn what_another_program_has_begun_is_begun_anew(fixture: &Fixture) {
    let _writer = fixture.writer();
    let others = [
        (coats(), Build::Resume { program: "theirs" }),
        (coats(), Build::Anew { program: "theirs" }),
        (newer_coats(), Build::Resume { program: "theirs" }),
    ];
    for (domains, build) in others {
        let mut before = builder(fixture, &coats(), PROGRAM);
        before.commit(&batch("1", "{}", 0, 3)).unwrap();
        let mut built = builder(fixture, &domains, build);
        assert!(built.checkpoints().unwrap().is_empty());
        assert!(built.load(VIEW, &[id("1")]).unwrap().is_empty());
        let late = before.commit(&batch("1", "{}", 3, 4));
        assert!(matches!(late, Err(CommitError::NotOurs { .. })), "{late:?}");
        let all = fixture.read(|snapshot| snapshot.generations().unwrap());
        assert_eq!(all.len(), 2, "one is built at a time: {all:?}");
    }
}

pub(crate) fn a_generation_that_was_served_is_kept_and_can_go_on(fixture: &Fixture) {
    fixture.writer().commit(&batch("1", "{}", 0, 5)).unwrap();
    let mut built = builder(fixture, &coats(), PROGRAM);
    built.commit(&batch("1", "{\"new\":true}", 0, 5)).unwrap();
    built.hold().unwrap().serve().unwrap();
    let _third = builder(fixture, &coats(), PROGRAM);
    let mut kept = builder(fixture, &coats(), Build::Kept(1));
    assert_eq!(kept.checkpoints().unwrap()[&key(VIEW)], step(0, 5).to);
    kept.commit(&batch("1", "{\"caught_up\":true}", 5, 6)).unwrap();
    kept.hold().unwrap().serve().unwrap();
    assert_eq!(doc(fixture), "{\"caught_up\":true}");
    let view = coats();
    let none = fixture
        .store
        .builder(view.views()[0].info(), Build::Kept(9), CLUSTER);
    assert!(matches!(
        none.err(),
        Some(OpenError::Store(StoreError::NoGeneration { generation: 9, .. }))
    ));
}

pub(crate) fn what_is_served_cannot_be_removed(fixture: &Fixture) {
    let _writer = fixture.filled([("1", "{}".to_owned())]);
    let mut built = builder(fixture, &coats(), PROGRAM);
    built.commit(&batch("1", "{}", 0, 3)).unwrap();
    let mut desk = fixture.store.desk().unwrap();
    let refused = desk.remove(VIEW, 1);
    assert!(matches!(refused, Err(DeskError::Served { generation: 1, .. })));
    desk.remove(VIEW, 2).unwrap();
    let gone = desk.remove(VIEW, 2);
    assert!(matches!(
        gone,
        Err(DeskError::Store(StoreError::NoGeneration { generation: 2, .. }))
    ));
    assert!(fixture.get("1").is_some());
    fixture.read(|snapshot| {
        assert_eq!(snapshot.generations().unwrap().len(), 1);
        assert!(snapshot.positions_of(VIEW, 2).unwrap().is_empty());
    });
    let late = built.commit(&batch("1", "{}", 3, 4));
    assert!(matches!(late, Err(CommitError::NotOurs { .. })), "{late:?}");
}

pub(crate) fn what_is_parked_belongs_to_its_generation(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let batch = |offset| Batch {
        parked: vec![parked(offset)],
        ..Batch::default()
    };
    writer.commit(&batch(3)).unwrap();
    let mut built = builder(fixture, &coats(), PROGRAM);
    assert!(built.parked().unwrap().is_empty());
    built.commit(&batch(7)).unwrap();
    assert_eq!(writer.parked().unwrap(), [parked(3)]);
    assert_eq!(built.parked().unwrap(), [parked(7)]);
    fixture.read(|snapshot| {
        assert_eq!(snapshot.parked_of(VIEW, 2).unwrap(), [parked(7)]);
        let shown = snapshot.parked().unwrap();
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].parked, parked(3));
    });
}

pub(crate) fn what_is_parked_is_retried_when_it_is_asked_for_and_follows_again(fixture: &Fixture) {
    let mut writer = fixture.writer();
    let park = Batch {
        parked: vec![parked(3)],
        ..Batch::default()
    };
    writer.commit(&park).unwrap();
    assert!(writer.retries().unwrap().is_empty());
    let mut desk = fixture.store.desk().unwrap();
    desk.retry(&parked(3).key()).unwrap();
    assert_eq!(writer.retries().unwrap(), [parked(3)]);
    let asked = |fixture: &Fixture| {
        let all = fixture.read(|snapshot| snapshot.parked().unwrap());
        let all = all.into_iter();
        all.map(|entry| (entry.parked.offset, entry.is_to_be_retried, entry.dropped))
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(fixture), [(3, true, None)]);

    // It fails again, further on: parked there, and not to be tried again by itself.
    let further = Batch {
        rows: vec![put("1", "{}")],
        unparked: vec![parked(3).key()],
        parked: vec![parked(8)],
        ..Batch::default()
    };
    writer.commit(&further).unwrap();
    assert_eq!(asked(fixture), [(8, false, None)]);

    desk.drop_parked(&parked(8).key(), "it was a test").unwrap();
    assert_eq!(asked(fixture), [(8, false, Some("it was a test".to_owned()))]);
    let done = Batch {
        rows: vec![remove("1")],
        unparked: vec![parked(8).key()],
        ..Batch::default()
    };
    writer.commit(&done).unwrap();
    assert!(asked(fixture).is_empty());
    let none = desk.retry(&parked(3).key());
    assert!(matches!(none, Err(DeskError::NotParked(_))));
}
