use super::toy::{AGGREGATE, CLUSTER, Fixture, VIEW, coats, event, historic_coats, id, key, put, step};
use crate::{Batch, HISTORY, OpenError, Parked, StoreError};

fn first_batch() -> Batch {
    let mut of_history = step(0, 5);
    HISTORY.clone_into(&mut of_history.key.projection);
    Batch {
        rows: vec![put("1", "{}")],
        history: vec![event("a", 1)],
        parked: vec![Parked {
            projection: VIEW.to_owned(),
            aggregate: AGGREGATE.to_owned(),
            id: id("a"),
            reason: "no such field".to_owned(),
            partition: 0,
            offset: 3,
        }],
        moves: vec![step(0, 5), of_history],
        ..Batch::default()
    }
}

pub(crate) fn there_is_nothing_to_read_before_the_first_writer(fixture: &Fixture) {
    let none = fixture.store.reader();
    assert!(matches!(none, Err(StoreError::NotThere(_))));
    let _writer = fixture.writer();
    assert!(fixture.get("1").is_none());
}

pub(crate) fn a_reader_goes_on_when_the_writer_is_gone(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&first_batch()).unwrap();
    let mut before = fixture.store.reader().unwrap();
    drop(writer);
    assert!(before.snapshot().unwrap().get(VIEW, &id("1")).unwrap().is_some());
    drop(before);
    assert!(fixture.get("1").is_some());
}

pub(crate) fn a_store_goes_on_where_it_stood(fixture: &Fixture) {
    let mut writer = fixture.writer();
    writer.commit(&first_batch()).unwrap();
    drop(writer);
    let mut writer = fixture.writer();
    assert_eq!(writer.checkpoints().unwrap()[&key(VIEW)], step(0, 5).to);
    assert_eq!(writer.load(VIEW, &[id("1")]).unwrap().len(), 1);
    assert_eq!(writer.parked().unwrap().len(), 1);
}

pub(crate) fn the_store_of_another_cluster_is_refused(fixture: &Fixture) {
    fixture.writer().commit(&first_batch()).unwrap();
    let error = fixture
        .store
        .writer(&coats(), "cluster-b")
        .err()
        .expect("a refusal");
    assert!(matches!(error, OpenError::OtherCluster { .. }));
    let text = error.to_string();
    for part in [CLUSTER, "cluster-b", "remove it"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(fixture.get("1").is_some(), "nothing was touched");
}

pub(crate) fn a_view_cannot_be_called_history(fixture: &Fixture) {
    let refused = fixture.store.writer(&historic_coats(), CLUSTER).err();
    assert!(matches!(refused, Some(OpenError::Reserved(name)) if name == HISTORY));
}
