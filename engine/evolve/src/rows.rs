//! The rows of every view, folded in memory.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldline_core::{AggregateId, AggregateType, DecodedEvent, Domains, ViewState, ViewType};
use serde_json::Value;

/// The rows of the views of a program.
pub(crate) struct Rows<'a> {
    views: Vec<Rowed<'a>>,
}

struct Rowed<'a> {
    view: &'a dyn ViewType,
    /// A row that could not be made says why.
    rows: BTreeMap<AggregateId, Result<ViewState, String>>,
}

/// A row as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) is_listed: bool,
    pub(crate) row: Result<Value, String>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(domains: &'a Domains) -> Self {
        let views = domains.views().iter().map(|view| Rowed {
            view: view.as_ref(),
            rows: BTreeMap::new(),
        });
        Self {
            views: views.collect(),
        }
    }

    /// Projects an event.
    pub(crate) fn apply(&mut self, aggregate: &Arc<dyn AggregateType>, event: &DecodedEvent) {
        let info = aggregate.info();
        for of_view in &mut self.views {
            let declared = of_view.view.info();
            if declared.domain == info.domain && declared.sources.contains(&info.name.as_str()) {
                of_view.apply(&info.name, event);
            }
        }
    }

    /// Takes the rows of a view.
    pub(crate) fn take(&mut self, name: &str) -> BTreeMap<AggregateId, Row> {
        let of_view = self
            .views
            .iter_mut()
            .find(|of_view| of_view.view.info().name == name);
        of_view.map(Rowed::take).unwrap_or_default()
    }
}

impl Rowed<'_> {
    fn apply(&mut self, aggregate: &str, event: &DecodedEvent) {
        let view = self.view;
        // Which rows it touches cannot be said: it touches its own, where that is seen.
        let own = || vec![event.meta.aggregate_id.clone()];
        let keys = catch_unwind(AssertUnwindSafe(|| view.keys(aggregate, event)));
        let failed = keys.is_err();
        let mut ids = keys.unwrap_or_else(|_| own());
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let row = match self.rows.remove(&id) {
                Some(Err(reason)) => Err(reason),
                _ if failed => Err(panicked(event)),
                row => {
                    let row = row.and_then(Result::ok);
                    let project = || view.project(row, aggregate, event, &id);
                    match catch_unwind(AssertUnwindSafe(project)) {
                        Ok(Some(row)) => Ok(row),
                        Ok(None) => continue,
                        Err(_) => Err(panicked(event)),
                    }
                }
            };
            self.rows.insert(id, row);
        }
    }

    fn take(&mut self) -> BTreeMap<AggregateId, Row> {
        let view = self.view;
        let row = |(id, row): (AggregateId, Result<ViewState, String>)| {
            let is_listed = row.as_ref().is_ok_and(|row| view.is_listed(row));
            let text = row.map(|row| view.encode(&row));
            let row = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
            (id, Row { is_listed, row })
        };
        std::mem::take(&mut self.rows).into_iter().map(row).collect()
    }
}

fn panicked(event: &DecodedEvent) -> String {
    format!(
        "projecting {} {} of {} panicked",
        event.meta.event_type, event.meta.sequence, event.meta.aggregate_id
    )
}
