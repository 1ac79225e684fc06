use std::sync::Arc;

use foldline_core::{
    AggregateId, AggregateType, DecodedEvent, Domains, Sequence, Timestamp, ViewState, ViewType,
};
use foldline_views::{HistoryEvent, Parked, Row, Snapshot, StoreError, has_touches, touches_of};
use serde_json::Value;

use super::moment::newest;
use super::timeline::is_left_out;
use super::{At, Moment, PastError, Timeline};

/// A view, as its past is folded.
pub(crate) struct PastView {
    pub(crate) view: Arc<dyn ViewType>,
    /// The aggregate types that it reads, by their qualified names.
    pub(crate) sources: Vec<String>,
    /// The aggregate type that a row is about, if there is one, by its qualified name.
    pub(crate) subject: Option<String>,
    kinds: Vec<Arc<dyn AggregateType>>,
    /// Whether events of other aggregates touch its rows.
    is_touched: bool,
}

/// A row as it was.
pub(crate) struct RowThen {
    pub(crate) row: Row,
    /// The last event that touched it.
    pub(crate) recorded_at: Timestamp,
}

/// An aggregate's state as it was.
pub(crate) struct StateThen {
    pub(crate) state: Value,
    pub(crate) sequence: Sequence,
    /// The last event that made it.
    pub(crate) recorded_at: Timestamp,
}

impl PastView {
    pub(crate) fn new(domains: &Domains, view: &Arc<dyn ViewType>) -> Self {
        let info = view.info();
        let kinds: Vec<_> = domains
            .aggregates()
            .iter()
            .filter(|kind| {
                let kind = kind.info();
                kind.domain == info.domain && info.sources.contains(&kind.name.as_str())
            })
            .cloned()
            .collect();
        let subject = kinds.iter().find(|kind| kind.info().path == info.path);
        Self {
            view: Arc::clone(view),
            sources: kinds.iter().map(|kind| kind.info().qualified_name()).collect(),
            subject: subject.map(|kind| kind.info().qualified_name()),
            is_touched: has_touches(domains, info),
            kinds,
        }
    }

    /// The event, and the type of its aggregate.
    pub(crate) fn read(&self, event: &HistoryEvent) -> Result<(&dyn AggregateType, DecodedEvent), PastError> {
        let mut kinds = self.sources.iter().zip(&self.kinds);
        let (_, kind) = kinds
            .find(|(name, _)| **name == event.aggregate)
            .expect("only events of sources are asked for");
        let decoded = DecodedEvent::from_json(&**kind, &event.json, event.command_offset)?;
        Ok((&**kind, decoded))
    }

    /// All events of a row up to a moment.
    fn timeline<'a>(
        &'a self,
        snapshot: &'a dyn Snapshot,
        id: &'a AggregateId,
        moment: &'a Moment,
    ) -> Timeline<'a> {
        let of = (self.subject.as_deref(), self.sources.as_slice(), self.is_touched);
        Timeline::of_row(snapshot, self.view.info(), of, id, moment)
    }

    /// Where a moment lies for a row; now, if none is given.
    fn moment(
        &self,
        snapshot: &dyn Snapshot,
        id: &AggregateId,
        at: Option<&At>,
    ) -> Result<Moment, PastError> {
        let Some(at) = at else {
            return newest(snapshot, &self.sources);
        };
        at.resolve(snapshot, &self.sources, |sequence| match &self.subject {
            Some(subject) => time_of(snapshot, subject, id, sequence),
            None => Err(no_sequence()),
        })
    }

    /// Refuses if the touches have not come as far as the moment: they are being found anew then.
    pub(crate) fn check_touches(&self, snapshot: &dyn Snapshot, moment: &Moment) -> Result<(), PastError> {
        if !self.is_touched {
            return Ok(());
        }
        let name = self.view.info().name;
        let known = snapshot.positions(&touches_of(name))?;
        let is_behind = moment.cut.iter().any(|((aggregate, partition), end)| {
            let mut known = known.iter();
            let at = known.find(|(key, _)| key.aggregate == *aggregate && key.partition == *partition);
            at.map_or(0, |(_, position)| position.next_offset) < *end
        });
        if is_behind {
            return Err(PastError::Behind(name.to_owned()));
        }
        Ok(())
    }
}

pub(crate) fn no_sequence() -> PastError {
    PastError::Meaningless(
        "what is asked for is about no one aggregate, so it has no sequence: give a time".to_owned(),
    )
}

fn time_of(
    snapshot: &dyn Snapshot,
    aggregate: &str,
    id: &AggregateId,
    sequence: Sequence,
) -> Result<Timestamp, PastError> {
    let found = snapshot.events(aggregate, id, sequence - 1, 1)?;
    match found.first() {
        Some(event) => Ok(event.recorded_at),
        None => match snapshot.last_sequence(aggregate, id)? {
            Some(newest) => Err(PastError::Sequence {
                asked: sequence,
                newest,
            }),
            None => Err(PastError::Nothing),
        },
    }
}

