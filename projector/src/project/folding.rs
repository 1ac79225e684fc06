use std::collections::{BTreeMap, HashMap};

use foldline_core::{AggregateId, DecodedEvent, Sequence, ViewInfo};
use foldline_views::{Batch, CheckpointKey, CheckpointMove, HistoryEvent, Parked, Position, Touch};

use super::plan::{Folded, Item, Loaded, Outcome, Touched};
use super::rows::Rows;
use super::{HISTORY_INDEX, Kind, Place, Projector, Stream};

/// A batch, half folded.
pub(super) struct Folding<'a> {
    projector: &'a Projector,
    items: &'a [Item],
    rows: Rows<'a>,
    /// By aggregate type and aggregate, the last sequence that the history has.
    sequences: HashMap<(usize, AggregateId), Sequence>,
    history: Vec<HistoryEvent>,
    touches: Vec<Touch>,
    /// What was parked in this batch.
    parked: BTreeMap<Stream, Parked>,
    moves: BTreeMap<Place, Position>,
    counts: BTreeMap<(usize, Outcome), u64>,
}

impl<'a> Folding<'a> {
    pub(super) fn new(projector: &'a Projector, items: &'a [Item], loaded: Loaded) -> Self {
        let of_type = |(qualified, ids): (String, HashMap<AggregateId, Sequence>)| {
            let index = projector.aggregate_index(&qualified)?;
            Some(ids.into_iter().map(move |(id, sequence)| ((index, id), sequence)))
        };
        Self {
            projector,
            items,
            rows: Rows::new(items, loaded.rows),
            sequences: loaded
                .sequences
                .into_iter()
                .filter_map(of_type)
                .flatten()
                .collect(),
            history: Vec::new(),
            touches: Vec::new(),
            parked: BTreeMap::new(),
            moves: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Folds one record into every projection that has not seen it.
    pub(super) fn take(&mut self, index: usize) {
        let item = &self.items[index];
        let is_told = tracing::enabled!(tracing::Level::DEBUG);
        let _span = is_told.then(|| item.span().entered());
        for reader in &self.projector.aggregates[item.aggregate].readers {
            let touched = item.touched.iter().find(|(due, _)| due == reader);
            let outcome = match touched {
                None => Outcome::Skipped,
                Some((_, ids)) => {
                    self.step(*reader, item);
                    self.apply(*reader, index, ids)
                }
            };
            *self.counts.entry((*reader, outcome)).or_default() += 1;
            tracing::debug!(
                projection = self.projector.projections[*reader].name,
                ?outcome,
                "folded"
            );
        }
    }

    /// The checkpoint goes on whatever becomes of the event: the aggregate is parked, not the projection.
    fn step(&mut self, reader: usize, item: &Item) {
        let place = (reader, item.aggregate, item.record.partition);
        let was = self.projector.position(place);
        let position = self.moves.entry(place).or_insert(was);
        position.next_offset = item.record.offset + 1;
        if let Ok(event) = &item.record.event {
            position.command_offset = position.command_offset.max(event.meta.command_offset);
        }
    }

    fn apply(&mut self, reader: usize, index: usize, ids: &Touched) -> Outcome {
        let item = &self.items[index];
        if self.parked(reader, item).is_some() {
            return Outcome::Parked;
        }
        let applied = item.event().and_then(|event| {
            let projector = self.projector;
            let kind = &projector.projections[reader].kind;
            if !matches!(kind, Kind::History) {
                self.trusted_by_history(item)?;
            }
            let ids = ids.as_ref().map_err(Clone::clone)?;
            match kind {
                Kind::History => self.record(item, event)?,
                Kind::View(view) => self.rows.apply(&**view, index, ids)?,
                Kind::Touches(view) => self.touch(view.info(), item, ids),
            }
            Ok(())
        });
        match applied {
            Ok(()) => Outcome::Applied,
            Err(reason) => {
                self.park(reader, item, reason);
                Outcome::Parked
            }
        }
    }

    /// Adds an event to the history, which is where a gap is found.
    fn record(&mut self, item: &Item, event: &DecodedEvent) -> Result<(), String> {
        let last = self
            .sequences
            .entry((item.aggregate, item.id.clone()))
            .or_default();
        let sequence = event.meta.sequence;
        if sequence != *last + 1 {
            let what = if sequence > *last {
                "events are missing"
            } else {
                "it is a repeat"
            };
            return Err(format!(
                "the event has sequence {sequence} and comes after {last}: {what}"
            ));
        }
        *last = sequence;
        let meta = &event.meta;
        let text = item.record.text().expect("a record with an event has its text");
        self.history.push(HistoryEvent {
            aggregate: self.projector.aggregates[item.aggregate].qualified.clone(),
            id: item.id.clone(),
            sequence,
            partition: item.record.partition,
            offset: item.record.offset,
            event_id: meta.event_id,
            occurred_at: meta.occurred_at,
            recorded_at: meta.recorded_at,
            command_id: meta.command_id,
            command_offset: meta.command_offset,
            json: text.to_owned(),
            event_type: meta.event_type.clone(),
            correlation_id: meta.correlation_id.clone(),
            actor: meta.actor.clone(),
        });
        Ok(())
    }

    /// Notes the rows that are not about the event's own aggregate: its own is found without.
    fn touch(&mut self, view: &ViewInfo, item: &Item, ids: &[AggregateId]) {
        let touch = |id: &AggregateId| Touch {
            view: view.name.to_owned(),
            id: id.clone(),
            aggregate: self.projector.aggregates[item.aggregate].qualified.clone(),
            partition: item.record.partition,
            offset: item.record.offset,
        };
        let foreign = ids.iter().filter(|id| **id != item.id);
        self.touches.extend(foreign.map(touch));
    }

    /// A view must not fold what comes after a gap either, and be it long after the history has found it.
    fn trusted_by_history(&self, item: &Item) -> Result<(), String> {
        match self.parked(HISTORY_INDEX, item) {
            Some(parked) if parked.offset <= item.record.offset => Err(parked.reason.clone()),
            _ => Ok(()),
        }
    }

    fn parked(&self, reader: usize, item: &Item) -> Option<&Parked> {
        let stream = (reader, item.aggregate, item.id.clone());
        self.parked
            .get(&stream)
            .or_else(|| self.projector.parked.get(&stream))
    }

    fn park(&mut self, reader: usize, item: &Item, reason: String) {
        let parked = Parked {
            projection: self.projector.projections[reader].name.clone(),
            aggregate: self.projector.aggregates[item.aggregate].qualified.clone(),
            id: item.id.clone(),
            reason,
            partition: item.record.partition,
            offset: item.record.offset,
        };
        self.parked
            .insert((reader, item.aggregate, item.id.clone()), parked);
    }

    pub(super) fn finish(self) -> Folded {
        let projector = self.projector;
        let step = |(place, to): (Place, Position)| CheckpointMove {
            key: CheckpointKey {
                projection: projector.projections[place.0].name.clone(),
                aggregate: projector.aggregates[place.1].qualified.clone(),
                partition: place.2,
            },
            from: projector.position(place),
            to,
        };
        let count = |((reader, outcome), count): ((usize, Outcome), u64)| {
            ((projector.projections[reader].name.clone(), outcome), count)
        };
        Folded {
            batch: Batch {
                rows: self.rows.finish(),
                history: self.history,
                commands: Vec::new(),
                unparked: Vec::new(),
                touches: self.touches,
                parked: self.parked.into_values().collect(),
                moves: self.moves.into_iter().map(step).collect(),
            },
            counts: self.counts.into_iter().map(count).collect(),
        }
    }
}
