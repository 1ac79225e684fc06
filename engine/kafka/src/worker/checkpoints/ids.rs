//! The ids of the commands that were decided since a partition's last checkpoint.

use foldline_core::CommandIds;
use uuid::Uuid;

/// Ids in one record, at most: 96 KiB. What is to be read at once when an old id is asked for.
const RECORD_MAX: usize = 16_384;

/// Ids between two places where a record may end.
const CUT_EVERY: usize = 256;

/// Ids in the order of their outcomes.
#[derive(Debug, Default)]
pub(super) struct Ids {
    digests: Vec<[u8; CommandIds::DIGEST]>,
    /// Where a range may end: all outcomes below the offset belong to the digests before it.
    cuts: Vec<Cut>,
}

#[derive(Debug)]
struct Cut {
    digests: usize,
    to_offset: i64,
    command_offset: i64,
}

impl Ids {
    pub(super) fn push(&mut self, command_id: &Uuid) {
        self.digests.push(CommandIds::digest(command_id));
    }

    /// All outcomes below this offset have been pushed; the last of them is that of this command.
    pub(super) fn cut(&mut self, to_offset: i64, command_offset: i64) {
        let digests = self.digests.len();
        // A few will do.
        self.cuts
            .pop_if(|last| last.digests / CUT_EVERY == digests / CUT_EVERY);
        self.cuts.push(Cut {
            digests,
            to_offset,
            command_offset,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.digests.len()
    }

    /// Those that came later behind these.
    pub(super) fn append(&mut self, later: Self) {
        let before = self.digests.len();
        self.digests.extend(later.digests);
        self.cuts.extend(later.cuts.into_iter().map(|cut| Cut {
            digests: cut.digests + before,
            ..cut
        }));
    }

    /// The records for them, from an offset on up to the last cut. Only the outcomes of one batch, if they are more
    /// than fit, make a record that is larger.
    pub(super) fn records(&self, mut from_offset: i64) -> Vec<CommandIds> {
        let mut records = Vec::new();
        let mut first = 0;
        let mut cuts = self.cuts.iter().peekable();
        while let Some(cut) = cuts.next() {
            let is_full = |next: &&Cut| next.digests - first > RECORD_MAX;
            if cuts.peek().is_some_and(|next| !is_full(next)) || cut.to_offset <= from_offset {
                continue;
            }
            let mut digests = self.digests[first..cut.digests].to_vec();
            digests.sort_unstable();
            digests.dedup();
            let record = CommandIds {
                from_offset,
                to_offset: cut.to_offset,
                command_offset: cut.command_offset,
                digests: digests.concat(),
                checksum: Uuid::nil(),
            };
            records.push(record.sealed());
            (from_offset, first) = (cut.to_offset, cut.digests);
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use foldline_core::CommandIds;
    use uuid::Uuid;

    use super::{Ids, RECORD_MAX};

    /// Batches of so many commands each, from number `first` on.
    fn batches(first: usize, count: usize, size: usize) -> Ids {
        let mut ids = Ids::default();
        for batch in 0..count {
            for number in 0..size {
                ids.push(&Uuid::from_u128((first + batch * size + number) as u128));
            }
            let end = i64::try_from(first + (batch + 1) * size).unwrap();
            ids.cut(end, end - 1);
        }
        ids
    }

    #[test]
    fn the_ranges_follow_one_another_and_hold_every_id() {
        let mut ids = batches(0, 30, 1000);
        ids.append(batches(30_000, 20, 1000));
        let records = ids.records(0);
        let ranges: Vec<_> = records
            .iter()
            .map(|ids| (ids.from_offset, ids.to_offset))
            .collect();
        assert_eq!(
            ranges,
            [(0, 16_000), (16_000, 32_000), (32_000, 48_000), (48_000, 50_000)]
        );
        for record in &records {
            assert!(record.is_whole());
            assert_eq!(record.command_offset, record.to_offset - 1);
            let count = usize::try_from(record.to_offset - record.from_offset).unwrap();
            assert!(count <= RECORD_MAX);
            let digests: Vec<_> = record.digests.chunks(CommandIds::DIGEST).collect();
            assert_eq!(digests.len(), count);
            assert!(digests.is_sorted());
        }
    }

    #[test]
    fn without_a_cut_nothing_is_said() {
        let mut ids = Ids::default();
        ids.push(&Uuid::from_u128(1));
        assert!(ids.records(0).is_empty());
        // Repetitions have no id of their own, and move the range all the same.
        let mut ids = Ids::default();
        ids.cut(7, 6);
        assert_eq!(ids.records(5)[0].digests, [0; 0]);
        assert!(ids.records(7).is_empty());
    }
}
