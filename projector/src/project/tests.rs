mod batches;

use foldline_core::AggregateId;
use foldline_views::{CheckpointKey, HISTORY, Position, Touch};

use super::{Outcome, Projector};
use crate::step::{Done, catch_up};
use crate::toy::{Log, Memory, Spec, TabEvent, UNLUCKY, bar};

/// A projector at work: with the store in memory, opened anew for each batch.
#[derive(Default)]
struct Bar {
    store: Memory,
}

impl Bar {
    fn of(log: &Log) -> Self {
        let mut bar = Self::default();
        bar.take(&log.specs);
        bar
    }

    fn take(&mut self, specs: &[Spec]) -> Done {
        let mut projector = self.projector();
        let records = specs.iter().map(Spec::record).collect();
        catch_up(&mut projector, &mut self.store, records).unwrap()
    }

    fn projector(&self) -> Projector {
        Projector::new(bar(), self.store.positions.clone(), self.store.parked.clone())
    }

    fn row(&self, view: &str, id: &str) -> Option<(&str, i64, i64)> {
        let (row, _) = self.store.rows.get(&(view.to_owned(), id.parse().unwrap()))?;
        Some((row.doc.as_str(), row.sequence, row.version))
    }

    fn parked(&self) -> Vec<(&str, &str)> {
        let parked = self.store.parked.iter();
        parked
            .map(|parked| (parked.projection.as_str(), parked.id.as_str()))
            .collect()
    }

    fn history_of(&self, id: &str) -> Vec<i64> {
        let events = self.store.history.iter().filter(|event| event.id.as_str() == id);
        events.map(|event| event.sequence).collect()
    }
}

fn count(done: &Done, projection: &str, outcome: Outcome) -> u64 {
    done.counts
        .get(&(projection.to_owned(), outcome))
        .copied()
        .unwrap_or_default()
}

fn position(store: &Memory, projection: &str, partition: i32) -> Position {
    let key = CheckpointKey {
        projection: projection.to_owned(),
        aggregate: "bar.tabs".to_owned(),
        partition,
    };
    store.positions[&key]
}

