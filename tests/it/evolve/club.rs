//! A small domain of this test alone, in many versions: people join a club on a plan, pay in, and pay by visiting.
//!
//! [`Version`] is what a version may change. What it does not mention is as in the version that is running,
//! [`Running`].

use std::fmt::Debug;
use std::marker::PhantomData;

use foldline_core::{
    Aggregate, AggregateId, Context, Domain, DomainError, Domains, Envelope, Field, Payload, Projection,
    RefusalKind, Rejection, Source, Unique, Upcaster, from,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a version of the members may change.
pub trait Version: Default + Clone + PartialEq + Debug + Send + Sync + 'static {
    type Command: Payload;
    type Event: Payload;
    const REVISIONS: &'static [(&'static str, i32)] = &[];
    const UPCASTERS: &'static [Upcaster] = &[];

    fn asked(command: &Self::Command) -> MemberCommand {
        converted(command)
    }
    fn read(event: &Self::Event) -> MemberEvent {
        converted(event)
    }
    fn write(event: &MemberEvent) -> Self::Event {
        converted(event)
    }
    fn decide(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
        rules(state, command, context)
    }
    fn evolve(state: &mut State, event: &MemberEvent) {
        fold(state, event);
    }
    fn unique(state: &State) -> Vec<Unique> {
        email_of(state, state.email.to_lowercase())
    }
    fn project(row: Option<MemberRow>, event: &MemberEvent, id: &AggregateId) -> Option<MemberRow> {
        row_after(row, event, id)
    }
}

/// A value of one version as one of another: by the names of its types and fields.
pub fn converted<T: DeserializeOwned>(value: &impl Serialize) -> T {
    let json = serde_json::to_value(value).expect("payloads are JSON");
    serde_json::from_value(json).expect("the versions' types differ by less")
}

/// The domain in this version.
pub fn domains<V: Version>() -> Result<Domains, DomainError> {
    let club = Domain::new("club").aggregate::<Plan>().aggregate::<Member<V>>();
    Domains::new([club.view::<Members<V>>().view::<Plans<V>>()])
}

/// The version that is running.
#[derive(Default, Clone, PartialEq, Debug)]
pub struct Running;

impl Version for Running {
    type Command = MemberCommand;
    type Event = MemberEvent;
}

/// The version that ran before it: it did not count guests.
#[derive(Default, Clone, PartialEq, Debug)]
pub struct Older;

impl Version for Older {
    type Command = MemberCommand;
    type Event = older::MemberEvent;
}

mod older {
    use super::{Deserialize, JsonSchema, Serialize};

    /// What can have happened to a member.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub enum MemberEvent {
        MemberJoined {
            email: String,
            plan: String,
            price: i64,
            note: Option<String>,
        },
        MoneyDeposited {
            amount: i64,
            note: Option<String>,
        },
        MemberVisited {
            kind: String,
        },
        EmailChanged {
            email: String,
        },
        MemberLeft {},
    }
}

/// What can be asked of a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum MemberCommand {
    Join {
        email: String,
        plan: String,
        note: Option<String>,
    },
    Deposit {
        /// In cents.
        amount: i64,
        note: Option<String>,
    },
    Visit {
        /// DAY or NIGHT.
        kind: String,
        #[serde(default)]
        guests: i32,
    },
    ChangeEmail {
        email: String,
    },
    Leave {},
}

/// What can have happened to a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum MemberEvent {
    MemberJoined {
        email: String,
        plan: String,
        price: i64,
        note: Option<String>,
    },
    MoneyDeposited {
        /// In cents.
        amount: i64,
        note: Option<String>,
    },
    MemberVisited {
        kind: String,
        #[serde(default)]
        guests: i32,
    },
    EmailChanged {
        email: String,
    },
    MemberLeft {},
}

/// How a member says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct No(pub &'static str);

impl Rejection for No {
    fn code(&self) -> &'static str {
        self.0
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

/// A member, as folded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    pub status: Status,
    pub email: String,
    pub price: i64,
    pub balance: i64,
    pub visits: i64,
    pub guests: i64,
    pub note: Option<String>,
}

