use std::collections::BTreeMap;

use crate::HistoryEvent;

/// A place in the events of several aggregate types: for each partition (of a type, by its qualified name) the offset
/// of the next event record. It is made of what the log says, so it means the same in every store of a cluster.
///
/// A partition that is not in it is at its beginning.
pub type FeedPlace = BTreeMap<(String, i32), i64>;

/// Which events, from where on.
#[derive(Debug, Clone, Default)]
pub struct FeedQuery {
    /// Of these aggregate types, by their qualified names.
    pub aggregates: Vec<String>,
    /// Of these types; all if there are none.
    pub types: Vec<String>,
    /// Only what this actor has asked for.
    pub actor: Option<String>,
    /// Only what comes after this place.
    pub after: FeedPlace,
    /// Only what comes before this place, in the partitions that it names and in no others.
    pub until: Option<FeedPlace>,
    /// At most so many events.
    pub limit: usize,
}

/// Some events of a feed: those of a partition in the order of their offsets, partitions by the time of their events,
/// as far as the page goes.
#[derive(Debug, Clone, Default)]
pub struct FeedPage {
    /// The events.
    pub events: Vec<HistoryEvent>,
    /// The place behind the page. It may have moved although no event of the page is there.
    pub next: FeedPlace,
    /// Whether there is more to be read now.
    pub more: bool,
}
