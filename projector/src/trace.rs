//! Single rows, folded event by event: what each event made of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldline_core::{AggregateId, Sequence, ViewState, ViewType};
use foldline_kafka::{Events, LogRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::build::{BuildError, Goal, Site};
use crate::project::{Projector, unless_it_panics};

/// An event, by where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlace {
    /// The aggregate's type, by its qualified name.
    pub aggregate: String,
    /// The aggregate.
    pub id: String,
    /// The event's place in it, if it can be read.
    pub sequence: Option<Sequence>,
    /// Its type, if it can be read.
    pub event_type: String,
    /// The partition that it lies in.
    pub partition: i32,
    /// Where it lies there.
    pub offset: i64,
    /// When it was decided, in milliseconds since 1970.
    pub recorded_at: i64,
}

impl EventPlace {
    /// Tells it from all others.
    pub(crate) fn key(&self) -> (&str, i32, i64) {
        (&self.aggregate, self.partition, self.offset)
    }

    fn of(record: &LogRecord) -> Self {
        let meta = record.event.as_ref().ok().map(|event| &event.meta);
        Self {
            aggregate: record.aggregate.info().qualified_name(),
            id: record.id.as_ref().map(ToString::to_string).unwrap_or_default(),
            sequence: meta.map(|meta| meta.sequence),
            event_type: meta.map(|meta| meta.event_type.clone()).unwrap_or_default(),
            partition: record.partition,
            offset: record.offset,
            recorded_at: meta.map_or(0, |meta| meta.recorded_at.0),
        }
    }
}

/// What an event made of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The event.
    pub event: EventPlace,
    /// The row after it; nothing if there is none.
    pub row: Option<Value>,
    /// Why it could not be applied; the row is as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A row, event by event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowTrace {
    /// The row.
    pub id: String,
    /// In the order of the events: those of a partition by their offsets, partitions by the time of their events.
    pub steps: Vec<Step>,
}

/// The events that touch some rows.
pub struct Traced {
    view: Arc<dyn ViewType>,
    rows: BTreeMap<AggregateId, Vec<Arc<LogRecord>>>,
}

impl Traced {
    /// Reads the log up to a goal for the events of these rows.
    pub async fn read(site: &Site, view: &str, ids: &[AggregateId], goal: &Goal) -> Result<Self, BuildError> {
        let kind = site
            .domains
            .views()
            .iter()
            .find(|known| known.info().name == view);
        let kind = Arc::clone(kind.ok_or_else(|| BuildError::NoView(view.to_owned()))?);
        let projector = Projector::only(&site.domains, view, HashMap::new(), []);
        let log = site.logs.events(&projector.aggregates(), &|_, _| 0).await?;
        let mut traced = Self {
            view: kind,
            rows: ids.iter().map(|id| (id.clone(), Vec::new())).collect(),
        };
        let goal = goal.clone();
        let read = move || traced.take(log, &goal).map(|()| traced);
        tokio::task::spawn_blocking(read)
            .await
            .expect("reading does not panic, and is not cancelled")
    }

    fn take(&mut self, mut log: Box<dyn Events>, goal: &Goal) -> Result<(), BuildError> {
        let mut left: HashMap<(String, i32), i64> =
            goal.ends().map(|(place, end)| (place.clone(), *end)).collect();
        left.retain(|_, end| *end > 0);
        while !left.is_empty() {
            for record in log.poll(5000, std::time::Duration::from_millis(100))? {
                let place = (record.aggregate.info().qualified_name(), record.partition);
                if left.get(&place).is_some_and(|end| record.offset + 1 >= *end) {
                    left.remove(&place);
                }
                if goal.has(&record) {
                    self.keep(record);
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, record: LogRecord) {
        let Ok(event) = &record.event else { return };
        let aggregate = &record.aggregate.info().name;
        let keys = unless_it_panics(|| self.view.keys(aggregate, event)).unwrap_or_default();
        let mut touched: Vec<_> = keys.into_iter().filter(|id| self.rows.contains_key(id)).collect();
        touched.sort_unstable();
        touched.dedup();
        if touched.is_empty() {
            return;
        }
        let record = Arc::new(record);
        for id in touched {
            self.rows.entry(id).or_default().push(Arc::clone(&record));
        }
    }

    /// Every row, event by event.
    pub fn rows(&self) -> Vec<RowTrace> {
        self.rows.keys().map(|id| self.row(id)).collect()
    }

    /// One of them.
    pub fn row(&self, id: &AggregateId) -> RowTrace {
        let records = self.records(id);
        let mut state = None;
        let steps = records.iter().map(|record| {
            let failed = self.apply(&mut state, record, id).err();
            Step {
                event: EventPlace::of(record),
                row: state.clone(),
                failed,
            }
        });
        RowTrace {
            id: id.to_string(),
            steps: steps.collect(),
        }
    }

    /// A row, of the steps with these numbers alone, in this order.
    pub fn refold(&self, id: &AggregateId, order: &[usize]) -> Option<Value> {
        let records = self.records(id);
        let mut state = None;
        for index in order {
            // What could not be applied leaves the row as it was.
            let _ = self.apply(&mut state, &records[*index], id);
        }
        state
    }

    fn apply(&self, state: &mut Option<Value>, record: &LogRecord, id: &AggregateId) -> Result<(), String> {
        let event = record.event.as_ref().map_err(|bad| bad.reason.clone())?;
        let decode = |row: &Value| {
            self.view
                .decode(&row.to_string())
                .map_err(|error| error.to_string())
        };
        let before: Option<ViewState> = state.as_ref().map(decode).transpose()?;
        let aggregate = &record.aggregate.info().name;
        let after = unless_it_panics(|| self.view.project(before, aggregate, event, id))?;
        let content = |row: &ViewState| serde_json::from_str(&self.view.encode(row));
        *state = after
            .as_ref()
            .map(content)
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The events of a row in an order that is the same each time: between partitions, by when they were decided.
    fn records(&self, id: &AggregateId) -> Vec<Arc<LogRecord>> {
        let mut partitions: BTreeMap<(String, i32), VecDeque<Arc<LogRecord>>> = BTreeMap::new();
        for record in self.rows.get(id).into_iter().flatten() {
            let place = (record.aggregate.info().qualified_name(), record.partition);
            partitions.entry(place).or_default().push_back(Arc::clone(record));
        }
        let mut merged = Vec::new();
        let time =
            |queue: &VecDeque<Arc<LogRecord>>| queue.front().map(|record| EventPlace::of(record).recorded_at);
        while let Some(oldest) = partitions
            .values_mut()
            .filter(|queue| !queue.is_empty())
            .min_by_key(|queue| time(queue))
        {
            merged.extend(oldest.pop_front());
        }
        merged
    }
}
