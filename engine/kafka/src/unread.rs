//! Outcomes that are not in the local store: after a restore, those from before it.
//!
//! Of them only the ids are known, by their digests. Whoever asks for an id that may be among them has the range
//! of the result topic read in which it would lie; from then on that range is in the store. So a restore does not
//! read the outcomes of all time, and no id is ever forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use foldline_core::CommandIds;
use uuid::Uuid;

use crate::catalog::Slice;
use crate::store::Unread;

/// How many ranges of a partition can be told apart.
pub(crate) const RANGES_MAX: usize = 1 << 16;

/// The ids of all partitions.
#[derive(Default)]
pub(crate) struct UnreadIds {
    slices: RwLock<HashMap<Slice, Ids>>,
    has_any: AtomicBool,
}

/// The ids of one partition.
#[derive(Default)]
struct Ids {
    /// A digest in the upper 48 bits, the number of its range in the lower 16. Sorted.
    entries: Vec<u64>,
    /// From which offset to which; `None` if it is in the store by now.
    ranges: Vec<Option<(i64, i64)>>,
}

impl UnreadIds {
    /// Replaces what is known of a partition. At most [`RANGES_MAX`] ranges.
    pub(crate) fn set(&self, slice: Slice, ranges: &[Unread]) {
        let ids = Ids::new(ranges);
        let mut slices = self.slices.write().unwrap_or_else(PoisonError::into_inner);
        slices.insert(slice, ids);
        self.note(&slices);
    }

    /// The ranges in which the outcome of a command may lie: nothing if it certainly lies in none.
    pub(crate) fn ranges_of(&self, slice: Slice, command_id: &Uuid) -> Vec<(i64, i64)> {
        if !self.has_any.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let slices = self.slices.read().unwrap_or_else(PoisonError::into_inner);
        slices
            .get(&slice)
            .map_or_else(Vec::new, |ids| ids.ranges_of(command_id))
    }

    /// The range that begins there is in the store.
    pub(crate) fn is_read(&self, slice: Slice, from: i64) {
        let mut slices = self.slices.write().unwrap_or_else(PoisonError::into_inner);
        let Some(ids) = slices.get_mut(&slice) else { return };
        for range in &mut ids.ranges {
            if range.is_some_and(|range| range.0 == from) {
                *range = None;
            }
        }
        if ids.ranges.iter().all(Option::is_none) {
            slices.remove(&slice);
        }
        self.note(&slices);
    }

    fn note(&self, slices: &HashMap<Slice, Ids>) {
        let has_any = slices.values().any(|ids| !ids.entries.is_empty());
        self.has_any.store(has_any, Ordering::SeqCst);
    }
}

impl Ids {
    fn new(ranges: &[Unread]) -> Self {
        let mut entries = Vec::new();
        for (number, range) in (0..RANGES_MAX as u64).zip(ranges) {
            let digests = range.digests.chunks_exact(CommandIds::DIGEST);
            entries.extend(digests.map(|digest| upper(digest) | number));
        }
        entries.sort_unstable();
        Self {
            entries,
            ranges: ranges.iter().map(|range| Some((range.from, range.to))).collect(),
        }
    }

    fn ranges_of(&self, command_id: &Uuid) -> Vec<(i64, i64)> {
        let wanted = upper(&CommandIds::digest(command_id));
        let first = self.entries.partition_point(|entry| *entry < wanted);
        let same = self.entries[first..]
            .iter()
            .take_while(|entry| *entry >> 16 == wanted >> 16);
        let range = |entry: &u64| {
            let number = usize::from((entry & 0xffff) as u16);
            self.ranges.get(number).copied().flatten()
        };
        let mut ranges: Vec<(i64, i64)> = same.filter_map(range).collect();
        ranges.dedup();
        ranges
    }
}

fn upper(digest: &[u8]) -> u64 {
    digest
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
        << 16
}

#[cfg(test)]
mod tests {
    use foldline_core::CommandIds;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::UnreadIds;
    use crate::catalog::Slice;
    use crate::store::Unread;

    const SLICE: Slice = Slice {
        index: 0,
        partition: 0,
    };

    fn range(from: i64, ids: &[Uuid]) -> Unread {
        let mut digests: Vec<_> = ids.iter().map(CommandIds::digest).collect();
        digests.sort_unstable();
        Unread {
            from,
            to: from + 10,
            digests: digests.concat(),
        }
    }

    #[test]
    fn an_id_leads_to_every_range_that_may_have_it_until_that_is_read() {
        let (a, b, c) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let unread = UnreadIds::default();
        assert!(unread.ranges_of(SLICE, &a).is_empty());
        unread.set(SLICE, &[range(0, &[a, b]), range(10, &[b, b])]);
        assert_eq!(unread.ranges_of(SLICE, &a), [(0, 10)]);
        assert_eq!(unread.ranges_of(SLICE, &b), [(0, 10), (10, 20)]);
        assert!(unread.ranges_of(SLICE, &c).is_empty());
        unread.is_read(SLICE, 0);
        assert!(unread.ranges_of(SLICE, &a).is_empty());
        assert_eq!(unread.ranges_of(SLICE, &b), [(10, 20)]);
        unread.is_read(SLICE, 10);
        assert!(unread.ranges_of(SLICE, &b).is_empty());
    }

    proptest! {
        #[test]
        fn no_id_is_ever_overlooked(ids in proptest::collection::vec(any::<u128>(), 1..200), cut in any::<prop::sample::Index>()) {
            let ids: Vec<Uuid> = ids.into_iter().map(Uuid::from_u128).collect();
            let (first, second) = ids.split_at(cut.index(ids.len()));
            let unread = UnreadIds::default();
            unread.set(SLICE, &[range(0, first), range(10, second)]);
            for id in first {
                prop_assert!(unread.ranges_of(SLICE, id).contains(&(0, 10)));
            }
            for id in second {
                prop_assert!(unread.ranges_of(SLICE, id).contains(&(10, 20)));
            }
        }
    }
}
