//! A restaurant in which things happen at random, decided by its own rules, and a fold of its log that knows nothing of
//! the one under test: it goes through all events each time.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use foldline_core::{
    AggregateId, AggregateType, Context, DecodedEvent, Domains, EventMeta, References, State, Timestamp,
    Token, ViewType, partition_of,
};
use foldline_kafka::LogRecord;
use foldline_projector::{Projector, catch_up};
use foldline_views::{SqliteStore, ViewStore};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::toy::{CLUSTER, Fixture, id};

pub const PARTITIONS: i32 = 3;
/// When it begins: long ago.
const BEGIN: i64 = 1_700_000_000_000;

/// Something that is asked for, by the numbers of what it is about, and how far the clock goes before it.
pub type Step = (u8, u8, u8, i32, i64);

/// What happens, at random.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let clock = prop::sample::select(vec![0, 0, 1, 7, 1000, -3]);
    prop::collection::vec((0..11_u8, 0..3_u8, 0..3_u8, 1..4, clock), 0..most)
}

/// An event in the log.
pub struct Entry {
    pub kind: Arc<dyn AggregateType>,
    pub partition: i32,
    pub offset: i64,
    pub event: DecodedEvent,
}

impl Entry {
    pub fn aggregate(&self) -> String {
        self.kind.info().qualified_name()
    }

    /// As it comes from its topic.
    fn record(&self) -> LogRecord {
        let (mut meta, mut bytes) = (self.event.meta.clone(), Vec::new());
        self.kind
            .encode_event(&mut meta, &self.event.event, &mut bytes)
            .unwrap();
        LogRecord {
            aggregate: Arc::clone(&self.kind),
            partition: self.partition,
            offset: self.offset,
            id: Some(meta.aggregate_id.clone()),
            timestamp: None,
            traceparent: None,
            event: Ok(self.kind.decode_event(&bytes).unwrap()),
            text: OnceLock::new(),
        }
    }
}

/// A command that was accepted, and did something: those that did not are in no token of a view.
pub struct Asked {
    pub aggregate: String,
    pub partition: i32,
    pub command_offset: i64,
}

pub struct World {
    pub domains: Domains,
    pub log: Vec<Entry>,
    pub asked: Vec<Asked>,
    states: HashMap<(String, AggregateId), (State, i64)>,
    /// By aggregate type and partition, the next offsets of commands and of events.
    ends: HashMap<(String, i32), (i64, i64)>,
    clock: i64,
}

struct Known<'a>(&'a World);

impl References for Known<'_> {
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>> {
        let kind = self.0.kind(aggregate);
        let (state, sequence) = self.0.states.get(&(aggregate.to_owned(), id.clone()))?;
        (*sequence > 0).then(|| -> Box<dyn Any> { kind.clone_state(state) })
    }
}

/// A moment, as the fold knows it.
#[derive(Debug, Clone)]
pub enum Moment {
    Time(Timestamp),
    Token(Token),
    /// Of an aggregate.
    Sequence(String, AggregateId, i64),
}

impl Moment {
    /// As a client writes it.
    pub fn text(&self) -> String {
        match self {
            Self::Time(time) => time.to_string(),
            Self::Token(token) => token.to_string(),
            Self::Sequence(.., sequence) => format!("seq:{sequence}"),
        }
    }
}

impl World {
    /// Something to eat, somebody to eat it, and then these steps.
    pub fn after(steps: &[Step]) -> Self {
        let mut world = Self {
            domains: foldline_domains::installed(),
            log: Vec::new(),
            asked: Vec::new(),
            states: HashMap::new(),
            ends: HashMap::new(),
            clock: BEGIN,
        };
        for number in 0..3 {
            world.step((0, number, number, 1, 1));
        }
        world.step((2, 0, 0, 1, 1));
        world.step((3, 0, 0, 1, 1));
        world.step((5, 0, 0, 1, 1));
        steps.iter().for_each(|step| world.step(*step));
        world
    }

    pub fn kind(&self, name: &str) -> &Arc<dyn AggregateType> {
        self.domains.aggregate("restaurant", name).unwrap()
    }

