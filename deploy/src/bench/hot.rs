//! One aggregate that everybody asks: its commands lie in one partition, and each is decided on the one before it.

use std::sync::Arc;

use foldline_core::AggregateId;
use serde_json::json;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::Bench;
use super::figures::Figures;
use super::preloaded::{Counted, Topic, a_command_on};
use super::system::{Cpu, Service};

/// One round. The command handler has stopped when it begins.
pub(crate) async fn commands(bench: &mut Bench, counters: &Arc<Topic>) -> anyhow::Result<(Figures, Cpu)> {
    let count = bench.plan.commands;
    let topic = Arc::clone(counters);
    bench.doing.next("commands on one aggregate: loading them");
    spawn_blocking(move || load(&topic, count)).await??;
    bench.doing.next("commands on one aggregate: deciding");
    bench.system.launch(Service::CommandHandler)?;
    let counted = Counted {
        service: Service::CommandHandler,
        metric: "foldline_commands_total",
        kind: ("aggregate", counters.aggregate().info().qualified_name()),
        outcome: "accepted",
    };
    counted.watch(bench, count).await
}

fn load(topic: &Topic, count: usize) -> anyhow::Result<()> {
    let id = AggregateId::from(Uuid::now_v7());
    let mut sending = topic.send()?;
    for number in 0..count {
        let command = match number {
            0 => json!({"type": "StartCounter"}),
            _ => json!({"type": "IncrementCounter", "by": 1}),
        };
        sending.command(&a_command_on(&id), &command)?;
    }
    sending.end()
}
