//! Clients: each asks until it is answered, some ask twice.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use foldline_core::{AggregateId, AnyCommand, CommandMeta, CommandResult, Timestamp};
use foldline_domains::restaurant::customers::{Customer, CustomerCommand};
use uuid::Uuid;

use super::process::{Condition, Process};
use crate::gateway::Pending;

/// How long a client waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(5);
/// When the last of the clients begins.
const LAST_ASKS: Duration = Duration::from_secs(20);
pub(super) const CUSTOMERS: u64 = 6;
const EMAILS: u64 = 5;

pub(super) struct Client {
    pub(super) id: Uuid,
    customer: AggregateId,
    command: CustomerCommand,
    /// When it asks next, if it is not answered.
    asks: Duration,
    /// How often it wants an answer.
    wants: usize,
    pub(super) answers: Vec<CommandResult>,
    /// Whom it waits for.
    waiting: Vec<(usize, Pending)>,
}

impl Client {
    pub(super) fn any(rng: &mut Rng) -> Self {
        let email = format!("e{}@example.org", rng.u64(0..EMAILS));
        let command = match rng.u32(0..10) {
            0..=3 => CustomerCommand::SignUp { email: email.into() },
            4 | 5 => CustomerCommand::ChangeEmail { email: email.into() },
            6..=8 => CustomerCommand::AddAddress {
                nickname: format!("n{}", rng.u32(0..4)).into(),
                location: format!("Street {}", rng.u32(0..100)).into(),
            },
            _ => CustomerCommand::RemoveAddress {
                nickname: format!("n{}", rng.u32(0..4)).into(),
            },
        };
        Self {
            id: Uuid::from_u128(rng.u128(..)),
            customer: format!("c{}", rng.u64(0..CUSTOMERS)).parse().unwrap(),
            command,
            asks: LAST_ASKS.mul_f64(rng.f64()),
            wants: if rng.u32(0..3) == 0 { 2 } else { 1 },
            answers: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// One who asks for something to be kept of a customer, from now on.
    pub(super) fn late(rng: &mut Rng, customer: &AggregateId, now: Duration) -> Self {
        Self {
            id: Uuid::from_u128(rng.u128(..)),
            customer: customer.clone(),
            command: CustomerCommand::AddAddress {
                nickname: "late".into(),
                location: "Street of the late".into(),
            },
            asks: now,
            wants: 1,
            answers: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// When it does something by itself; `None` once it is content.
    pub(super) fn next(&self) -> Option<Duration> {
        (self.answers.len() < self.wants).then_some(self.asks)
    }

    /// Asks a process, or none if that is down.
    pub(super) fn ask(&mut self, now: Duration, process: &Process) {
        self.asks = now + PATIENCE;
        let Condition::Up(running) = &process.condition else {
            return;
        };
        let shared = Arc::clone(&running.shared);
        let customers = &shared.catalog.types()[0];
        let meta = CommandMeta::new(self.id, self.customer.clone(), Timestamp(0));
        let command = AnyCommand::new::<Customer>(self.command.clone());
        let submit = shared
            .sender
            .submit(customers.aggregate.as_ref(), meta, &command, None);
        let submit = std::pin::pin!(submit);
        // The simulated cluster takes or refuses it at once.
        let Poll::Ready(submitted) = submit.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("appending waits for something");
        };
        if let Ok(pending) = submitted {
            self.waiting.push((process.name, pending));
        }
    }

    /// Takes the answers that came. Returns whether there was one.
    pub(super) fn hear(&mut self, now: Duration) -> bool {
        let before = self.answers.len();
        let answers = &mut self.answers;
        self.waiting
            .retain_mut(|(_, pending)| match pending.answer.try_recv() {
                Ok(answer) => {
                    answers.push(answer);
                    false
                }
                Err(_) => true,
            });
        let has_heard = self.answers.len() > before;
        if has_heard {
            self.asks = now + PATIENCE;
        }
        has_heard
    }

    /// A process is gone, and with it who would have answered.
    pub(super) fn gone(&mut self, name: usize) {
        self.waiting.retain(|(process, ..)| *process != name);
    }
}