    fn step(&mut self, (what, a, b, n, clock): Step) {
        self.clock += clock;
        let (item, customer, order) = (format!("m{a}"), format!("c{}", a % 2), format!("o{b}"));
        let price = json!({ "amount": 100 * (n + 1), "currency": "USD" });
        let dish = ["Pizza", "Soup", "Eel"][usize::from(b)];
        let command = |kind: &str| json!({ "type": kind });
        let with = |kind: &str, fields: Value| {
            let mut command = command(kind);
            command
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            command
        };
        let known =
            |of: &Self, name: &str, id: &str| of.states.contains_key(&(name.to_owned(), self::id(id)));
        let dish = json!({ "description": dish, "price": price });
        match what {
            0 if known(self, "menu", &item) => self.ask("menu", &item, with("ModifyMenuItem", dish)),
            0 => self.ask("menu", &item, with("AddMenuItem", dish)),
            1 if n == 1 => self.ask("menu", &item, command("RemoveMenuItem")),
            2 => {
                let kind = if known(self, "customers", &customer) {
                    "ChangeEmail"
                } else {
                    "SignUp"
                };
                let email = format!("{customer}-{b}@example.org");
                self.ask("customers", &customer, with(kind, json!({ "email": email })));
            }
            3 => {
                let address = json!({ "nickname": format!("n{b}"), "location": format!("{n} Main St") });
                self.ask("customers", &customer, with("AddAddress", address));
            }
            4 => {
                let address = json!({ "nickname": format!("n{b}") });
                self.ask("customers", &customer, with("RemoveAddress", address));
            }
            5 => {
                let customer = json!({ "customer": format!("/customers/{customer}") });
                self.ask("orders", &order, with("OpenOrder", customer));
            }
            1 | 6 => {
                let added = json!({ "menu_item": format!("/menu/items/{item}"), "quantity": n });
                self.ask("orders", &order, with("AddItemToOrder", added));
            }
            7 | 8 => {
                let Some(line) = self.line_of(&order, usize::from(a)) else {
                    return;
                };
                let link = json!({ "order_item": format!("/orders/{order}/items/{line}") });
                if what == 8 && n == 1 {
                    self.ask("orders", &order, with("RemoveItemFromOrder", link));
                } else {
                    let mut changed = link;
                    changed["quantity"] = n.into();
                    self.ask("orders", &order, with("ChangeItemQuantity", changed));
                }
            }
            9 => {
                let address = json!({ "address": format!("/customers/{customer}/addresses/n0") });
                self.ask("orders", &order, with("SetDeliveryAddress", address));
            }
            _ if n == 1 => self.ask("orders", &order, command("CancelOrder")),
            _ => self.ask("orders", &order, command("PlaceOrder")),
        }
    }

