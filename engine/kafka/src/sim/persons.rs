//! What must hold of personal values and their keys, judged by the log alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use foldline_core::personal::{KeyId, count_unsealed, open_text};
use foldline_core::{AggregateId, Outcome};

use super::broker::KEYS;
use super::check::Folded;
use super::clients::Client;
use super::cluster::{Cluster, Committed};
use super::erasure::Erasure;
use super::process::Process;
use crate::catalog::{Catalog, Installed};
use crate::keys::{KeyRecord, PARTITION};

/// What clients say, and nobody else does.
const SAID: [&[u8]; 2] = [b"@example.org", b"Street"];

/// A key, and in which commit it came.
struct Made {
    subject: String,
    commit: Option<usize>,
}

pub(super) struct Persons<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) catalog: &'a Catalog,
    pub(super) processes: &'a [Process],
    pub(super) erasures: &'a [Erasure],
}

impl Persons<'_> {
    pub(super) fn judge(&self, problems: &mut Vec<String>) {
        let made = self.made(problems);
        let customers = &self.catalog.types()[0];
        for partition in 0..customers.partitions {
            let place = (customers.events.name.clone(), partition);
            let mut kept: HashMap<AggregateId, BTreeSet<String>> = HashMap::new();
            for event in self.cluster.committed(&place) {
                self.is_sealed(customers, &event, &made, &mut kept, problems);
            }
        }
        self.nothing_is_in_the_clear(problems);
    }

    /// All keys. Of each subject there is one.
    fn made(&self, problems: &mut Vec<String>) -> HashMap<KeyId, Made> {
        let (mut made, mut subjects) = (HashMap::new(), HashSet::new());
        for record in self.cluster.committed(&(KEYS.to_owned(), PARTITION)) {
            let said = record.stored.value.as_deref().and_then(KeyRecord::decode);
            let Some(KeyRecord::Key(key)) = said else { continue };
            let subject = record.stored.key.clone().unwrap_or_default();
            let subject = String::from_utf8(subject).unwrap_or_default();
            if !subjects.insert(subject.clone()) {
                problems.push(format!("{subject} has two keys"));
            }
            let commit = record.commit;
            made.insert(key.id(), Made { subject, commit });
        }
        made
    }

    /// Each value of an event is sealed by its subject's key, which came before it or with it; and who was marked before
    /// the event's process was started says nothing new in it.
    fn is_sealed(
        &self,
        customers: &Installed,
        event: &Committed,
        made: &HashMap<KeyId, Made>,
        kept: &mut HashMap<AggregateId, BTreeSet<String>>,
        problems: &mut Vec<String>,
    ) {
        let aggregate = customers.aggregate.as_ref();
        let value = event.stored.value.as_deref().unwrap_or_default();
        let read = customers.events.reader.event(aggregate, value).unwrap();
        let id = &read.meta.aggregate_id;
        if count_unsealed(|| aggregate.event_json(&read.event)) > 0 {
            problems.push(format!("an event of {id} has values in the clear"));
        }
        let json = aggregate.event_json(&read.event).to_string();
        let mut sealed = Vec::new();
        open_text(&json, |found| {
            sealed.push((found.key, format!("{found:?}")));
            None
        });
        let kept = kept.entry(id.clone()).or_default();
        for (key, text) in sealed {
            match made.get(&key) {
                Some(made) if made.subject == format!("customers/{id}") && made.commit <= event.commit => {}
                Some(made) => problems.push(format!(
                    "{id}: commit {:?} is sealed by a key of {} from commit {:?}",
                    event.commit, made.subject, made.commit
                )),
                None => problems.push(format!("{id} is sealed by {key}, of which there is nothing")),
            }
            let is_new = kept.insert(text);
            if is_new && self.was_known_to_be_erased(id, event) {
                problems.push(format!("{id} was erased, and something new is kept"));
            }
        }
    }

    fn was_known_to_be_erased(&self, id: &AggregateId, event: &Committed) -> bool {
        let erasures = self.erasures.iter().filter(|erasure| erasure.customer == *id);
        let marked_at = erasures.filter_map(|erasure| erasure.marked_at).min();
        let started_at = self.started_at(event);
        marked_at.is_some_and(|marked_at| started_at.is_some_and(|started_at| started_at > marked_at))
    }

    /// When the process was started that has written it.
    fn started_at(&self, event: &Committed) -> Option<Duration> {
        let (producer, begun_at) = event.by.as_ref()?;
        let is_its = |process: &&Process| producer.ends_with(&format!("-{}", process.name));
        let process = self.processes.iter().find(is_its)?;
        let starts = process.starts.iter().filter(|start| *start <= begun_at);
        starts.max().copied()
    }

    fn nothing_is_in_the_clear(&self, problems: &mut Vec<String>) {
        let asked = &self.catalog.types()[0].commands.name;
        for place in self.cluster.places().filter(|place| place.0 != *asked) {
            let says = |record: &Committed| {
                let value = record.stored.value.as_deref().unwrap_or_default();
                SAID.iter()
                    .any(|said| memchr::memmem::find(value, said).is_some())
            };
            if self.cluster.committed(place).any(|record| says(&record)) {
                problems.push(format!("{}/{} says something of somebody", place.0, place.1));
            }
        }
    }
}

/// Who was erased is refused whatever would be kept of them.
pub(super) fn are_refused(late: &[Client], folded: &Folded, problems: &mut Vec<String>) {
    for client in late {
        let outcome = folded
            .outcomes
            .get(&(0, client.id))
            .and_then(|found| found.first());
        let decided = outcome.map(foldline_core::CommandResult::decided);
        if !matches!(&decided, Some(Outcome::Refused(refusal)) if refusal.code == "subject-erased") {
            problems.push(format!("what is late is not refused, but {decided:?}"));
        }
    }
}

/// Nothing in the local stores is in the clear.
pub(super) fn are_stored_sealed(process: &Process, folded: &Folded, problems: &mut Vec<String>) {
    for (index, id) in folded.states.keys() {
        let installed = &process.catalog.types()[*index];
        let Some(known) = process.store.state(installed, id).unwrap() else {
            continue;
        };
        if count_unsealed(|| installed.aggregate.encode_state(&known.state)) > 0 {
            problems.push(format!("process {} keeps {id} in the clear", process.name));
        }
    }
}
