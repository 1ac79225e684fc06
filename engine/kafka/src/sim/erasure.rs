//! Erasures while all goes on: the steps of [`erase`](crate::erase()) that go through the seam, each done again until it
//! succeeds. What they do not know is whether the records in the command topics are decided, and what Kafka removes.

use std::collections::HashSet;
use std::time::Duration;

use fastrand::Rng;
use foldline_core::AggregateId;
use futures_util::FutureExt;

use super::broker::{KEYS, SimBroker, away};
use crate::broker::{Broker, Place};
use crate::catalog::{Catalog, Installed};
use crate::erase::mark::{Marked, append, noted};
use crate::erase::release::{Holds, held_after, request};
use crate::follower::{FollowError, kafka_error};

const AGAIN: Duration = Duration::from_secs(1);
/// Who is not there by then is not erased.
const LAST_TRIED: Duration = Duration::from_secs(30);

pub(super) struct Erasure {
    pub(super) customer: AggregateId,
    /// When it does something next; `None` once it is done.
    pub(super) next: Option<Duration>,
    /// By when the mark was there.
    pub(super) marked_at: Option<Duration>,
}

impl Erasure {
    pub(super) fn any(rng: &mut Rng, customers: u64) -> Self {
        Self {
            customer: format!("c{}", rng.u64(0..customers)).parse().unwrap(),
            next: Some(Duration::from_millis(rng.u64(3_000..24_000))),
            marked_at: None,
        }
    }

    /// As its key is called.
    pub(super) fn subject(&self) -> String {
        format!("customers/{}", self.customer)
    }

    pub(super) fn pass(&mut self, now: Duration, broker: &SimBroker, catalog: &Catalog) {
        self.next = Some(now + AGAIN);
        if self.marked_at.is_none() {
            match self.mark(broker) {
                Ok(true) => self.marked_at = Some(broker.world.now()),
                Ok(false) | Err(_) if now > LAST_TRIED => self.next = None,
                Ok(false) | Err(_) => {}
            }
            return;
        }
        if let Ok(0) = self.release(broker, catalog) {
            self.next = None;
        }
    }

    /// Once more, from after the mark on.
    pub(super) fn again(&mut self, now: Duration) {
        self.next = self.marked_at.map(|_| now);
    }

    /// Whether there was somebody to be marked.
    fn mark(&self, broker: &SimBroker) -> Result<bool, FollowError> {
        // The scheduler itself calls this, and nothing goes on while it waits.
        let noted = noted((broker, &broker.world), KEYS, &self.subject(), Duration::ZERO)?;
        let marked = Marked::instead_of(noted, KEYS.to_owned());
        if !marked.is_known {
            return Ok(false);
        }
        let appended = append(broker, &marked, &self.subject()).now_or_never();
        let appended = appended.expect("the simulated cluster takes or refuses it at once");
        appended.map_err(|_| kafka_error(KEYS, away()))?;
        Ok(true)
    }

    /// How many claims were still held.
    fn release(&self, broker: &SimBroker, catalog: &Catalog) -> Result<usize, FollowError> {
        let claims = &catalog.types()[1];
        let held = self.held(broker, claims)?;
        for (claim, (value, holder)) in &held {
            let schema = claims.commands.reader.own_id();
            let record = request(claims.aggregate.as_ref(), schema, claim, (value, holder)).unwrap();
            let place: Place<'_> = (&claims.commands.name, claims.slice_of(claim).partition);
            let appender = broker.appender().unwrap();
            let appended = appender
                .append(place, claim.as_str(), &record, Vec::new())
                .now_or_never();
            // Whether it was taken is seen when the claims are looked at again.
            let _ = appended.expect("the simulated cluster takes or refuses it at once");
        }
        Ok(held.len())
    }

    fn held(&self, broker: &SimBroker, claims: &Installed) -> Result<Holds, FollowError> {
        let holders = HashSet::from([self.customer.to_string()]);
        let mut held = Holds::new();
        let from = (0..claims.partitions).map(|partition| (partition, 0)).collect();
        broker.read_to_ends(&claims.events.name, &from, &mut |message| {
            let value = message.value.unwrap_or_default();
            let event = claims.events.reader.event(claims.aggregate.as_ref(), value);
            held_after(&mut held, &event.unwrap(), &holders);
            Ok(())
        })?;
        Ok(held)
    }
}