    /// The id of one of the lines that were ever added to an order.
    fn line_of(&self, order: &str, which: usize) -> Option<String> {
        let added = self.log.iter().filter(|entry| {
            entry.event.meta.event_type == "ItemAddedToOrder" && entry.event.meta.aggregate_id == id(order)
        });
        let lines: Vec<String> = added
            .map(|entry| {
                entry.kind.event_json(&entry.event.event)["order_item_id"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        lines.get(which % lines.len().max(1)).cloned()
    }

    /// Decides a command, as the command handler would.
    fn ask(&mut self, name: &str, aggregate_id: &str, command: Value) {
        let kind = Arc::clone(self.kind(name));
        let (aggregate, aggregate_id) = (kind.info().qualified_name(), id(aggregate_id));
        let partition = partition_of(&aggregate_id, PARTITIONS);
        let place = (aggregate.clone(), partition);
        let command_offset = self.ends.entry(place.clone()).or_default().0;
        self.ends.get_mut(&place).unwrap().0 += 1;
        let command_id = Uuid::new_v5(
            &Uuid::nil(),
            format!("{aggregate}/{partition}/{command_offset}").as_bytes(),
        );
        let (_, command) = kind.command_from_json(&command, None).unwrap();
        let key = (name.to_owned(), aggregate_id.clone());
        let (state, sequence) = match self.states.remove(&key) {
            Some(known) => known,
            None => (kind.initial(), 0),
        };
        let decided = {
            let known = Known(self);
            let context = Context::new(
                command_id,
                &aggregate_id,
                Timestamp(self.clock),
                Some("ada"),
                &known,
            );
            kind.decide(&state, &command, &context)
        };
        let (mut state, mut sequence) = (state, sequence);
        let events = decided.unwrap_or_default();
        let count = i32::try_from(events.len()).unwrap();
        if count > 0 {
            self.asked.push(Asked {
                aggregate: aggregate.clone(),
                partition,
                command_offset,
            });
        }
        for (index, event) in (0..).zip(events) {
            sequence += 1;
            kind.evolve(&mut state, &event);
            let (mut meta, mut bytes) = (
                foldline_core::testing::event_meta(aggregate_id.as_str(), sequence),
                vec![],
            );
            meta.event_id = EventMeta::id_of(&command_id, index);
            (meta.occurred_at, meta.recorded_at) = (Timestamp(self.clock - 5), Timestamp(self.clock));
            (meta.command_id, meta.causation_id) = (command_id, command_id.to_string());
            (meta.index, meta.count, meta.command_offset) = (index, count, command_offset);
            meta.actor = Some("ada".to_owned());
            kind.encode_event(&mut meta, &event, &mut bytes).unwrap();
            let end = &mut self.ends.get_mut(&place).unwrap().1;
            self.log.push(Entry {
                kind: Arc::clone(&kind),
                partition,
                offset: *end,
                event: DecodedEvent { meta, event },
            });
            *end += 1;
        }
        // The marker of its transaction.
        self.ends.get_mut(&place).unwrap().1 += 1;
        if sequence > 0 {
            self.states.insert(key, (state, sequence));
        }
    }

    /// The API over views and history, as the projector makes them of the log in batches of this size.
    pub fn shown(&self, batch: usize) -> Fixture {
        let fixture = Fixture::of(&self.domains);
        let store = SqliteStore::new(fixture.folder.path().join("views.db"));
        let mut writer = store.writer(&self.domains, CLUSTER).unwrap();
        let checkpoints = writer.checkpoints().unwrap();
        let mut projector = Projector::new(&self.domains, checkpoints, []);
        for entries in self.log.chunks(batch.max(1)) {
            let records = entries.iter().map(Entry::record).collect();
            catch_up(&mut projector, &mut *writer, records).unwrap();
        }
        fixture
    }

    pub fn view(&self, name: &str) -> &Arc<dyn ViewType> {
        let mut views = self.domains.views().iter();
        views.find(|view| view.info().name == name).unwrap()
    }

    /// What has happened at a moment.
    pub fn until(&self, moment: &Moment) -> Vec<&Entry> {
        match moment {
            Moment::Time(time) => {
                let mut over = std::collections::HashSet::new();
                let entries = self.log.iter().filter(|entry| {
                    let place = (entry.aggregate(), entry.partition);
                    if entry.event.meta.recorded_at > *time {
                        over.insert(place.clone());
                    }
                    !over.contains(&place)
                });
                entries.collect()
            }
            Moment::Token(token) => {
                let has_seen = |entry: &&Entry| {
                    let mut seen = token.positions();
                    seen.any(|(aggregate, partition, offset)| {
                        (aggregate, partition) == (&entry.aggregate(), entry.partition)
                            && entry.event.meta.command_offset <= offset
                    })
                };
                self.log.iter().filter(has_seen).collect()
            }
            Moment::Sequence(aggregate, id, sequence) => {
                let is_own =
                    |entry: &Entry| entry.aggregate() == *aggregate && entry.event.meta.aggregate_id == *id;
                let own = self
                    .log
                    .iter()
                    .find(|entry| is_own(entry) && entry.event.meta.sequence == *sequence);
                let time = Moment::Time(own.unwrap().event.meta.recorded_at);
                let others: Vec<*const Entry> =
                    self.until(&time).into_iter().map(std::ptr::from_ref).collect();
                let entries = self.log.iter().filter(|entry| {
                    if is_own(entry) {
                        entry.event.meta.sequence <= *sequence
                    } else {
                        others.contains(&std::ptr::from_ref(*entry))
                    }
                });
                entries.collect()
            }
        }
    }

    /// The rows that these events make, those that clients see.
    pub fn rows<'a>(
        &self,
        view: &str,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> BTreeMap<AggregateId, Value> {
        let view = self.view(view);
        let mut rows = BTreeMap::new();
        for entry in entries {
            let name = &entry.kind.info().name;
            if !view.info().sources.contains(&name.as_str()) {
                continue;
            }
            let mut keys = view.keys(name, &entry.event);
            keys.sort();
            keys.dedup();
            for key in keys {
                if let Some(row) = view.project(rows.remove(&key), name, &entry.event, &key) {
                    rows.insert(key, row);
                }
            }
        }
        let listed = rows.into_iter().filter(|(_, row)| view.is_listed(row));
        listed
            .map(|(id, row)| (id, serde_json::from_str(&view.encode(&row)).unwrap()))
            .collect()
    }
}
