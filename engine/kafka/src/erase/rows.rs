//! The rows that hold something of a person: what the person's events make of views.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldline_core::{AggregateId, DecodedEvent, Domains, ViewState, ViewType};

/// Rows, as far as they come from the events of one person. Whatever else they are fed by is not this person's.
pub(super) struct Rows {
    views: Vec<Arc<dyn ViewType>>,
    found: BTreeMap<(usize, AggregateId), ViewState>,
}

impl Rows {
    /// Of all views of a domain.
    pub(super) fn of(domains: &Domains, domain: &str) -> Self {
        let views = domains.views().iter();
        Self {
            views: views
                .filter(|view| view.info().domain == domain)
                .cloned()
                .collect(),
            found: BTreeMap::new(),
        }
    }

    pub(super) fn apply(&mut self, aggregate: &str, event: &DecodedEvent) {
        for (index, view) in self.views.iter().enumerate() {
            // A projection that panics parks its row, for the projector as well, and must not keep anybody from being erased.
            let touched = catch_unwind(AssertUnwindSafe(|| view.keys(aggregate, event))).unwrap_or_default();
            for id in touched {
                let row = self.found.remove(&(index, id.clone()));
                let project = || view.project(row, aggregate, event, &id);
                if let Ok(Some(row)) = catch_unwind(AssertUnwindSafe(project)) {
                    self.found.insert((index, id), row);
                }
            }
        }
    }

    /// Where the API serves those that hold a value which was sealed so.
    pub(super) fn sealed(&self, is_sealed: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let rows = self.found.iter();
        let holding = rows.filter(|((index, _), row)| is_sealed(self.views[*index].encode(row).as_bytes()));
        let path =
            |((index, id), _): (&(usize, AggregateId), _)| format!("{}/{id}", self.views[*index].info().path);
        holding.map(path).collect()
    }
}
