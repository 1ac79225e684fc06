use std::collections::BTreeMap;

use foldline_core::AggregateId;
use foldline_views::{CheckpointKey, HistoryEvent, Parked, Position, Row};
use proptest::prelude::*;
use proptest::sample::Index;

use super::Bar;
use crate::hands::Hands;
use crate::pipeline::Pipeline;
use crate::toy::{Log, Memory, Spec, TabEvent};

/// Everything that is in the store, in an order that batches do not change.
type Content = (
    BTreeMap<(String, AggregateId), (Row, bool)>,
    Vec<HistoryEvent>,
    BTreeMap<CheckpointKey, Position>,
    Vec<Parked>,
);

fn content(store: Memory) -> Content {
    let mut parked = store.parked;
    parked.sort_by_key(|parked| {
        (
            parked.projection.clone(),
            parked.aggregate.clone(),
            parked.id.clone(),
        )
    });
    (
        store.rows,
        store.history,
        store.positions.into_iter().collect(),
        parked,
    )
}

fn log() -> impl Strategy<Value = Log> {
    let happening = (
        0..12,
        "[a-d]",
        prop::collection::vec("(ada|bob|zoe)", 0..3),
        10..15i64,
    );
    prop::collection::vec(happening, 1..40).prop_map(|happenings| {
        let mut log = Log::default();
        for (what, tab, guests, amount) in &happenings {
            let guests: Vec<&str> = guests.iter().map(String::as_str).collect();
            match what {
                0 => log.garbage(Some(tab)),
                1 => log.leap(tab, 1),
                2 => log.leap(tab, -1),
                3 | 4 => log.open(tab),
                5 => log.tab(tab, TabEvent::TabClosed {}),
                6 | 7 => log.name("ada", tab),
                _ => log.spend(tab, &guests, *amount),
            };
        }
        log
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn how_events_are_cut_into_batches_makes_no_difference(
        log in log(),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        again in any::<Index>(),
    ) {
        let mut one_by_one = Bar::default();
        for spec in &log.specs {
            one_by_one.take(std::slice::from_ref(spec));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.specs.len() + 1)).collect();
        cuts.extend([0, log.specs.len()]);
        cuts.sort_unstable();
        let mut in_batches = Bar::default();
        for cut in cuts.windows(2) {
            in_batches.take(&log.specs[cut[0]..cut[1]]);
        }
        if !log.specs.is_empty() {
            in_batches.take(&log.specs[again.index(log.specs.len())..]);
        }
        prop_assert_eq!(content(in_batches.store), content(one_by_one.store));
    }

    #[test]
    fn a_batch_is_the_same_folded_behind_one_that_is_committed_and_behind_one_that_is_not(
        log in log(),
        size in 1..8usize,
        settled in prop::collection::vec(any::<bool>(), 40),
        threads in any::<bool>(),
    ) {
        let mut settling = Bar::default();
        for specs in log.specs.chunks(size) {
            settling.take(specs);
        }
        let mut ahead = Bar::default();
        let mut projector = ahead.projector();
        let mut pipeline = Pipeline::new(if threads { Hands::Two } else { Hands::One });
        for (specs, is_settled) in log.specs.chunks(size).zip(settled) {
            let records = specs.iter().map(Spec::record).collect();
            pipeline.take(&mut projector, &mut ahead.store, records).unwrap();
            if is_settled {
                pipeline.settle(&mut ahead.store).unwrap();
            }
        }
        pipeline.settle(&mut ahead.store).unwrap();
        prop_assert_eq!(ahead.store.commits(), settling.store.commits());
        prop_assert_eq!(content(ahead.store), content(settling.store));
    }
}