/// Where a member stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    #[default]
    New,
    Active,
    Left,
}

pub fn rules(state: &State, command: &MemberCommand, context: &Context<'_>) -> Result<Vec<MemberEvent>, No> {
    if let MemberCommand::Join { email, plan, note } = command {
        if state.status != Status::New {
            return Err(No("joined-before"));
        }
        let id = plan.parse().map_err(|_| No("no-such-plan"))?;
        let found: Plan = context.find(&id).ok_or(No("no-such-plan"))?;
        return Ok(vec![MemberEvent::MemberJoined {
            email: email.clone(),
            plan: plan.clone(),
            price: found.price,
            note: note.clone(),
        }]);
    }
    if state.status != Status::Active {
        return Err(No("no-member"));
    }
    let event = match command.clone() {
        MemberCommand::Deposit { amount, .. } if amount <= 0 => return Err(No("not-positive")),
        MemberCommand::Deposit { amount, note } => MemberEvent::MoneyDeposited { amount, note },
        MemberCommand::Visit { kind, .. } if state.balance < cost(state, &kind) => {
            return Err(No("too-poor"));
        }
        MemberCommand::Visit { kind, guests } => MemberEvent::MemberVisited { kind, guests },
        MemberCommand::ChangeEmail { email } => MemberEvent::EmailChanged { email },
        MemberCommand::Leave {} => MemberEvent::MemberLeft {},
        MemberCommand::Join { .. } => unreachable!("decided above"),
    };
    Ok(vec![event])
}

/// A night costs twice as much.
pub fn cost(state: &State, kind: &str) -> i64 {
    match kind {
        "NIGHT" => 2 * state.price,
        _ => state.price,
    }
}

pub fn fold(state: &mut State, event: &MemberEvent) {
    match event.clone() {
        MemberEvent::MemberJoined {
            email, price, note, ..
        } => {
            state.status = Status::Active;
            (state.email, state.price, state.note) = (email, price, note);
        }
        MemberEvent::MoneyDeposited { amount, note } => {
            state.balance += amount;
            state.note = note.or(state.note.take());
        }
        MemberEvent::MemberVisited { kind, guests } => {
            state.balance -= cost(state, &kind);
            state.visits += 1;
            state.guests += i64::from(guests);
        }
        MemberEvent::EmailChanged { email } => state.email = email,
        MemberEvent::MemberLeft {} => state.status = Status::Left,
    }
}

pub fn email_of(state: &State, value: String) -> Vec<Unique> {
    match state.status {
        Status::Active => vec![Unique { name: "email", value }],
        Status::New | Status::Left => vec![],
    }
}

pub fn row_after(row: Option<MemberRow>, event: &MemberEvent, id: &AggregateId) -> Option<MemberRow> {
    let mut row = row.unwrap_or_else(|| MemberRow {
        id: id.to_string(),
        ..MemberRow::default()
    });
    match event.clone() {
        MemberEvent::MemberJoined { email, .. } | MemberEvent::EmailChanged { email } => row.email = email,
        MemberEvent::MoneyDeposited { amount, note } => {
            row.deposited += amount;
            row.notes.extend(note);
        }
        MemberEvent::MemberVisited { .. } => row.visits += 1,
        MemberEvent::MemberLeft {} => return None,
    }
    Some(row)
}

/// The aggregate, whichever version it is of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent, bound = "")]
#[schemars(bound = "")]
pub struct Member<V> {
    state: State,
    #[serde(skip)]
    #[schemars(skip)]
    of: PhantomData<fn() -> V>,
}

