//! The people whom personal values are about: their keys are made with their first events, and what would say something
//! of who was erased is refused.

use std::collections::HashMap;
use std::sync::Arc;

use foldline_core::personal::{Seal, SubjectKey};
use foldline_core::{AggregateId, AnyEvent, DecodedCommand, Refusal, RefusalKind, State, Timestamp};

use super::decide::{Deciding, Key};
use super::records::NOT_COUNTED;
use crate::broker::Record;
use crate::catalog::{Catalog, Installed};
use crate::keys::{Held, KeyRecord, Keyring, PARTITION};
use crate::store::Known;

/// Keys that are made in a batch, by topic and subject. Nobody has them before it is committed.
#[derive(Default)]
pub(super) struct NewKeys(HashMap<(String, String), (Arc<Keyring>, SubjectKey)>);

impl NewKeys {
    fn of(&mut self, keys: &Arc<Keyring>, subject: String) -> SubjectKey {
        let key = (keys.topic().to_owned(), subject);
        let made = self.0.entry(key);
        made.or_insert_with(|| (Arc::clone(keys), Keyring::new_key()))
            .1
            .clone()
    }

    /// The key that is made in this batch, if one is.
    fn made(&self, keys: &Keyring, subject: String) -> Option<SubjectKey> {
        let made = self.0.get(&(keys.topic().to_owned(), subject))?;
        Some(made.1.clone())
    }

    /// Their records, which belong into the transaction of the first events.
    pub(super) fn records<'a>(&self, at: Timestamp, catalog: &'a Catalog) -> Vec<Record<'a>> {
        let record = |((topic, subject), (_, key)): (&(String, String), &(Arc<Keyring>, SubjectKey))| {
            let ring = catalog.keys.rings().find(|ring| ring.topic() == topic)?;
            Some(Record {
                topic: ring.topic(),
                partition: PARTITION,
                key: Some(subject.clone().into()),
                value: Some(KeyRecord::Key(key.clone()).encode(at).into()),
                headers: Vec::new(),
                number: NOT_COUNTED,
            })
        };
        self.0.iter().filter_map(record).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They are committed.
    pub(super) fn committed(self) {
        for ((_, subject), (ring, key)) in self.0 {
            ring.note(&subject, KeyRecord::Key(key));
        }
    }
}

impl Deciding<'_> {
    /// By what new personal values of an aggregate are sealed, which is in this state after its events. A subject that
    /// has no key gets one.
    pub(super) fn seal(
        &mut self,
        installed: &Installed,
        key: &Key,
        after: &State,
        command: &DecodedCommand,
    ) -> Seal {
        // The events of a dry run lie nowhere.
        let Some(keys) = installed.keys.as_ref().filter(|_| !command.meta.dry_run) else {
            return Seal::Clear;
        };
        let by = match installed.subject(after, &key.1) {
            None => Seal::Clear,
            Some(subject) => match keys.seal(&subject) {
                Seal::Clear if installed.aggregate.info().is_subject() => {
                    Seal::By(self.new_keys.of(keys, subject))
                }
                // Their own aggregate may have got it in this very batch.
                Seal::Clear => self.new_keys.made(keys, subject).map_or(Seal::Clear, Seal::By),
                seal => seal,
            },
        };
        self.seals.insert(key.clone(), by.clone());
        by
    }

    /// The no to a command whose events would say something new of a person who was erased.
    pub(super) fn is_of_the_erased(
        &self,
        installed: &Installed,
        id: &AggregateId,
        known: &Known,
        events: &[AnyEvent],
    ) -> Option<Refusal> {
        let keys = installed.keys.as_ref()?;
        let subject = installed.subject(&known.state, id)?;
        let Held::Erased(_) = keys.held(&subject) else {
            return None;
        };
        let mut events = events.iter();
        events.find(|event| installed.says_something_new(event))?;
        let detail = format!("{subject} was erased: nothing personal is kept of them any more");
        Some(Refusal::engine("subject-erased", RefusalKind::State, detail))
    }
}
