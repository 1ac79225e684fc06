//! What the projector says about itself. Labels are names of projections and aggregate types, never ids.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldline_kafka::Progress;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::{Done, Projector};

const EVENTS: &str = "foldline_projection_events_total";
const LAG: &str = "foldline_projection_lag_records";
const PARKED: &str = "foldline_projection_parked_total";
const PARKED_NOW: &str = "foldline_projection_parked_aggregates";
const BATCH_SECONDS: &str = "foldline_projection_batch_duration_seconds";
const BATCH_EVENTS: &str = "foldline_projection_batch_events";
const DELAY: &str = "foldline_projection_delay_seconds";
const BUILDING: &str = "foldline_view_build_left_records";
const RETRIES: &str = "foldline_projection_store_retries_total";

/// Gives each metric its description.
pub(crate) fn describe() {
    describe_counter!(EVENTS, "Events, by projection and by what became of them");
    describe_gauge!(
        LAG,
        "Records that a projection has not read yet; markers of transactions count"
    );
    describe_counter!(
        PARKED,
        "Aggregates that a projection has parked: somebody must act"
    );
    describe_gauge!(PARKED_NOW, "Aggregates that are parked now");
    describe_histogram!(
        BATCH_SECONDS,
        "Time to load, fold and write a batch; a full one also waits until the next is loaded"
    );
    describe_histogram!(BATCH_EVENTS, "Events in a batch");
    describe_histogram!(
        DELAY,
        "From the decision to the view, for the newest event of a batch"
    );
    describe_gauge!(
        BUILDING,
        "Records that a generation which is built beside the served one has not folded yet"
    );
    describe_counter!(RETRIES, "Failures of the view database that were tried again");
}

/// A batch is in the store.
pub(crate) fn batch(done: &Done, projector: &Projector) {
    for ((projection, outcome), count) in &done.counts {
        let labels = [
            ("projection", projection.clone()),
            ("outcome", outcome.name().to_owned()),
        ];
        counter!(EVENTS, &labels).increment(*count);
    }
    for parked in &done.parked {
        let labels = [
            ("projection", parked.projection.clone()),
            ("aggregate", parked.aggregate.clone()),
        ];
        counter!(PARKED, &labels).increment(1);
    }
    if !done.parked.is_empty() {
        parked_now(projector);
    }
    histogram!(BATCH_SECONDS).record(done.took);
    // Batches have at most a million events.
    histogram!(BATCH_EVENTS).record(f64::from(u32::try_from(done.events).unwrap_or(u32::MAX)));
    if let Some(recorded_at) = done.recorded_at {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let then = Duration::from_millis(u64::try_from(recorded_at.0).unwrap_or_default());
        histogram!(DELAY).record(now.saturating_sub(then));
    }
}

/// How many aggregates are parked.
pub(crate) fn parked_now(projector: &Projector) {
    for (projection, count) in projector.parked_counts() {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        gauge!(PARKED_NOW, "projection" => projection.to_owned()).set(count);
    }
}

/// How much is left of a build.
pub(crate) fn building(view: &str, left: u64) {
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    gauge!(BUILDING, "view" => view.to_owned()).set(left);
}

/// The store has failed, and is tried again.
pub(crate) fn retried() {
    counter!(RETRIES).increment(1);
}

/// How far behind each projection is. Returns how far the slowest one is, over all partitions.
pub(crate) fn lag(projector: &Projector, progress: &[Progress]) -> i64 {
    let mut total = 0;
    for part in progress {
        let aggregate = part.aggregate.info().qualified_name();
        let mut slowest = 0;
        for (projection, position) in projector.positions_of(&aggregate, part.partition) {
            // What has been read and is not an event, a marker, moves no checkpoint.
            let lag = (part.end - position.next_offset.max(part.position)).max(0);
            slowest = slowest.max(lag);
            let labels = [
                ("projection", projection.to_owned()),
                ("aggregate", aggregate.clone()),
                ("partition", part.partition.to_string()),
            ];
            // Exact up to 2^32 records, and past that nobody counts them.
            gauge!(LAG, &labels).set(f64::from(u32::try_from(lag).unwrap_or(u32::MAX)));
        }
        total += slowest;
    }
    total
}
