//! Named points at which a test may end this process, or have it wait: between any two steps that must not be
//! taken apart.
//!
//! Only with the feature `failpoints` does reaching one do anything; the end-to-end tests switch it on, for their own
//! program. Built together with them (`cargo build --workspace`) `foldline` has the points too, and nothing happens
//! there: no setting and no variable arms them, only a program's own code does. The crate `fail` is not used because
//! its macros would be needed, with what it depends on, where the feature is off.

/// Those of the command handler's worker, in the order in which a batch passes them.
pub const OF_THE_WORKER: [&str; 9] = [
    "taken",
    "decided",
    "begun",
    "records-sent",
    "offsets-sent",
    "before-commit",
    "committed",
    "stored",
    "before-answer",
];
/// Those of a worker that becomes the one writer of a partition.
pub const OF_A_TAKE_OVER: [&str; 2] = ["offsets-asked", "caught-up"];
/// Those of the projector's step.
pub const OF_THE_PROJECTOR: [&str; 2] = ["before-view-commit", "view-committed"];
/// That of a projector which is to fold a batch while the one before is committed, as it does only if that one was full.
pub const OF_FULL_BATCHES: [&str; 1] = ["loaded-ahead"];
/// Those of an erasure.
pub const OF_AN_ERASURE: [&str; 9] = [
    "marked",
    "surveyed",
    "released",
    "records-removed",
    "rolled",
    "removed",
    "compacting",
    "compacted",
    "forgotten",
];

#[cfg(any(test, feature = "failpoints"))]
static AT_EACH: std::sync::OnceLock<Box<dyn Fn(&'static str) + Send + Sync>> = std::sync::OnceLock::new();

/// Has this called at each point, by the thread that reaches it. The first call counts.
#[cfg(any(test, feature = "failpoints"))]
pub fn at_each(call: impl Fn(&'static str) + Send + Sync + 'static) {
    let _ = AT_EACH.set(Box::new(call));
}

/// A point is reached.
#[inline]
pub fn reached(point: &'static str) {
    #[cfg(any(test, feature = "failpoints"))]
    if let Some(call) = AT_EACH.get() {
        call(point);
    }
    #[cfg(not(any(test, feature = "failpoints")))]
    let _ = point;
}