impl<V: Version> Aggregate for Member<V> {
    const NAME: &'static str = "members";
    const PATH: &'static str = "/members";
    const CREATE: &'static str = "Join";
    const REFERENCES: &'static [&'static str] = &["plans"];
    const UNIQUE: &'static [&'static str] = &["email"];
    const REVISIONS: &'static [(&'static str, i32)] = V::REVISIONS;
    const UPCASTERS: &'static [Upcaster] = V::UPCASTERS;

    type Command = V::Command;
    type Event = V::Event;
    type Rejection = No;

    fn decide(&self, command: &V::Command, context: &Context<'_>) -> Result<Vec<V::Event>, No> {
        let events = V::decide(&self.state, &V::asked(command), context)?;
        Ok(events.iter().map(V::write).collect())
    }

    fn evolve(&mut self, event: &V::Event) {
        V::evolve(&mut self.state, &V::read(event));
    }

    fn unique(&self) -> Vec<Unique> {
        V::unique(&self.state)
    }

    fn possible(&self) -> Vec<&'static str> {
        match self.state.status {
            Status::New => vec!["Join"],
            Status::Active => vec!["Deposit", "Visit", "ChangeEmail", "Leave"],
            Status::Left => vec![],
        }
    }
}

/// The members who have not left.
pub struct Members<V>(PhantomData<fn() -> V>);

/// A member, as clients see it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct MemberRow {
    pub id: String,
    pub email: String,
    pub deposited: i64,
    pub visits: i64,
    pub notes: Vec<String>,
}

impl<V: Version> Projection for Members<V> {
    const NAME: &'static str = "members";
    const PATH: &'static str = "/members";
    const FIELDS: &'static [Field] = &[Field::text("email")];

    type View = MemberRow;

    fn sources() -> Vec<Source<MemberRow>> {
        vec![from::<Member<V>, _>(
            |event| vec![event.meta.aggregate_id.clone()],
            |row, event, id| V::project(row, &V::read(&event.event), id),
        )]
    }
}

/// The plans, each with how many people have joined on it: rows that two types of aggregates feed.
pub struct Plans<V>(PhantomData<fn() -> V>);

/// A plan, as clients see it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlanRow {
    price: i64,
    joined: i64,
}

impl<V: Version> Projection for Plans<V> {
    const NAME: &'static str = "plans";
    const PATH: &'static str = "/plans";
    const FIELDS: &'static [Field] = &[];

    type View = PlanRow;

    fn sources() -> Vec<Source<PlanRow>> {
        vec![
            from::<Plan, _>(
                |event| vec![event.meta.aggregate_id.clone()],
                |row, event, _| {
                    let PlanEvent::PlanPriced { price } = event.event;
                    Some(PlanRow {
                        price,
                        ..row.unwrap_or_default()
                    })
                },
            ),
            from::<Member<V>, _>(
                |event| plan_of::<V>(event).into_iter().collect(),
                |row, _, _| {
                    let mut row = row.unwrap_or_default();
                    row.joined += 1;
                    Some(row)
                },
            ),
        ]
    }
}

fn plan_of<V: Version>(event: &Envelope<V::Event>) -> Option<AggregateId> {
    match V::read(&event.event) {
        MemberEvent::MemberJoined { plan, .. } => plan.parse().ok(),
        _ => None,
    }
}

/// What can be asked of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum PlanCommand {
    Price { price: i64 },
}

/// What can have happened to a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum PlanEvent {
    PlanPriced { price: i64 },
}

/// A plan: what a visit costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    price: i64,
}

impl Aggregate for Plan {
    const NAME: &'static str = "plans";
    const PATH: &'static str = "/plans";
    const CREATE: &'static str = "Price";

    type Command = PlanCommand;
    type Event = PlanEvent;
    type Rejection = No;

    fn decide(&self, command: &PlanCommand, _: &Context<'_>) -> Result<Vec<PlanEvent>, No> {
        let PlanCommand::Price { price } = *command;
        Ok(vec![PlanEvent::PlanPriced { price }])
    }

    fn evolve(&mut self, event: &PlanEvent) {
        let PlanEvent::PlanPriced { price } = *event;
        self.price = price;
    }

    fn possible(&self) -> Vec<&'static str> {
        vec!["Price"]
    }
}
