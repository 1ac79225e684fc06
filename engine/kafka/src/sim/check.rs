//! What must hold when all has come to rest, whatever has happened.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldline_core::personal::{Opener, open};
use foldline_core::{AggregateId, Claim, CommandResult, EventHash, Lying, Outcome, State, Unique, Verifier};
use uuid::Uuid;

use super::clients::Client;
use super::cluster::{Cluster, Stored};
use super::erasure::Erasure;
use super::persons::{Persons, are_refused, are_stored_sealed};
use super::process::Process;
use crate::broker::Isolation;
use crate::catalog::{Catalog, Installed, Slice};
use crate::fold::is_remembered;
use crate::keys::{KeyRecord, PARTITION};
use crate::store::Log;

/// The log, folded by nobody's code but this.
#[derive(Default)]
pub(super) struct Folded {
    pub(super) states: HashMap<(usize, AggregateId), (State, i64, EventHash)>,
    /// With their personal values opened.
    opened: HashMap<(usize, AggregateId), State>,
    pub(super) outcomes: HashMap<(usize, Uuid), Vec<CommandResult>>,
    /// Where the last record of each log lies.
    ends: HashMap<(Slice, bool), i64>,
}

/// What a run has left behind.
pub(super) struct Ended<'a> {
    pub(super) cluster: &'a Cluster,
    /// With keys that are not read yet.
    pub(super) catalog: &'a Catalog,
    pub(super) processes: &'a [Process],
    pub(super) clients: &'a [Client],
    pub(super) late: &'a [Client],
    pub(super) erasures: &'a [Erasure],
}

pub(super) fn all(ended: &Ended<'_>) -> Vec<String> {
    let (cluster, catalog) = (ended.cluster, ended.catalog);
    let mut problems = Vec::new();
    for ring in catalog.keys.rings() {
        for record in cluster.committed(&(ring.topic().to_owned(), PARTITION)) {
            let subject = String::from_utf8_lossy(record.stored.key.as_deref().unwrap_or_default());
            let said = record.stored.value.as_deref().and_then(KeyRecord::decode);
            ring.note(&subject, said.unwrap());
        }
    }
    let persons = Persons {
        cluster,
        catalog,
        processes: ended.processes,
        erasures: ended.erasures,
    };
    persons.judge(&mut problems);
    let mut folded = Folded::default();
    for installed in catalog.types() {
        for slice in installed.slices() {
            fold(cluster, installed, slice, &mut folded, &mut problems);
        }
    }
    if !problems.is_empty() {
        // A log that cannot be folded is enough.
        return problems;
    }
    is_answered(ended.clients, &folded, &mut problems);
    is_answered(ended.late, &folded, &mut problems);
    are_refused(ended.late, &folded, &mut problems);
    is_unique(catalog, &folded, &mut problems);
    for process in ended.processes {
        is_known(process, &folded, &mut problems);
        are_stored_sealed(process, &folded, &mut problems);
    }
    problems
}

fn records(cluster: &Cluster, topic: &str, partition: i32) -> Vec<(i64, Arc<Stored>)> {
    let place = (topic.to_owned(), partition);
    let end = cluster.end(&place, Isolation::ReadCommitted);
    cluster.read(&place, 0, end).collect()
}

/// Whole commands, in order, without gap or repetition, chained, each result with its events and each event with its
/// result: what `foldline verify` looks at.
fn fold(
    cluster: &Cluster,
    installed: &Installed,
    slice: Slice,
    folded: &mut Folded,
    problems: &mut Vec<String>,
) {
    let mut verifier = Verifier::new(slice.partition, installed.partitions, None, None);
    let aggregate = installed.aggregate.as_ref();
    let mut events = Vec::new();
    for (offset, stored) in records(cluster, &installed.events.name, slice.partition) {
        let value = stored.value.as_deref().unwrap_or_default();
        let hash = EventHash::of(value);
        let event = installed.events.reader.event(aggregate, value).unwrap();
        let key = (slice.index, event.meta.aggregate_id.clone());
        if let Some(keys) = &installed.keys {
            let opener: Arc<dyn Opener> = Arc::clone(keys) as _;
            let (event, missing) = open(&opener, || {
                installed.events.reader.event(aggregate, value).unwrap()
            });
            if let Some(missing) = missing {
                problems.push(format!("the key {missing} is missing"));
            }
            let opened = folded.opened.entry(key.clone());
            let opened = opened.or_insert_with(|| aggregate.initial());
            aggregate.evolve(opened, &event.event);
        }
        let (state, sequence, tip) = folded
            .states
            .entry(key)
            .or_insert_with(|| (aggregate.initial(), 0, hash));
        aggregate.evolve(state, &event.event);
        (*sequence, *tip) = (event.meta.sequence, hash);
        events.push((offset, stored.key.clone(), hash, event.meta));
    }
    let mut results = Vec::new();
    for (offset, stored) in records(cluster, &installed.results.name, slice.partition) {
        let value = stored.value.as_deref().unwrap_or_default();
        let datum = installed
            .results
            .reader
            .datum(&installed.result_codec, value)
            .unwrap();
        let result: CommandResult = installed.result_codec.decode_meta(&datum).unwrap();
        if is_remembered(&result) {
            let outcomes = folded.outcomes.entry((slice.index, result.command_id));
            outcomes.or_default().push(result.clone());
        }
        results.push((offset, stored.key.clone(), EventHash::of(value), result));
    }
    folded
        .ends
        .insert((slice, true), events.last().map_or(0, |last| last.0 + 1));
    folded
        .ends
        .insert((slice, false), results.last().map_or(0, |last| last.0 + 1));
    let (mut events, mut results) = (events.into_iter().peekable(), results.into_iter().peekable());
    loop {
        let event_first = match (events.peek(), results.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((.., event)), Some((.., result))) => event.command_offset <= result.command_offset,
        };
        if event_first && let Some((offset, key, hash, meta)) = events.next() {
            verifier.event(lying(offset, key.as_deref(), hash, &meta), true);
        } else if let Some((offset, key, hash, result)) = results.next() {
            verifier.result(lying(offset, key.as_deref(), hash, &result), true);
        }
    }
    let report = verifier.finish(i64::MAX, i64::MAX);
    for finding in report.findings {
        problems.push(format!(
            "{} of {}/{}@{}: {}",
            finding.kind, installed.name, finding.partition, finding.offset, finding.detail
        ));
    }
}

