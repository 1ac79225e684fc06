//! What comes before all measurements: Kafka's JVM compiles what it runs.

use std::time::Duration;

use super::{Bench, commands};

/// Of a core, that the compiler's threads still have. After half a minute, on a slow machine, they had more than half of one, and
/// more than the threads that answered requests: what is measured first would pay for it.
const COMPILING_MAX: f64 = 0.1;

/// For how long Kafka is under load before it is measured.
#[derive(Clone, Copy)]
pub(crate) struct WarmUp {
    /// Between two looks at the compiler.
    pub(crate) length: Duration,
    /// After so many lengths nothing is waited for any more.
    pub(crate) lengths_max: usize,
}

/// Has so many clients order, until the compiler has little left to do.
pub(crate) async fn up(bench: &Bench, clients: usize) -> anyhow::Result<()> {
    let WarmUp { length, lengths_max } = bench.plan.first_warm_up;
    bench.doing.next("warming Kafka up");
    for _ in 0..lengths_max {
        let before = bench.system.compiling();
        commands::load(bench, clients, length).await?;
        // Where nobody can tell, one length must do.
        let (Some(before), Some(after)) = (before, bench.system.compiling()) else {
            break;
        };
        // Java ends threads of the compiler that have nothing to do, and their time is gone with them.
        let share = (after - before).max(0.0) / length.as_secs_f64();
        if share <= COMPILING_MAX {
            break;
        }
        let percent = share * 100.0;
        bench.doing.next(&format!(
            "warming Kafka up: Java's compiler still has {percent:.0} % of a core"
        ));
    }
    Ok(())
}
