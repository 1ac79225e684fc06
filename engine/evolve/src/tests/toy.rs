//! Orders of things that have prices: a type that refers to another one, and has unique values.

use std::collections::BTreeMap;

use foldline_core::{Aggregate, Context, Domain, Domains, RefusalKind, Rejection, Unique};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens next.
#[derive(Debug, Clone)]
pub enum Step {
    Price {
        price: u8,
        cents: i64,
    },
    Open {
        order: u8,
        code: u8,
    },
    Add {
        order: u8,
        price: u8,
        /// How many events the decision's copy of the price lacks.
        behind: usize,
        /// Whether the command expects the order at sequence 1.
        expects: bool,
    },
}

/// The domain; orders count each thing so many times.
pub fn domains(times: i64) -> Domains {
    let toy = Domain::new("toy").aggregate::<Price>();
    let toy = match times {
        1 => toy.aggregate::<Order<1>>(),
        _ => toy.aggregate::<Order<2>>(),
    };
    Domains::new([toy]).unwrap()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum PriceCommand {
    SetPrice { cents: i64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum PriceEvent {
    PriceSet { cents: i64 },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no")]
pub struct No;

impl Rejection for No {
    fn code(&self) -> &'static str {
        "no"
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    cents: i64,
}

impl Aggregate for Price {
    const NAME: &'static str = "prices";
    const PATH: &'static str = "/prices";
    const CREATE: &'static str = "SetPrice";

    type Command = PriceCommand;
    type Event = PriceEvent;
    type Rejection = No;

    fn decide(&self, command: &PriceCommand, _: &Context<'_>) -> Result<Vec<PriceEvent>, No> {
        let PriceCommand::SetPrice { cents } = *command;
        match cents == self.cents {
            true => Ok(vec![]),
            false => Ok(vec![PriceEvent::PriceSet { cents }]),
        }
    }

    fn evolve(&mut self, event: &PriceEvent) {
        let PriceEvent::PriceSet { cents } = *event;
        self.cents = cents;
    }

    fn possible(&self) -> Vec<&'static str> {
        vec!["SetPrice"]
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum OrderCommand {
    Open { code: String },
    Add { price: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum OrderEvent {
    Opened { code: String },
    Added { price: String, cents: i64 },
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order<const TIMES: i64> {
    code: Option<String>,
    total: i64,
    things: BTreeMap<String, i64>,
}

impl<const TIMES: i64> Aggregate for Order<TIMES> {
    const NAME: &'static str = "orders";
    const PATH: &'static str = "/orders";
    const CREATE: &'static str = "Open";
    const REFERENCES: &'static [&'static str] = &["prices"];
    const UNIQUE: &'static [&'static str] = &["code"];

    type Command = OrderCommand;
    type Event = OrderEvent;
    type Rejection = No;

    fn decide(&self, command: &OrderCommand, context: &Context<'_>) -> Result<Vec<OrderEvent>, No> {
        match command {
            OrderCommand::Open { .. } if self.code.is_some() => Err(No),
            OrderCommand::Open { code } => Ok(vec![OrderEvent::Opened { code: code.clone() }]),
            OrderCommand::Add { price } => {
                let found: Price = context.find(&price.parse().map_err(|_| No)?).ok_or(No)?;
                Ok(vec![OrderEvent::Added {
                    price: price.clone(),
                    cents: found.cents,
                }])
            }
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Opened { code } => self.code = Some(code.clone()),
            OrderEvent::Added { price, cents } => {
                self.total += TIMES * cents;
                *self.things.entry(price.clone()).or_default() += TIMES;
            }
        }
    }

    fn unique(&self) -> Vec<Unique> {
        let code = self.code.clone().map(|value| Unique { name: "code", value });
        code.into_iter().collect()
    }

    fn possible(&self) -> Vec<&'static str> {
        vec!["Open", "Add"]
    }
}