fn lying<'a, T>(offset: i64, key: Option<&'a [u8]>, hash: EventHash, said: &'a T) -> Lying<'a, T> {
    Lying {
        offset,
        key: key.unwrap_or_default(),
        hash,
        record: Ok(said),
    }
}

/// Every command is decided once, and everybody was told the same: what stands in the log.
fn is_answered(clients: &[Client], folded: &Folded, problems: &mut Vec<String>) {
    for client in clients {
        let outcomes = folded
            .outcomes
            .get(&(0, client.id))
            .map_or(&[][..], Vec::as_slice);
        let [outcome] = outcomes else {
            problems.push(format!(
                "{} has {} outcomes in the log",
                client.id,
                outcomes.len()
            ));
            continue;
        };
        for answer in &client.answers {
            if said(answer) != said(outcome) {
                problems.push(format!(
                    "{} was told {:?}, and the log says {:?}",
                    client.id,
                    said(answer),
                    said(outcome)
                ));
            }
        }
    }
    for ((index, id), outcomes) in &folded.outcomes {
        if outcomes.len() > 1 {
            problems.push(format!(
                "{id} of type {index} was decided {} times",
                outcomes.len()
            ));
        }
    }
}

/// What every answer to a command says alike.
fn said(result: &CommandResult) -> (Outcome, i64, Option<EventHash>) {
    (result.decided(), result.sequence, result.last_event_hash)
}

/// A value has one holder, of whom its claim knows; and a claim that has a holder is held.
fn is_unique(catalog: &Catalog, folded: &Folded, problems: &mut Vec<String>) {
    let mut holders: BTreeMap<String, &AggregateId> = BTreeMap::new();
    let mut claimed: HashSet<String> = HashSet::new();
    for ((index, id), state) in &folded.opened {
        for Unique { name, value } in catalog.types()[*index].unique(state) {
            if let Some(other) = holders.insert(format!("{name} {value}"), id) {
                problems.push(format!("{id} and {other} both have {value}"));
            }
            let claim = (
                1,
                Claim::id_of(&Unique {
                    name,
                    value: value.clone(),
                }),
            );
            let claim = folded.states.get(&claim);
            let claim = claim.and_then(|(state, ..)| state.downcast_ref::<Claim>());
            if claim.and_then(Claim::holder) != Some(id.as_str()) {
                problems.push(format!("{id} has {value}, and its claim does not say so"));
            }
            claimed.insert(value);
        }
    }
    let claims = folded.states.iter().filter(|((index, _), _)| *index == 1);
    let held = claims.filter(|(_, (state, ..))| {
        state
            .downcast_ref::<Claim>()
            .is_some_and(|claim| claim.holder().is_some())
    });
    if held.count() > claimed.len() {
        problems.push("a claim is held by somebody who does not have the value".to_owned());
    }
}

/// What a process knows is what the log says.
fn is_known(process: &Process, folded: &Folded, problems: &mut Vec<String>) {
    let (catalog, store, name) = (&process.catalog, &process.store, process.name);
    for ((slice, is_events), end) in &folded.ends {
        let installed = catalog.get(*slice);
        let log = if *is_events { Log::Events } else { Log::Results };
        let position = store.position(installed, *slice, log).unwrap();
        if position.next < *end {
            problems.push(format!(
                "process {name} has folded {slice:?} {log:?} up to {} of {end}",
                position.next
            ));
        }
    }
    for ((index, id), (state, sequence, tip)) in &folded.states {
        let installed = &catalog.types()[*index];
        let known = store.state(installed, id).unwrap();
        let is_same = known.is_some_and(|known| {
            installed.aggregate.is_same_state(&known.state, state)
                && known.sequence == *sequence
                && known.tip == Some(*tip)
        });
        if !is_same {
            problems.push(format!(
                "process {name} knows another state of {id} than the log has"
            ));
        }
    }
    for ((index, id), outcomes) in &folded.outcomes {
        let installed = &catalog.types()[*index];
        for outcome in outcomes {
            let slice = installed.slice_of(&outcome.aggregate_id);
            let known = store.result(installed, slice, *id).unwrap();
            if known.as_ref().map(said) != Some(said(outcome)) {
                problems.push(format!(
                    "process {name} knows another outcome of {id} than the log has"
                ));
            }
        }
    }
}
