//! The nodes of Kafka, of which one goes and comes back.

use std::time::Instant;

use foldline_stack::Quiet;

use super::Stage;
use crate::faults::report::Hit;
use crate::stack::{PARTITIONS, leader_of};

/// Whose event partitions' leaders are killed: those that most commands are about.
const EVENTS: &str = "restaurant.orders.events";

impl Stage {
    /// One of the nodes.
    pub(super) fn any_node(&mut self) -> usize {
        self.chance.below(self.stack.brokers().len())
    }

    /// Which node leads a drawn event partition; `None` if nobody says so just now.
    pub(super) async fn leader_of_an_event_partition(&mut self) -> Option<usize> {
        let partition = self.chance.below(usize::try_from(PARTITIONS).ok()?);
        leader_of(&self.system.kafka, EVENTS, i32::try_from(partition).ok()?).await
    }

    /// SIGKILL of one, and a start: of the only one at once, of one of several when the others serve, because that they
    /// do is what several are for.
    pub(super) async fn kill_node(&mut self, node: usize, mut hit: Hit) {
        let began_at = Instant::now();
        self.stack.brokers_mut()[node].kill().await;
        self.proxy.forget_open_transactions();
        let is_alone = self.stack.brokers().len() == 1;
        if !is_alone {
            hit.back_after = self.is_back(began_at).await;
        }
        let started = self.stack.brokers_mut()[node].start(&Quiet).await;
        started.expect("the broker starts again");
        if is_alone {
            hit.back_after = self.is_back(began_at).await;
        }
        self.hits.push(hit);
    }
}