/// A row, while it is folded: as the projector does it, event by event.
pub(crate) struct RowFold {
    pub(crate) state: Option<ViewState>,
    pub(crate) sequence: Sequence,
    pub(crate) version: i64,
}

impl RowFold {
    pub(crate) fn new() -> Self {
        Self {
            state: None,
            sequence: 0,
            version: 0,
        }
    }

    /// Folds an event that touches the row in. `is_own`: the row is about the event's aggregate.
    pub(crate) fn apply(
        &mut self,
        view: &dyn ViewType,
        aggregate: &str,
        event: &DecodedEvent,
        id: &AggregateId,
        is_own: bool,
    ) {
        self.state = view.project(self.state.take(), aggregate, event, id);
        if self.state.is_none() {
            // If it comes back, it is a new one.
            (self.sequence, self.version) = (0, 0);
            return;
        }
        self.version += 1;
        if is_own {
            self.sequence = self.sequence.max(event.meta.sequence);
        }
    }
}

/// The row at a moment; now, if none is given. `seen` is told what each event has made of it.
pub(crate) fn row_at(
    snapshot: &dyn Snapshot,
    past: &PastView,
    id: &AggregateId,
    at: Option<&At>,
    mut seen: impl FnMut(&HistoryEvent, Option<&ViewState>),
) -> Result<RowThen, PastError> {
    let view = &*past.view;
    let moment = past.moment(snapshot, id, at)?;
    past.check_touches(snapshot, &moment)?;
    let parked = parked_in(snapshot, view.info().name)?;
    let mut timeline = past.timeline(snapshot, id, &moment);
    let mut fold = RowFold::new();
    let mut last = None;
    while let Some(event) = timeline.next()? {
        let (kind, decoded) = past.read(&event)?;
        let aggregate = &kind.info().name;
        if is_left_out(&parked, &event) || !view.keys(aggregate, &decoded).contains(id) {
            continue;
        }
        let is_own = past.subject.as_ref() == Some(&event.aggregate) && event.id == *id;
        fold.apply(view, aggregate, &decoded, id, is_own);
        last = Some(event.recorded_at);
        seen(&event, fold.state.as_ref());
    }
    let state = fold.state.filter(|state| view.is_listed(state));
    match (state, last) {
        (Some(state), Some(recorded_at)) => Ok(RowThen {
            row: Row {
                id: id.clone(),
                doc: view.encode(&state),
                sequence: fold.sequence,
                version: fold.version,
                // Of this program's declaration, whichever is served.
                generation: 0,
            },
            recorded_at,
        }),
        // It was removed, or waited to be shown.
        (None, Some(_)) => Err(PastError::Nothing),
        (_, None) => Err(began(snapshot, past, id)?),
    }
}

/// What the view has parked, and so leaves out.
pub(crate) fn parked_in(snapshot: &dyn Snapshot, view: &str) -> Result<Vec<Parked>, StoreError> {
    let all = snapshot.parked()?.into_iter().map(|entry| entry.parked);
    Ok(all.filter(|parked| parked.projection == view).collect())
}

/// Why there was no row although nothing had removed it.
fn began(snapshot: &dyn Snapshot, past: &PastView, id: &AggregateId) -> Result<PastError, PastError> {
    let now = newest(snapshot, &past.sources)?;
    let first = past.timeline(snapshot, id, &now).next()?;
    Ok(match first {
        Some(event) => PastError::NotYet {
            began_at: event.recorded_at,
        },
        None => PastError::Nothing,
    })
}

/// An aggregate's state at a moment; now, if none is given.
pub(crate) fn state_at(
    snapshot: &dyn Snapshot,
    kind: &dyn AggregateType,
    id: &AggregateId,
    at: Option<&At>,
) -> Result<StateThen, PastError> {
    let aggregate = kind.info().qualified_name();
    let all = [aggregate.clone()];
    let moment = match at {
        Some(at) => at.resolve(snapshot, &all, |sequence| {
            time_of(snapshot, &aggregate, id, sequence)
        })?,
        None => newest(snapshot, &all)?,
    };
    let mut timeline = Timeline::of_aggregate(snapshot, &aggregate, id, &moment);
    let mut state = kind.initial();
    let mut last = None;
    while let Some(event) = timeline.next()? {
        let decoded = DecodedEvent::from_json(kind, &event.json, event.command_offset)?;
        kind.evolve(&mut state, &decoded.event);
        last = Some((event.sequence, event.recorded_at));
    }
    match last {
        Some((sequence, recorded_at)) => Ok(StateThen {
            state: kind.state_json(&state),
            sequence,
            recorded_at,
        }),
        None => Err(match snapshot.events(&aggregate, id, 0, 1)?.first() {
            Some(event) => PastError::NotYet {
                began_at: event.recorded_at,
            },
            None => PastError::Nothing,
        }),
    }
}
