//! A log in memory, of one partition for each type, written as the command handler would.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldline_core::{
    AggregateId, AggregateType, AnyCommand, Claim, ClaimCommand, CommandMeta, CommandResult, Context,
    Domains, EventMeta, Outcome, RecordedEvent, References, Refusal, RefusalKind, State, Timestamp,
};
use uuid::Uuid;

use super::toy::{OrderCommand, Price, PriceCommand, Step};
use crate::EvolveError;
use crate::log::{Log, Snapshots};
use crate::recording::Ends;
use crate::refold::{CommandAt, EventAt, Partition, Tape};

#[derive(Default)]
struct Topics {
    events: Vec<(AggregateId, Vec<u8>)>,
    /// Where the event of this offset comes from.
    types: Vec<String>,
    results: Vec<CommandResult>,
    commands: Vec<Vec<u8>>,
    /// Before this offset, they are gone.
    first_command: usize,
}

/// The log, and the states that its writer knows: after each event, so that it can look at older ones.
pub struct MemoryLog {
    domains: Domains,
    topics: BTreeMap<String, Topics>,
    states: HashMap<(String, AggregateId), Vec<State>>,
    now: i64,
}

/// The prices, some of them as they were a few events ago.
struct Behind<'a> {
    log: &'a MemoryLog,
    events: usize,
}

impl References for Behind<'_> {
    fn find(&self, aggregate: &'static str, id: &AggregateId) -> Option<Box<dyn Any>> {
        let name = format!("toy.{aggregate}");
        let states = self.log.states.get(&(name.clone(), id.clone()))?;
        let aggregate = self.log.aggregate(&name);
        let seen = states.len().checked_sub(self.events + 1)?;
        Some(aggregate.clone_state(&states[seen]))
    }
}

impl MemoryLog {
    pub fn written(domains: &Domains, steps: &[Step]) -> Self {
        let mut log = Self {
            domains: domains.clone(),
            topics: BTreeMap::new(),
            states: HashMap::new(),
            now: 0,
        };
        for aggregate in domains.aggregates() {
            log.topics
                .insert(aggregate.info().qualified_name(), Topics::default());
        }
        steps.iter().for_each(|step| log.take(step));
        log
    }

    pub fn events(&self) -> u64 {
        self.topics
            .values()
            .map(|topics| topics.events.len() as u64)
            .sum()
    }

    pub fn commands(&self) -> u64 {
        self.topics
            .values()
            .map(|topics| topics.results.len() as u64)
            .sum()
    }

    pub fn has_event(&self, name: &str) -> bool {
        self.topics
            .values()
            .any(|topics| topics.types.iter().any(|of| of == name))
    }

    pub fn forget_commands(&mut self) {
        for topics in self.topics.values_mut() {
            topics.first_command = topics.commands.len();
        }
    }

    fn take(&mut self, step: &Step) {
        self.now += 1;
        match step {
            Step::Price { price, cents } => {
                let command = AnyCommand::new::<Price>(PriceCommand::SetPrice { cents: *cents });
                self.ask("toy.prices", &format!("p{price}"), &command, None, 0);
            }
            Step::Open { order, code } => {
                let command = order_command(
                    &self.domains,
                    &OrderCommand::Open {
                        code: format!("c{code}"),
                    },
                );
                self.ask("toy.orders", &format!("o{order}"), &command, None, 0);
            }
            Step::Add {
                order,
                price,
                behind,
                expects,
            } => {
                let price = format!("p{price}");
                let command = order_command(&self.domains, &OrderCommand::Add { price });
                let expected = expects.then_some(1);
                self.ask("toy.orders", &format!("o{order}"), &command, expected, *behind);
            }
        }
    }

    fn aggregate(&self, name: &str) -> Arc<dyn AggregateType> {
        let (domain, name) = name.split_once('.').unwrap();
        Arc::clone(self.domains.aggregate(domain, name).unwrap())
    }

