//! For tests: a bar with tabs and guests, a log of what happens there, and a store in memory.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use foldline_core::schemars::JsonSchema;
use foldline_core::{
    Aggregate, AggregateId, AggregateType, AnyEvent, Context, DecodedEvent, Domain, Domains, EventMeta,
    Field, Projection, RefusalKind, Rejection, Sequence, Source, Timestamp, from,
};
use foldline_kafka::{LogRecord, Unreadable};
use foldline_views::{
    Batch, CheckpointKey, CommitError, HistoryEvent, Parked, Position, Row, StoreError, ViewWriter,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What makes the `tabs` view panic.
pub const UNLUCKY: i64 = 13;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum TabCommand {
    Open {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum TabEvent {
    TabOpened {},
    /// Guests had something together.
    Spent {
        guests: Vec<String>,
        amount: i64,
    },
    TabClosed {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum GuestCommand {
    Name {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum GuestEvent {
    Named { name: String },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("never")]
pub struct Never;

impl Rejection for Never {
    fn code(&self) -> &'static str {
        "never"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

macro_rules! aggregate {
    ($name:ident, $text:literal, $create:literal, $command:ty, $event:ty) => {
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {}
        impl Aggregate for $name {
            const NAME: &'static str = $text;
            const PATH: &'static str = concat!("/", $text);
            const CREATE: &'static str = $create;
            type Command = $command;
            type Event = $event;
            type Rejection = Never;
            fn decide(&self, _: &$command, _: &Context<'_>) -> Result<Vec<$event>, Never> {
                Ok(vec![])
            }
            fn evolve(&mut self, _: &$event) {}
            fn possible(&self) -> Vec<&'static str> {
                vec![]
            }
        }
    };
}
aggregate!(Tab, "tabs", "Open", TabCommand, TabEvent);
aggregate!(Guest, "guests", "Name", GuestCommand, GuestEvent);

/// What is on a tab; gone when it is closed.
pub struct Tabs;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TabRow {
    pub total: i64,
}

impl Projection for Tabs {
    const NAME: &'static str = "tabs";
    const PATH: &'static str = "/tabs";
    const FIELDS: &'static [Field] = &[Field::number("total")];
    type View = TabRow;

    fn sources() -> Vec<Source<TabRow>> {
        vec![from::<Tab, TabRow>(
            |event| vec![event.meta.aggregate_id.clone()],
            |row, event, _| match &event.event {
                TabEvent::TabOpened {} => Some(TabRow { total: 0 }),
                TabEvent::Spent { amount, .. } => {
                    assert_ne!(*amount, UNLUCKY, "unlucky");
                    let total = row.map_or(0, |row| row.total) + amount;
                    Some(TabRow { total })
                }
                TabEvent::TabClosed {} => None,
            },
        )]
    }
}

/// What guests have spent on all tabs; shown once they have a name.
pub struct Guests;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestRow {
    pub name: Option<String>,
    pub spent: i64,
}

impl Projection for Guests {
    const NAME: &'static str = "guests";
    const PATH: &'static str = "/guests";
    const FIELDS: &'static [Field] = &[Field::number("spent")];
    type View = GuestRow;

    fn sources() -> Vec<Source<GuestRow>> {
        vec![
            from::<Tab, GuestRow>(
                |event| match &event.event {
                    TabEvent::Spent { guests, .. } => {
                        guests.iter().filter_map(|guest| guest.parse().ok()).collect()
                    }
                    _ => vec![],
                },
                |row, event, id| {
                    let mut row = row.unwrap_or_default();
                    if let TabEvent::Spent { amount, .. } = &event.event {
                        let cursed = *amount == UNLUCKY && id.as_str() == "zoe";
                        assert!(!cursed, "zoe does not pay {UNLUCKY}");
                        row.spent += amount;
                    }
                    Some(row)
                },
            ),
            from::<Guest, GuestRow>(
                |event| vec![event.meta.aggregate_id.clone()],
                |row, event, _| {
                    let GuestEvent::Named { name } = &event.event;
                    let name = Some(name.clone());
                    Some(GuestRow {
                        name,
                        ..row.unwrap_or_default()
                    })
                },
            ),
        ]
    }

    fn is_listed(row: &GuestRow) -> bool {
        row.name.is_some()
    }
}

/// The installed domain; made once, as it is in a program.
pub fn bar() -> &'static Domains {
    static BAR: LazyLock<Domains> = LazyLock::new(|| {
        let bar = Domain::new("bar").aggregate::<Tab>().aggregate::<Guest>();
        Domains::new([bar.view::<Tabs>().view::<Guests>()]).unwrap()
    });
    &BAR
}

/// As the domain was before it had a view of its guests.
pub fn without_guests() -> Domains {
    let bar = Domain::new("bar").aggregate::<Tab>().aggregate::<Guest>();
    Domains::new([bar.view::<Tabs>()]).unwrap()
}

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
            event: event
                .map(|event| DecodedEvent {
                    meta: self.meta(&*aggregate),
                    event,
                })
                .ok_or_else(unreadable),
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
        }
    }
}

/// A view store in memory. It writes what it is told, and refuses a step that does not fit.
#[derive(Debug, Default)]
pub struct Memory {
    pub rows: BTreeMap<(String, AggregateId), (Row, bool)>,
    pub history: Vec<HistoryEvent>,
    pub positions: HashMap<CheckpointKey, Position>,
    pub parked: Vec<Parked>,
    pub commits: usize,
}

impl ViewWriter for Memory {
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
        Ok(self.positions.clone())
    }

    fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        Ok(self.parked.clone())
    }

    fn load(&mut self, view: &str, ids: &[AggregateId]) -> Result<Vec<Row>, StoreError> {
        let row = |id: &AggregateId| self.rows.get(&(view.to_owned(), id.clone()));
        Ok(ids.iter().filter_map(row).map(|(row, _)| row.clone()).collect())
    }

    fn sequences(
        &mut self,
        aggregate: &str,
        ids: &[AggregateId],
    ) -> Result<HashMap<AggregateId, Sequence>, StoreError> {
        let last = |id: &AggregateId| {
            let mine = self
                .history
                .iter()
                .filter(|event| event.aggregate == aggregate && event.id == *id);
            Some((id.clone(), mine.map(|event| event.sequence).max()?))
        };
        Ok(ids.iter().filter_map(last).collect())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        for step in &batch.moves {
            let actual = self.positions.get(&step.key).copied().unwrap_or(Position::START);
            assert_eq!(step.from, actual, "{:?}", step.key);
            self.positions.insert(step.key.clone(), step.to);
        }
        for change in &batch.rows {
            let key = (change.view.clone(), change.id.clone());
            match &change.row {
                None => drop(self.rows.remove(&key)),
                Some(new) => {
                    let row = Row {
                        id: change.id.clone(),
                        doc: new.doc.clone(),
                        sequence: new.sequence,
                        version: new.version,
                    };
                    self.rows.insert(key, (row, new.listed));
                }
            }
        }
        self.history.extend(batch.history.iter().cloned());
        self.parked.extend(batch.parked.iter().cloned());
        self.commits += 1;
        Ok(())
    }
}
