#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use foldline_core::{AggregateId, AggregateType, AnyEvent, DecodedEvent, EventMeta, Sequence, Timestamp};
use foldline_kafka::{LogRecord, Unreadable};
use uuid::Uuid;

use super::{Guest, GuestEvent, Tab, TabEvent, bar};

/// What stands at a place of a topic.
#[derive(Debug, Clone)]
pub enum Entry {
    Tab(TabEvent),
    Guest(GuestEvent),
    /// Bytes on the topic of tabs.
    Garbage,
}

/// A record, as often as it is needed.
#[derive(Debug, Clone)]
pub struct Spec {
    pub key: Option<AggregateId>,
    pub entry: Entry,
    pub sequence: Sequence,
    pub partition: i32,
    pub offset: i64,
}

/// Two topics of two partitions. Offsets have gaps, as markers of transactions make them.
#[derive(Debug, Default)]
pub struct Log {
    pub specs: Vec<Spec>,
    sequences: HashMap<(bool, String), Sequence>,
    ends: HashMap<(bool, i32), i64>,
}

impl Log {
    pub fn tab(&mut self, id: &str, event: TabEvent) -> &mut Self {
        self.add(Some(id), Entry::Tab(event))
    }

    pub fn open(&mut self, id: &str) -> &mut Self {
        self.tab(id, TabEvent::TabOpened {})
    }

    pub fn spend(&mut self, id: &str, guests: &[&str], amount: i64) -> &mut Self {
        let guests = guests.iter().map(|guest| (*guest).to_owned()).collect();
        self.tab(id, TabEvent::Spent { guests, amount })
    }

    pub fn name(&mut self, id: &str, name: &str) -> &mut Self {
        let name = name.to_owned();
        self.add(Some(id), Entry::Guest(GuestEvent::Named { name }))
    }

    pub fn garbage(&mut self, id: Option<&str>) -> &mut Self {
        self.add(id, Entry::Garbage)
    }

    /// The next event of the tab has a sequence that differs by this from what it should be.
    pub fn leap(&mut self, tab: &str, by: i64) -> &mut Self {
        *self.sequences.entry((true, tab.to_owned())).or_default() += by;
        self
    }

    fn add(&mut self, id: Option<&str>, entry: Entry) -> &mut Self {
        let on_tabs = !matches!(entry, Entry::Guest(_));
        let partition = id.map_or(0, |id| i32::from(id.as_bytes()[0] % 2));
        let end = self.ends.entry((on_tabs, partition)).or_default();
        let offset = *end;
        *end += 2;
        let key = (on_tabs, id.unwrap_or_default().to_owned());
        let sequence = self.sequences.entry(key).or_default();
        *sequence += 1;
        self.specs.push(Spec {
            key: id.map(|id| id.parse().unwrap()),
            entry,
            sequence: *sequence,
            partition,
            offset,
        });
        self
    }
}

impl Spec {
    pub fn record(&self) -> LogRecord {
        let kind = |name: &str| Arc::clone(bar().aggregate("bar", name).unwrap());
        let (aggregate, event) = match &self.entry {
            Entry::Tab(event) => (kind("tabs"), Some(AnyEvent::new::<Tab>(event.clone()))),
            Entry::Guest(event) => (kind("guests"), Some(AnyEvent::new::<Guest>(event.clone()))),
            Entry::Garbage => (kind("tabs"), None),
        };
        let unreadable = || Unreadable {
            reason: "garbage".to_owned(),
            key: None,
            value: Some(b"?".to_vec()),
        };
        LogRecord {
            partition: self.partition,
            offset: self.offset,
            id: self.key.clone(),
            timestamp: Some(0),
            traceparent: None,
            event: event
                .map(|event| DecodedEvent {
                    meta: self.meta(&*aggregate),
                    event,
                })
                .ok_or_else(unreadable),
            text: OnceLock::new(),
            aggregate,
        }
    }

    fn meta(&self, aggregate: &dyn AggregateType) -> EventMeta {
        let id = self.key.clone().unwrap();
        let command = format!("{}/{id}/{}", aggregate.info().name, self.sequence);
        let command_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, command.as_bytes());
        EventMeta {
            event_id: EventMeta::id_of(&command_id, 0),
            event_type: "Something".to_owned(),
            aggregate_id: id,
            sequence: self.sequence,
            revision: 1,
            occurred_at: Timestamp(1),
            recorded_at: Timestamp(2),
            command_id,
            correlation_id: "c".to_owned(),
            causation_id: command_id.to_string(),
            actor: None,
            index: 0,
            count: 1,
            command_offset: self.offset / 2,
            previous_hash: None,
            written_revision: 1,
        }
    }
}