#[test]
fn a_row_has_what_its_events_made_of_it_and_is_written_once() {
    let mut log = Log::default();
    log.open("a")
        .spend("a", &["ada"], 3)
        .spend("a", &["ada", "bob"], 4)
        .name("ada", "Ada");
    let bar = Bar::of(&log);
    assert_eq!(bar.row("tabs", "a"), Some((r#"{"total":7}"#, 3, 3)));
    assert_eq!(bar.store.commits(), 1);
    assert_eq!(bar.history_of("a"), [1, 2, 3]);
    let event = &bar.store.history[1];
    assert_eq!(
        (event.aggregate.as_str(), event.partition, event.offset),
        ("bar.tabs", 1, 2)
    );
    let json: serde_json::Value = serde_json::from_str(&event.json).unwrap();
    assert_eq!(json["payload"]["amount"], 3);
}

#[test]
fn a_rows_sequence_is_that_of_the_aggregate_it_is_about() {
    let mut log = Log::default();
    log.open("a").spend("a", &["ada", "bob"], 3).name("ada", "Ada");
    let bar = Bar::of(&log);
    // Two changes, one of them an event of ada's own, her first.
    assert_eq!(
        bar.row("guests", "ada"),
        Some((r#"{"name":"Ada","spent":3}"#, 1, 2))
    );
    assert_eq!(
        bar.row("guests", "bob"),
        Some((r#"{"name":null,"spent":3}"#, 0, 1))
    );
    let listed = |id: &str| bar.store.rows[&("guests".to_owned(), id.parse().unwrap())].1;
    assert!(listed("ada") && !listed("bob"));
}

#[test]
fn a_row_of_two_aggregates_is_the_same_whichever_comes_first() {
    let (mut one, mut other) = (Log::default(), Log::default());
    one.spend("a", &["ada"], 3).name("ada", "Ada");
    other.name("ada", "Ada").spend("a", &["ada"], 3);
    let (one, other) = (Bar::of(&one), Bar::of(&other));
    assert!(one.row("guests", "ada").is_some());
    assert_eq!(one.row("guests", "ada"), other.row("guests", "ada"));
}

#[test]
fn what_touches_rows_of_other_aggregates_is_kept_and_nothing_else() {
    let mut log = Log::default();
    log.open("a")
        .spend("a", &["ada", "bob", "ada"], 3)
        .name("ada", "Ada");
    let bar = Bar::of(&log);
    let touch = |touch: &Touch| {
        (
            touch.view.clone(),
            touch.id.to_string(),
            touch.partition,
            touch.offset,
        )
    };
    let touches: Vec<_> = bar.store.touches.iter().map(touch).collect();
    let touch = |id: &str| ("guests".to_owned(), id.to_owned(), 1, 2);
    assert_eq!(touches, [touch("ada"), touch("bob")]);
    assert_eq!(bar.store.touches[0].aggregate, "bar.tabs");
}

#[test]
fn a_row_that_is_removed_is_gone_and_one_that_comes_back_is_new() {
    let mut log = Log::default();
    log.open("a").spend("a", &[], 3).tab("a", TabEvent::TabClosed {});
    log.open("b").tab("b", TabEvent::TabClosed {}).open("b");
    let bar = Bar::of(&log);
    assert_eq!(bar.row("tabs", "a"), None);
    assert_eq!(bar.row("tabs", "b"), Some((r#"{"total":0}"#, 3, 1)));
}

#[test]
fn a_batch_that_is_offered_again_counts_once() {
    let mut log = Log::default();
    log.open("a").spend("a", &["ada"], 3).name("ada", "Ada");
    let mut bar = Bar::of(&log);
    let before = bar.store.rows.clone();
    let done = bar.take(&log.specs);
    assert_eq!((bar.store.commits(), bar.store.rows), (1, before));
    assert_eq!(count(&done, "guests", Outcome::Skipped), 3);
    assert_eq!(count(&done, HISTORY, Outcome::Applied), 0);
}

#[test]
fn a_gap_parks_its_aggregate_in_every_projection_and_no_other() {
    let mut log = Log::default();
    log.open("a").leap("a", 1).spend("a", &["ada"], 3);
    log.open("c").spend("c", &["ada"], 4).spend("a", &["ada"], 5);
    let mut bar = Bar::default();
    let done = bar.take(&log.specs);
    assert_eq!(
        bar.parked(),
        [
            (HISTORY, "a"),
            ("tabs", "a"),
            ("guests", "a"),
            ("guests/touches", "a")
        ]
    );
    assert_eq!(
        bar.store.parked[0].reason,
        "the event has sequence 3 and comes after 1: events are missing"
    );
    assert_eq!(bar.row("tabs", "a"), Some((r#"{"total":0}"#, 1, 1)));
    assert_eq!(bar.row("tabs", "c"), Some((r#"{"total":4}"#, 2, 2)));
    assert_eq!(
        bar.row("guests", "ada"),
        Some((r#"{"name":null,"spent":4}"#, 0, 1))
    );
    assert_eq!(bar.history_of("a"), [1]);
    assert_eq!(count(&done, "tabs", Outcome::Parked), 2);
    // Nobody waits behind it.
    let last = log.specs.last().unwrap();
    let end = Position {
        next_offset: last.offset + 1,
        command_offset: last.offset / 2,
    };
    assert_eq!(position(&bar.store, "tabs", 1), end);
}

#[test]
fn a_repeat_parks_its_aggregate() {
    let mut log = Log::default();
    log.open("a").leap("a", -1).spend("a", &["ada"], 3);
    let bar = Bar::of(&log);
    assert_eq!(
        bar.store.parked[0].reason,
        "the event has sequence 1 and comes after 1: it is a repeat"
    );
    assert_eq!(bar.row("guests", "ada"), None);
}

#[test]
fn a_parked_aggregate_stays_parked_in_later_batches() {
    let mut log = Log::default();
    log.open("a")
        .leap("a", 1)
        .spend("a", &[], 3)
        .spend("a", &["ada"], 4);
    let mut bar = Bar::default();
    bar.take(&log.specs[..2]);
    let done = bar.take(&log.specs[2..]);
    assert_eq!((done.parked.len(), count(&done, "tabs", Outcome::Parked)), (0, 1));
    assert_eq!(bar.row("guests", "ada"), None);
}

#[test]
fn a_panic_parks_the_aggregate_in_that_projection_and_loses_nothing_else() {
    let mut log = Log::default();
    log.open("a")
        .spend("a", &["ada"], 3)
        .spend("a", &["ada"], UNLUCKY)
        .spend("a", &["ada"], 4);
    let bar = Bar::of(&log);
    assert_eq!(bar.parked(), [("tabs", "a")]);
    assert!(
        bar.store.parked[0].reason.contains("unlucky"),
        "{}",
        bar.store.parked[0].reason
    );
    assert_eq!(bar.row("tabs", "a"), Some((r#"{"total":3}"#, 2, 2)));
    assert_eq!(
        bar.row("guests", "ada"),
        Some((r#"{"name":null,"spent":20}"#, 0, 3))
    );
    assert_eq!(bar.history_of("a"), [1, 2, 3, 4]);
}

#[test]
fn an_event_is_in_all_rows_that_it_touches_or_in_none() {
    let mut log = Log::default();
    log.spend("a", &["ada", "zoe"], 3)
        .spend("a", &["ada", "zoe"], UNLUCKY)
        .spend("c", &["ada"], 1);
    for cuts in [&[0, 3][..], &[0, 1, 3]] {
        let mut bar = Bar::default();
        for cut in cuts.windows(2) {
            bar.take(&log.specs[cut[0]..cut[1]]);
        }
        assert_eq!(
            bar.row("guests", "ada"),
            Some((r#"{"name":null,"spent":4}"#, 0, 2))
        );
        assert_eq!(
            bar.row("guests", "zoe"),
            Some((r#"{"name":null,"spent":3}"#, 0, 1))
        );
        assert!(bar.parked().contains(&("guests", "a")));
    }
}

#[test]
fn a_record_that_cannot_be_read_parks_the_aggregate_that_its_key_names() {
    let mut log = Log::default();
    log.open("a").garbage(Some("a")).spend("a", &["ada"], 3).open("c");
    let bar = Bar::of(&log);
    assert_eq!(
        bar.parked(),
        [
            (HISTORY, "a"),
            ("tabs", "a"),
            ("guests", "a"),
            ("guests/touches", "a")
        ]
    );
    assert_eq!(bar.store.parked[0].reason, "garbage");
    assert_eq!(bar.row("guests", "ada"), None);
    assert!(bar.row("tabs", "c").is_some());
}

#[test]
fn a_record_without_key_is_parked_by_its_place() {
    let mut log = Log::default();
    log.garbage(None);
    let bar = Bar::of(&log);
    assert_eq!(bar.parked()[0], (HISTORY, "~unkeyed.0.0"));
}

#[test]
fn a_stored_row_that_cannot_be_read_parks_who_needs_it_and_is_left_as_it_is() {
    let mut log = Log::default();
    log.open("a").open("c").spend("a", &[], 3).spend("c", &[], 4);
    let mut bar = Bar::default();
    bar.take(&log.specs[..2]);
    let id: AggregateId = "a".parse().unwrap();
    bar.store.rows.get_mut(&("tabs".to_owned(), id)).unwrap().0.doc = "{".to_owned();
    bar.take(&log.specs[2..]);
    assert_eq!(bar.parked(), [("tabs", "a")]);
    assert!(
        bar.store.parked[0]
            .reason
            .starts_with("the stored row a cannot be read")
    );
    assert_eq!(bar.row("tabs", "a"), Some(("{", 1, 1)));
    assert_eq!(bar.row("tabs", "c"), Some((r#"{"total":4}"#, 2, 2)));
}

/// As if the view had been added later.
fn forget(store: &mut Memory, view: &str) {
    store.rows.retain(|(name, _), _| name != view);
    store.positions.retain(|key, _| key.projection != view);
    store.parked.retain(|parked| parked.projection != view);
}

#[test]
fn a_new_view_catches_up_while_the_others_skip() {
    let mut log = Log::default();
    log.open("a")
        .spend("a", &["ada"], 3)
        .open("b")
        .spend("a", &["ada"], 4);
    let mut bar = Bar::default();
    bar.take(&log.specs[..3]);
    forget(&mut bar.store, "tabs");
    assert_eq!(bar.projector().start("bar.tabs", 1), 0);
    assert_eq!(bar.projector().start("bar.guests", 1), 0);

    let done = bar.take(&log.specs);
    assert_eq!(count(&done, "tabs", Outcome::Applied), 4);
    assert_eq!(count(&done, "guests", Outcome::Skipped), 3);
    assert_eq!(count(&done, HISTORY, Outcome::Applied), 1);
    let straight = Bar::of(&log);
    assert_eq!(bar.store.rows, straight.store.rows);
    assert_eq!(bar.store.history, straight.store.history);
    assert_eq!(bar.projector().start("bar.tabs", 1), 5);
}

#[test]
fn a_new_view_stops_at_the_gap_that_the_history_found_long_ago() {
    let mut log = Log::default();
    log.open("a")
        .leap("a", 1)
        .spend("a", &["ada"], 3)
        .spend("a", &["ada"], 4);
    let mut bar = Bar::of(&log);
    let before = bar.store.rows.clone();
    forget(&mut bar.store, "tabs");
    bar.take(&log.specs);
    assert_eq!(bar.store.rows, before);
    assert!(bar.parked().contains(&("tabs", "a")));
}
