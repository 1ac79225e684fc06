//! What is committed can be read only when nothing below it is open any more, and when Kafka has marked it so.

use std::time::Duration;

use crate::broker::{Broker, Isolation, Place, Range, ranges};
use crate::follower::FollowError;
use crate::producer::TRANSACTION_MAX;
use crate::runtime::Runtime;

/// How long a transaction may be open. By then Kafka has given it up itself, unless it is no writer's of ours.
pub(crate) const OPEN_MAX: Duration = TRANSACTION_MAX.saturating_mul(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// The ranges of partitions as they are now, once all of it can be read.
pub(crate) fn settled_ranges(
    seam: (&dyn Broker, &dyn Runtime),
    places: &[Place<'_>],
    at_most: Duration,
) -> Result<Vec<Range>, FollowError> {
    let found = ranges(seam.0, places)?;
    let highs: Vec<i64> = found.iter().map(|(_, high)| *high).collect();
    wait_until_settled(seam, (places, &highs), at_most, &|| false)?;
    Ok(found)
}

/// Waits until no transaction is open below these ends, unless all is to stop.
pub(crate) fn wait_until_settled(
    (broker, runtime): (&dyn Broker, &dyn Runtime),
    (places, highs): (&[Place<'_>], &[i64]),
    at_most: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(), FollowError> {
    if places.is_empty() {
        return Ok(());
    }
    let stable = broker.watermarks(Isolation::ReadCommitted)?;
    let began_at = runtime.now();
    loop {
        let ends = stable.highs(places)?;
        let mut open = places.iter().zip(ends.iter().zip(highs));
        let Some(((topic, _), _)) = open.find(|(_, (end, high))| end < high) else {
            return Ok(());
        };
        if is_stopped() {
            return Err(FollowError::Stopped);
        }
        if runtime.now() - began_at >= at_most {
            let topic = (*topic).to_owned();
            return Err(FollowError::Unsettled { topic });
        }
        runtime.sleep(BETWEEN_LOOKS);
    }
}
