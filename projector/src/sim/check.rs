//! Judges the store: rows are the fold of the log up to where the view says it is, the history has each event once, and
//! nobody who reads is led back.

use std::collections::{BTreeMap, HashMap};

use foldline_core::AggregateId;
use foldline_views::{COMMANDS, HISTORY, Snapshot};
use serde_json::{Value, json};

use super::log::{Kind, Log, Place};
use super::tomorrow;
use super::world::{by_place, places};
use crate::toy::{Entry, GuestEvent, Spec, TabEvent};

const VIEWS: [&str; 2] = ["tabs", "guests"];
const ALL: usize = 10_000;

/// Where each view was when it was judged last.
pub(super) type Seen = HashMap<(&'static str, Place), usize>;

/// By id, what a row says, and whether it is shown.
type Rows = BTreeMap<String, (Value, bool)>;

/// What must not be; nothing if all is well.
pub(super) fn judge(snapshot: &dyn Snapshot, log: &Log, seen: &mut Seen) -> Vec<String> {
    let mut problems = Vec::new();
    for view in VIEWS {
        let stands = by_place(snapshot.positions(view).unwrap_or_default());
        for (place, offset) in &stands {
            let before = seen.insert((view, *place), *offset).unwrap_or_default();
            if before > *offset {
                problems.push(format!("{view} was at {before} of {place:?}, and is at {offset}"));
            }
        }
        problems.extend(rows_differ(snapshot, view, log, &stands));
    }
    problems.extend(history_differs(snapshot, log));
    problems.extend(commands_differ(snapshot, log));
    problems
}

/// Whether the store has everything that is in the log.
pub(super) fn is_complete(snapshot: &dyn Snapshot, log: &Log) -> bool {
    let has_all = |projection: &str, of: &dyn Fn(Place) -> Option<i64>| {
        let stands = by_place(snapshot.positions(projection).unwrap_or_default());
        places().all(|place| {
            let last = of(place).map_or(0, |last| usize::try_from(last).expect("an offset") + 1);
            stands.get(&place).copied().unwrap_or_default() >= last
        })
    };
    let last_event = |place| log.events(place).committed(0, ALL).last().map(|(at, _)| at);
    let last_told = |place| {
        let told = log.results(place);
        told.committed(0, ALL)
            .filter(|(_, told)| told.tells)
            .last()
            .map(|(at, _)| at)
    };
    let of_tabs = |place: Place| (place.0 == Kind::Tabs).then(|| last_event(place)).flatten();
    has_all(HISTORY, &last_event)
        && has_all(COMMANDS, &last_told)
        && has_all("guests", &last_event)
        && has_all("tabs", &of_tabs)
}

/// The version of a view that is served.
pub(super) fn version(snapshot: &dyn Snapshot, view: &str) -> Option<(i64, u32)> {
    let all = snapshot.generations().expect("the store can be read");
    let served = all.into_iter().find(|one| one.view == view && one.is_served)?;
    Some((served.number, served.version))
}

fn rows_differ(
    snapshot: &dyn Snapshot,
    view: &'static str,
    log: &Log,
    stands: &HashMap<Place, usize>,
) -> Option<String> {
    let (generation, version) = version(snapshot, view)?;
    let found = snapshot
        .rows_of(view, generation, None, ALL)
        .expect("the store can be read");
    let found: Rows = found
        .into_iter()
        .map(|stored| {
            let doc: Value = serde_json::from_str(&stored.row.doc).expect("a row is JSON");
            (stored.row.id.to_string(), (doc, stored.listed))
        })
        .collect();
    let events = |kind: Kind| {
        let of_kind = stands.iter().filter(move |((of, _), _)| *of == kind);
        of_kind.flat_map(|(place, to)| {
            log.events(*place)
                .committed(0, *to)
                .map(|(_, spec)| spec.clone())
                .collect::<Vec<_>>()
        })
    };
    let expected = match view {
        "tabs" => tabs(events(Kind::Tabs), version),
        _ => guests(events(Kind::Tabs), events(Kind::Guests)),
    };
    (found != expected).then(|| format!("{view} at {stands:?} is {found:?}, and must be {expected:?}"))
}

fn tabs(events: impl Iterator<Item = Spec>, version: u32) -> Rows {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for spec in events {
        let (Some(id), Entry::Tab(event)) = (&spec.key, &spec.entry) else {
            continue;
        };
        match event {
            TabEvent::TabOpened {} => drop(sums.insert(id.to_string(), (0, 0))),
            TabEvent::TabClosed {} => drop(sums.remove(id.as_str())),
            TabEvent::Spent { amount, .. } => {
                let sum = sums.entry(id.to_string()).or_default();
                *sum = (sum.0 + amount, sum.1 + 1);
            }
        }
    }
    let row = |(total, rounds): (i64, i64)| match version {
        tomorrow::VERSION => json!({ "total": total, "rounds": rounds }),
        _ => json!({ "total": total }),
    };
    sums.into_iter().map(|(id, sum)| (id, (row(sum), true))).collect()
}

fn guests(tabs: impl Iterator<Item = Spec>, named: impl Iterator<Item = Spec>) -> Rows {
    let mut rows: BTreeMap<String, (Option<String>, i64)> = BTreeMap::new();
    for spec in tabs.chain(named) {
        match (&spec.entry, &spec.key) {
            (Entry::Tab(TabEvent::Spent { guests, amount }), _) => {
                for guest in guests {
                    rows.entry(guest.clone()).or_default().1 += amount;
                }
            }
            (Entry::Guest(GuestEvent::Named { name }), Some(id)) => {
                rows.entry(id.to_string()).or_default().0 = Some(name.clone());
            }
            _ => {}
        }
    }
    let row =
        |(name, spent): (Option<String>, i64)| (json!({ "name": name, "spent": spent }), name.is_some());
    rows.into_iter().map(|(id, sums)| (id, row(sums))).collect()
}

/// By aggregate, what of each lies below the checkpoint.
type Lying = BTreeMap<(Kind, String), Vec<(i64, i64)>>;

fn history_differs(snapshot: &dyn Snapshot, log: &Log) -> Option<String> {
    let stands = by_place(snapshot.positions(HISTORY).unwrap_or_default());
    let mut expected = Lying::new();
    for place in places() {
        let to = stands.get(&place).copied().unwrap_or_default();
        for (at, spec) in log.events(place).committed(0, to) {
            let id = spec.key.as_ref().map(AggregateId::to_string).unwrap_or_default();
            expected
                .entry((place.0, id))
                .or_default()
                .push((spec.sequence, at));
        }
    }
    differs(&expected, |kind, id| {
        let events = snapshot
            .events(kind.qualified(), id, 0, ALL)
            .expect("the store can be read");
        events
            .iter()
            .map(|event| (event.sequence, event.offset))
            .collect()
    })
}

fn commands_differ(snapshot: &dyn Snapshot, log: &Log) -> Option<String> {
    let stands = by_place(snapshot.positions(COMMANDS).unwrap_or_default());
    let mut expected = Lying::new();
    for place in places() {
        let to = stands.get(&place).copied().unwrap_or_default();
        for (at, told) in log.results(place).committed(0, to).filter(|(_, told)| told.tells) {
            expected
                .entry((place.0, told.id.clone()))
                .or_default()
                .push((at, at));
        }
    }
    differs(&expected, |kind, id| {
        let commands = snapshot
            .commands(kind.qualified(), id, -1, ALL)
            .expect("the store can be read");
        commands
            .iter()
            .map(|command| (command.offset, command.command_offset))
            .collect()
    })
}

/// Of each aggregate, those too of which nothing is expected.
fn differs(expected: &Lying, found: impl Fn(Kind, &AggregateId) -> Vec<(i64, i64)>) -> Option<String> {
    let all = places().flat_map(|(kind, number)| super::log::ids(kind, number).map(|id| (kind, id)));
    all.into_iter().find_map(|(kind, id)| {
        let wanted = expected.get(&(kind, id.to_owned())).cloned().unwrap_or_default();
        let found = found(kind, &id.parse().expect("an id"));
        (found != wanted).then(|| format!("of {id} there is {found:?}, and must be {wanted:?}"))
    })
}