    /// Decides a command, and appends what comes of it. Returns whether it was accepted.
    fn ask(
        &mut self,
        name: &str,
        id: &str,
        command: &AnyCommand,
        expected: Option<i64>,
        behind: usize,
    ) -> bool {
        let aggregate = self.aggregate(name);
        let id: AggregateId = id.parse().unwrap();
        let offset = self.topics[name].commands.len();
        let mut meta = command_meta(
            &id,
            Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{name}/{offset}").as_bytes()),
        );
        meta.expected_sequence = expected;
        let mut record = Vec::new();
        aggregate.encode_command(&mut meta, command, &mut record).unwrap();
        self.topics.get_mut(name).unwrap().commands.push(record);

        let decided_at = Timestamp(self.now);
        let before = self.states.get(&(name.to_owned(), id.clone()));
        let sequence = before.map_or(0, |states| states.len() as i64);
        let state = before.and_then(|states| states.last());
        let state = state.map_or_else(|| aggregate.initial(), |state| aggregate.clone_state(state));
        let seen = Behind {
            log: self,
            events: behind,
        };
        let context = Context::new(meta.command_id, &id, meta.issued_at, None, &seen);
        let decided = match aggregate.info().refusal(&meta, sequence) {
            Some(refusal) => Err(refusal),
            None => aggregate.decide(&state, command, &context),
        };
        let decided = decided.and_then(|events| {
            let mut after = aggregate.clone_state(&state);
            events
                .iter()
                .for_each(|event| aggregate.evolve(&mut after, event));
            let held = aggregate.unique(&state);
            let gained = aggregate
                .unique(&after)
                .into_iter()
                .find(|value| !held.contains(value));
            // At most one, in this domain.
            match gained {
                Some(value) if !self.reserve(name, &value, &id) => Err(Refusal {
                    field: Some("code".to_owned()),
                    ..Refusal::engine("code-taken", RefusalKind::State, String::new())
                }),
                _ => Ok(events),
            }
        });
        let mut result = blank(&meta, offset as i64, sequence, decided_at);
        let outcome = match decided {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(events) => {
                let mut named = Vec::new();
                let mut state = state;
                for (index, event) in (0..).zip(events) {
                    let mut meta = event_meta(
                        &meta,
                        sequence + i64::from(index) + 1,
                        index,
                        offset as i64,
                        decided_at,
                    );
                    let mut record = Vec::new();
                    aggregate.encode_event(&mut meta, &event, &mut record).unwrap();
                    aggregate.evolve(&mut state, &event);
                    let states = self.states.entry((name.to_owned(), id.clone())).or_default();
                    states.push(aggregate.clone_state(&state));
                    let topics = self.topics.get_mut(name).unwrap();
                    topics.events.push((id.clone(), record));
                    topics.types.push(meta.event_type.clone());
                    named.push(RecordedEvent {
                        event_id: meta.event_id,
                        event_type: meta.event_type,
                        sequence: meta.sequence,
                    });
                }
                Outcome::Accepted(named)
            }
        };
        result = result.with(outcome);
        let is_accepted = result.refusal.is_none();
        self.topics.get_mut(name).unwrap().results.push(result);
        is_accepted
    }

    /// Another worker decides on claims, a moment later.
    fn reserve(&mut self, name: &str, value: &foldline_core::Unique, holder: &AggregateId) -> bool {
        self.now += 1;
        let claims = format!("{name}-{}", value.name);
        let command = AnyCommand::new::<Claim>(ClaimCommand::ReserveValue {
            value: value.value.clone(),
            holder: holder.to_string(),
        });
        self.ask(&claims, Claim::id_of(value).as_str(), &command, None, 0)
    }
}

fn order_command(domains: &Domains, command: &OrderCommand) -> AnyCommand {
    let orders = domains.aggregate("toy", "orders").unwrap();
    let json = serde_json::to_value(command).unwrap();
    let (name, fields) = json.as_object().unwrap().iter().next().unwrap();
    let mut body = fields.clone();
    body["type"] = name.as_str().into();
    orders.command_from_json(&body, None).unwrap().1
}

