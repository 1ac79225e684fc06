//! One thread on a cluster on which nothing fails: for the rules that Kafka is held to as well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use generator::Gn;

use super::broker::SimBroker;
use super::cluster::Cluster;
use super::process::STACK;
use super::world::{Turn, World};
use crate::broker::Broker;
use crate::broker::conformance::PARTITIONS;
use crate::runtime::Runtime;

/// How long a turn takes.
const TURN: Duration = Duration::from_millis(1);

pub(crate) fn alone(body: impl FnOnce(Arc<dyn Broker>, Arc<dyn Runtime>) + Send + 'static) {
    let world = World::new(Cluster::new(7, None));
    world.cluster().is_rough = false;
    let partitions = BTreeMap::from([("counter.counters.commands".to_owned(), PARTITIONS)]);
    let thread_world = world.clone();
    let mut thread = Gn::<()>::new_opt(STACK, move || {
        let broker = SimBroker {
            world: thread_world.clone(),
        };
        body(Arc::new(broker), Arc::new(thread_world));
        Turn::Next
    });
    while let Some(turn) = thread.resume() {
        let mut cluster = world.cluster();
        let cluster = &mut *cluster;
        cluster.now = match turn {
            Turn::At(until) => until.max(cluster.now),
            Turn::Next | Turn::Look(_) => cluster.now + TURN,
        };
        cluster.pass();
        for group in cluster.groups.values_mut() {
            group.pass(cluster.now, &partitions, &mut cluster.rng);
        }
    }
}
