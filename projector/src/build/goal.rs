use std::collections::HashMap;

use foldline_core::{Domains, ViewInfo};
use foldline_kafka::LogRecord;
use foldline_views::{CheckpointKey, HISTORY, Parked, Position, Snapshot, StoreError};

/// How far a build may go: by aggregate type (qualified) and partition, the first offset that it leaves alone.
#[derive(Debug, Clone, Default)]
pub struct Goal {
    ends: HashMap<(String, i32), i64>,
    /// What the history has parked by then.
    parked: Vec<Parked>,
}

impl Goal {
    /// As far as the history has come in the events that the view reads.
    pub fn of_history(
        snapshot: &dyn Snapshot,
        domains: &Domains,
        view: &ViewInfo,
    ) -> Result<Self, StoreError> {
        let ends = ends(domains, view, snapshot.positions(HISTORY)?);
        let parked = snapshot.parked_of(HISTORY, 0)?;
        Ok(Self { ends, parked })
    }

    /// Exactly where the served generation stands. `None` if it stands where the history has not come yet, which is so
    /// while either of them catches up.
    pub fn of_served(
        snapshot: &dyn Snapshot,
        domains: &Domains,
        view: &ViewInfo,
    ) -> Result<Option<Self>, StoreError> {
        let trusted = Self::of_history(snapshot, domains, view)?;
        let served = snapshot.positions(view.name)?;
        Ok(trusted.at(domains, view, served))
    }

    /// The same, for a served generation that stands there.
    pub(super) fn at(
        &self,
        domains: &Domains,
        view: &ViewInfo,
        served: impl IntoIterator<Item = (CheckpointKey, Position)>,
    ) -> Option<Self> {
        let ends = ends(domains, view, served);
        let is_trusted = |(place, end): (&(String, i32), &i64)| {
            is_internal(domains, &place.0) || self.ends.get(place).is_some_and(|trusted| trusted >= end)
        };
        ends.iter().all(is_trusted).then(|| Self {
            ends: ends.clone(),
            parked: self.parked.clone(),
        })
    }

    /// By aggregate type and partition, where it ends.
    pub fn ends(&self) -> impl Iterator<Item = (&(String, i32), &i64)> {
        self.ends.iter()
    }

    /// What the history has parked by then.
    pub(super) fn parked(&self) -> &[Parked] {
        &self.parked
    }

    /// Whether the record lies before it.
    pub(crate) fn has(&self, record: &LogRecord) -> bool {
        let place = (record.aggregate.info().qualified_name(), record.partition);
        self.ends.get(&place).is_some_and(|end| record.offset < *end)
    }
}

fn ends(
    domains: &Domains,
    view: &ViewInfo,
    positions: impl IntoIterator<Item = (CheckpointKey, Position)>,
) -> HashMap<(String, i32), i64> {
    let reads = |name: &str| {
        let of_domain = domains.aggregates().iter().map(|aggregate| aggregate.info());
        let mut read = of_domain.filter(|info| {
            info.domain == view.domain && view.sources.iter().any(|source| *source == info.name)
        });
        read.any(|info| info.qualified_name() == name)
    };
    positions
        .into_iter()
        .filter(|(key, _)| reads(&key.aggregate))
        .map(|(key, position)| ((key.aggregate, key.partition), position.next_offset))
        .collect()
}

/// The history has nothing of what the engine keeps for itself.
fn is_internal(domains: &Domains, qualified: &str) -> bool {
    let mut infos = domains.aggregates().iter().map(|aggregate| aggregate.info());
    infos.any(|info| info.is_internal() && info.qualified_name() == qualified)
}
