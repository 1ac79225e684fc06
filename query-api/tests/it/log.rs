//! A log, and the history that is made of it.

use std::collections::BTreeMap;

use foldline_core::Timestamp;
use foldline_views::{Batch, CheckpointKey, CheckpointMove, HISTORY, HistoryEvent, Position, ViewWriter};
use serde_json::json;

use crate::following::Told;
use crate::toy::{COATS, TAGS, event};

/// Events as they lie in the log: in each partition with growing offsets, between which others (the markers of
/// transactions) may lie.
#[derive(Debug, Clone)]
pub struct Log(pub Vec<HistoryEvent>);

/// The next event: of a type of aggregate, in a partition, of a type, behind so many other offsets.
pub type Draw = (bool, i32, bool, i64);

impl Log {
    pub fn new(draws: &[Draw]) -> Self {
        let mut ends: BTreeMap<(&str, i32), (i64, i64)> = BTreeMap::new();
        let events = draws
            .iter()
            .enumerate()
            .map(|(index, &(coat, partition, up, gap))| {
                let aggregate = if coat { COATS } else { TAGS };
                let (offset, sequence) = ends.entry((aggregate, partition)).or_default();
                *offset += gap;
                *sequence += 1;
                let kind = if up { "HungUp" } else { "TookDown" };
                let event = HistoryEvent {
                    partition,
                    offset: *offset,
                    event_type: kind.to_owned(),
                    recorded_at: Timestamp(index as i64),
                    json: json!({ "event_type": kind, "number": index }).to_string(),
                    ..event(aggregate, &format!("p{partition}"), *sequence)
                };
                *offset += 1;
                event
            });
        Self(events.collect())
    }

    /// Writes a part of it, all in one commit.
    pub fn write(&self, writer: &mut dyn ViewWriter, part: std::ops::Range<usize>) {
        let position = |next_offset| Position {
            next_offset,
            command_offset: next_offset - 1,
        };
        let mut stands = writer.checkpoints().unwrap();
        let mut moves: BTreeMap<CheckpointKey, CheckpointMove> = BTreeMap::new();
        for event in &self.0[part.clone()] {
            let key = CheckpointKey {
                projection: HISTORY.to_owned(),
                aggregate: event.aggregate.clone(),
                partition: event.partition,
            };
            let from = stands.remove(&key).unwrap_or(Position::START);
            let step = moves
                .entry(key.clone())
                .or_insert(CheckpointMove { key, from, to: from });
            step.to = position(event.offset + 1);
        }
        let batch = Batch {
            history: self.0[part].to_vec(),
            moves: moves.into_values().collect(),
            ..Batch::default()
        };
        writer.commit(&batch).unwrap();
    }

    /// The numbers of what the client wants of the first events.
    pub fn wanted(&self, filter: Filter, of_first: usize) -> Vec<usize> {
        let wanted = (0..of_first).filter(|&number| {
            let event = &self.0[number];
            (!filter.coats_only || event.aggregate == COATS)
                && (!filter.ups_only || event.event_type == "HungUp")
        });
        wanted.collect()
    }
}

/// What a client wants of it.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    pub coats_only: bool,
    pub ups_only: bool,
}

impl Filter {
    pub fn uri(self) -> String {
        let coats = if self.coats_only {
            "&aggregate=wardrobe.coats"
        } else {
            ""
        };
        let ups = if self.ups_only { "&type=HungUp" } else { "" };
        format!("/events?{}", format!("{coats}{ups}").trim_start_matches('&'))
    }
}

/// The number of an event in its log.
pub fn number(told: &Told) -> usize {
    let json = told.json();
    assert_eq!(json["event_type"], told.kind.as_str());
    usize::try_from(json["number"].as_u64().unwrap()).unwrap()
}