fn command_meta(id: &AggregateId, command_id: Uuid) -> CommandMeta {
    CommandMeta::new(command_id, id.clone(), Timestamp(0))
}

fn event_meta(
    meta: &CommandMeta,
    sequence: i64,
    index: i32,
    command_offset: i64,
    at: Timestamp,
) -> EventMeta {
    EventMeta {
        event_id: EventMeta::id_of(&meta.command_id, index),
        event_type: String::new(),
        aggregate_id: meta.aggregate_id.clone(),
        sequence,
        revision: 1,
        occurred_at: meta.issued_at,
        recorded_at: at,
        command_id: meta.command_id,
        correlation_id: meta.command_id.to_string(),
        causation_id: meta.command_id.to_string(),
        actor: None,
        index,
        count: 1,
        command_offset,
        previous_hash: None,
        written_revision: 1,
    }
}

fn blank(meta: &CommandMeta, command_offset: i64, sequence: i64, decided_at: Timestamp) -> CommandResult {
    CommandResult {
        command_id: meta.command_id,
        command_type: meta.command_type.clone(),
        aggregate_id: meta.aggregate_id.clone(),
        outcome: String::new(),
        sequence,
        events: Vec::new(),
        refusal: None,
        decided_at,
        correlation_id: meta.command_id.to_string(),
        command_offset,
        fingerprint: Uuid::nil(),
        replayed: false,
        consistency_token: String::new(),
        dry_run: false,
        last_event_hash: None,
        actor: None,
        causation_id: None,
        issued_at: None,
    }
}

impl Log for MemoryLog {
    fn cluster(&self) -> &str {
        "memory"
    }

    fn topic_prefix(&self) -> &str {
        ""
    }

    fn ends(&mut self) -> Result<BTreeMap<String, Vec<Ends>>, EvolveError> {
        let ends = |(name, topics): (&String, &Topics)| {
            let end = Ends {
                events: topics.events.len() as i64,
                results: topics.results.len() as i64,
                commands: topics.commands.len() as i64,
            };
            (name.clone(), vec![end])
        };
        Ok(self.topics.iter().map(ends).collect())
    }

    fn events<'a>(
        &'a mut self,
        aggregate: &'a Arc<dyn AggregateType>,
        _: i32,
        _: i64,
    ) -> Result<Tape<'a, EventAt>, EvolveError> {
        let topics = &self.topics[&aggregate.info().qualified_name()];
        let events = topics.events.iter().enumerate();
        Ok(Box::new(events.map(|(offset, (id, record))| {
            Ok(EventAt {
                offset: offset as i64,
                id: Some(id.clone()),
                event: aggregate.decode_event(record).map_err(|error| error.to_string()),
            })
        })))
    }

    fn snapshots(&mut self, _: &Arc<dyn AggregateType>) -> Result<Snapshots, EvolveError> {
        Ok(Snapshots::new())
    }

    fn partition<'a>(
        &'a mut self,
        aggregate: &'a Arc<dyn AggregateType>,
        number: i32,
        ends: Ends,
    ) -> Result<Partition<'a>, EvolveError> {
        let name = aggregate.info().qualified_name();
        let results = self.topics[&name].results.clone();
        let topics = &self.topics[&name];
        let commands = topics
            .commands
            .clone()
            .into_iter()
            .enumerate()
            .skip(topics.first_command);
        Ok(Partition {
            aggregate,
            events: self.events(aggregate, number, ends.events)?,
            results: Box::new(results.into_iter().map(Ok)),
            commands: Box::new(commands.map(|(offset, record)| {
                Ok(CommandAt {
                    offset: offset as i64,
                    command: aggregate
                        .decode_command(&record)
                        .map_err(|error| error.to_string()),
                })
            })),
        })
    }
}
