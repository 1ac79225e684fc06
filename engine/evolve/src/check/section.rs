//! A recording, partition by partition.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead;

use foldline_core::AggregateId;

use crate::EvolveError;
use crate::recording::{Again, AggregateLine, Line, LineReader};

/// What was recorded of a partition.
#[derive(Default)]
pub(super) struct Section {
    pub(super) unreadable: HashSet<i64>,
    pub(super) commands: HashMap<i64, Again>,
    pub(super) aggregates: BTreeMap<AggregateId, AggregateLine>,
}

impl Section {
    pub(super) fn read<R: BufRead>(
        reader: &mut LineReader<R>,
        of: &str,
        number: i32,
    ) -> Result<Self, EvolveError> {
        let begins = |line| match line {
            Line::Partition { of: name, partition } if name == of && partition == number => Ok(()),
            other => Err(other),
        };
        if reader.next_of(begins)?.is_none() {
            return Err(reader.wrong(format!("partition {number} of {of} should begin here")));
        }
        let mut section = Self::default();
        let belongs = |line| match line {
            line @ (Line::Unreadable(_) | Line::Command(_) | Line::Aggregate(_)) => Ok(line),
            other => Err(other),
        };
        while let Some(line) = reader.next_of(belongs)? {
            match line {
                Line::Unreadable(line) => drop(section.unreadable.insert(line.offset)),
                Line::Command(line) => drop(section.commands.insert(line.offset, line.again)),
                Line::Aggregate(line) => drop(section.aggregates.insert(line.id.clone(), *line)),
                _ => unreachable!("no other line belongs"),
            }
        }
        Ok(section)
    }
}
