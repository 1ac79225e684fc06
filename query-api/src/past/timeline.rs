use std::collections::VecDeque;

use foldline_core::{AggregateId, Sequence, Timestamp, ViewInfo};
use foldline_views::{HistoryEvent, Parked, Snapshot, StoreError};

use super::{EVENTS_MAX, Moment, PastError};

/// How many events of a strand are in memory.
const PAGE: usize = 200;

/// The events that made a row or an aggregate, up to a moment: those of one aggregate in their order, aggregates by
/// the time of their events, as feeds have them.
pub(crate) struct Timeline<'a> {
    snapshot: &'a dyn Snapshot,
    id: &'a AggregateId,
    strands: Vec<Strand<'a>>,
    left: usize,
}

/// What is read one after the other.
struct Strand<'a> {
    source: Source<'a>,
    buffer: VecDeque<HistoryEvent>,
    has_ended: bool,
}

enum Source<'a> {
    /// The events of the aggregate with this id.
    Own {
        aggregate: &'a str,
        after: Sequence,
        until: Until<'a>,
    },
    /// Those of other aggregates that touch the row, in one partition.
    Touching {
        view: &'a str,
        aggregate: &'a str,
        partition: i32,
        from: i64,
        end: i64,
    },
}

enum Until<'a> {
    Sequence(Sequence),
    Moment(&'a Moment),
}

impl<'a> Timeline<'a> {
    /// The events of an aggregate.
    pub(crate) fn of_aggregate(
        snapshot: &'a dyn Snapshot,
        aggregate: &'a str,
        id: &'a AggregateId,
        moment: &'a Moment,
    ) -> Self {
        let until = match moment.sequence {
            Some(sequence) => Until::Sequence(sequence),
            None => Until::Moment(moment),
        };
        Self::new(snapshot, id, vec![Strand::own(aggregate, until)])
    }

    /// The events of a row. `subject` is the aggregate type that it is about, `touched` whether others touch it.
    pub(crate) fn of_row(
        snapshot: &'a dyn Snapshot,
        view: &'a ViewInfo,
        (subject, sources, touched): (Option<&'a str>, &'a [String], bool),
        id: &'a AggregateId,
        moment: &'a Moment,
    ) -> Self {
        let mut strands = Vec::new();
        for source in sources {
            let until = match moment.sequence {
                Some(sequence) if subject == Some(source) => Until::Sequence(sequence),
                _ => Until::Moment(moment),
            };
            strands.push(Strand::own(source, until));
        }
        for ((aggregate, partition), end) in moment.cut.iter().filter(|_| touched) {
            strands.push(Strand::new(Source::Touching {
                view: view.name,
                aggregate,
                partition: *partition,
                from: 0,
                end: *end,
            }));
        }
        Self::new(snapshot, id, strands)
    }

    fn new(snapshot: &'a dyn Snapshot, id: &'a AggregateId, strands: Vec<Strand<'a>>) -> Self {
        Self {
            snapshot,
            id,
            strands,
            left: EVENTS_MAX,
        }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Result<Option<HistoryEvent>, PastError> {
        for strand in &mut self.strands {
            strand.fill(self.snapshot, self.id)?;
        }
        let recorded_at = |strand: &Strand<'_>| -> Option<Timestamp> {
            strand.buffer.front().map(|event| event.recorded_at)
        };
        let heads = self.strands.iter_mut().filter(|strand| !strand.buffer.is_empty());
        let Some(event) = heads
            .min_by_key(|strand| recorded_at(strand))
            .and_then(|strand| strand.buffer.pop_front())
        else {
            return Ok(None);
        };
        self.left = self.left.checked_sub(1).ok_or(PastError::TooLong)?;
        Ok(Some(event))
    }
}

impl<'a> Strand<'a> {
    fn new(source: Source<'a>) -> Self {
        Self {
            source,
            buffer: VecDeque::new(),
            has_ended: false,
        }
    }

    fn own(aggregate: &'a str, until: Until<'a>) -> Self {
        Self::new(Source::Own {
            aggregate,
            after: 0,
            until,
        })
    }

    /// Reads on, if all that was read is used up.
    fn fill(&mut self, snapshot: &dyn Snapshot, id: &AggregateId) -> Result<(), StoreError> {
        if self.has_ended || !self.buffer.is_empty() {
            return Ok(());
        }
        let mut events = match &self.source {
            Source::Own { aggregate, after, .. } => snapshot.events(aggregate, id, *after, PAGE)?,
            Source::Touching {
                view,
                aggregate,
                partition,
                from,
                ..
            } => snapshot.touching(view, id, (aggregate, *partition, *from), PAGE)?,
        };
        self.has_ended = events.len() < PAGE;
        if let Some(last) = events.last() {
            match &mut self.source {
                Source::Own { after, .. } => *after = last.sequence,
                Source::Touching { from, .. } => *from = last.offset + 1,
            }
        }
        // A moment is a place in each partition: behind the first event that has not happened, none has.
        let happened = events
            .iter()
            .take_while(|event| self.source.has_happened(event))
            .count();
        self.has_ended |= happened < events.len();
        events.truncate(happened);
        self.buffer = events.into();
        Ok(())
    }
}

impl Source<'_> {
    fn has_happened(&self, event: &HistoryEvent) -> bool {
        match self {
            Self::Own {
                until: Until::Sequence(last),
                ..
            } => event.sequence <= *last,
            Self::Own {
                until: Until::Moment(moment),
                ..
            } => {
                let place = (event.aggregate.clone(), event.partition);
                moment.cut.get(&place).is_some_and(|end| event.offset < *end)
            }
            Self::Touching { end, .. } => event.offset < *end,
        }
    }
}

/// Whether the view has left the event out, because its aggregate is parked.
pub(super) fn is_left_out(parked: &[Parked], event: &HistoryEvent) -> bool {
    parked.iter().any(|parked| {
        parked.aggregate == event.aggregate && parked.id == event.id && parked.offset <= event.offset
    })
}
