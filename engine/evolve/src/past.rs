//! What decisions on other aggregates may have seen: those aggregates as they were at a time.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldline_core::{
    AggregateId, AggregateType, AnyEvent, Claim, DecodedEvent, Domains, References, State, Timestamp,
};
use foldline_kafka::Keys;

/// An aggregate: the qualified name of its type, and its id.
pub(crate) type Key = (String, AggregateId);

/// The events of every aggregate that another one may refer to, claims among them.
#[derive(Default)]
pub(crate) struct Past {
    /// What personal values are sealed with, so that a decision that is taken again makes what lies in the log, and a
    /// recording says nothing of who is erased later.
    pub(crate) keys: Keys,
    types: HashMap<String, Type>,
}

struct Type {
    aggregate: Arc<dyn AggregateType>,
    histories: HashMap<AggregateId, History>,
}

#[derive(Default)]
struct History {
    events: Vec<(Timestamp, AnyEvent)>,
    /// What was folded last. Questions come in the order of time, so the next one goes on from here.
    folded: RefCell<Option<(usize, State)>>,
}

/// The aggregate types that others refer to, by qualified name.
pub(crate) fn referenced(domains: &Domains) -> BTreeSet<String> {
    let of = |aggregate: &Arc<dyn AggregateType>| {
        let info = aggregate.info();
        let others = info.references.iter().map(|name| (*name).to_owned());
        let claims = info
            .unique
            .iter()
            .map(|unique| Claim::type_name(&info.name, unique));
        let names: Vec<String> = others
            .chain(claims)
            .map(|name| format!("{}.{name}", info.domain))
            .collect();
        names
    };
    domains.aggregates().iter().flat_map(of).collect()
}

impl Past {
    pub(crate) fn opened_with(keys: Keys) -> Self {
        Self {
            keys,
            types: HashMap::new(),
        }
    }

    /// Takes the next event of an aggregate.
    pub(crate) fn add(&mut self, aggregate: &Arc<dyn AggregateType>, event: DecodedEvent) {
        let types = self.types.entry(aggregate.info().qualified_name());
        let of_type = types.or_insert_with(|| Type {
            aggregate: Arc::clone(aggregate),
            histories: HashMap::new(),
        });
        let history = of_type.histories.entry(event.meta.aggregate_id).or_default();
        history.events.push((event.meta.recorded_at, event.event));
    }

    /// How many events an aggregate has.
    pub(crate) fn len(&self, key: &Key) -> usize {
        self.history(key).map_or(0, |(_, history)| history.events.len())
    }

    /// How many events it had at a time.
    fn len_at(&self, key: &Key, at: Timestamp) -> usize {
        self.history(key).map_or(0, |(_, history)| {
            history.events.partition_point(|(recorded, _)| *recorded <= at)
        })
    }

    /// What its first events have made of it; `None` if that is no event at all.
    fn state(&self, key: &Key, count: usize) -> Option<State> {
        let (aggregate, history) = self.history(key)?;
        if count == 0 {
            return None;
        }
        let mut folded = history.folded.borrow_mut();
        let (from, mut state) = match folded.take() {
            Some((from, state)) if from <= count => (from, state),
            _ => (0, aggregate.initial()),
        };
        for (_, event) in &history.events[from..count] {
            aggregate.evolve(&mut state, event);
        }
        let copy = aggregate.clone_state(&state);
        *folded = Some((count, state));
        Some(copy)
    }

    fn history(&self, (name, id): &Key) -> Option<(&Arc<dyn AggregateType>, &History)> {
        let of_type = self.types.get(name)?;
        Some((&of_type.aggregate, of_type.histories.get(id)?))
    }
}

/// The other aggregates, as one decision sees them.
pub(crate) struct View<'a> {
    past: &'a Past,
    domain: &'a str,
    at: Timestamp,
    /// Those that are to be seen after another number of events than they had at the time.
    moved: &'a BTreeMap<Key, usize>,
    seen: RefCell<BTreeMap<Key, usize>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        past: &'a Past,
        domain: &'a str,
        at: Timestamp,
        moved: &'a BTreeMap<Key, usize>,
    ) -> Self {
        Self {
            past,
            domain,
            at,
            moved,
            seen: RefCell::default(),
        }
    }

    /// The state of an aggregate of this domain.
    pub(crate) fn state(&self, name: &str, id: &AggregateId) -> Option<State> {
        let key = (format!("{}.{name}", self.domain), id.clone());
        let moved = self.moved.get(&key).copied();
        let count = moved.unwrap_or_else(|| self.past.len_at(&key, self.at));
        let state = self.past.state(&key, count);
        self.seen.borrow_mut().insert(key, count);
        state
    }

    /// The aggregates that were looked at, each with its number of events.
    pub(crate) fn seen(self) -> BTreeMap<Key, usize> {
        self.seen.into_inner()
    }
}

impl References for View<'_> {
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>> {
        self.state(aggregate, id).map(|state| state as Box<dyn Any>)
    }
}
