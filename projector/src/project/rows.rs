use std::collections::{BTreeMap, HashMap};

use foldline_core::{AggregateId, Sequence, ViewState, ViewType};
use foldline_views::{NewRow, Row, RowChange};

use super::plan::Item;
use super::unless_it_panics;

/// The rows that a batch touches, while it is folded.
pub(super) struct Rows<'a> {
    items: &'a [Item],
    stored: HashMap<String, HashMap<AggregateId, Row>>,
    /// By view and id, so that they are written in this order.
    rows: BTreeMap<(&'a str, AggregateId), RowFold<'a>>,
}

struct RowFold<'a> {
    view: &'a dyn ViewType,
    stored: Option<Row>,
    /// What it is now; an error if what is stored cannot be read.
    state: Result<Option<ViewState>, String>,
    listed: bool,
    sequence: Sequence,
    version: i64,
    /// The events that made it what it is now from what is stored.
    applied: Vec<usize>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(items: &'a [Item], stored: HashMap<String, Vec<Row>>) -> Self {
        let by_id = |rows: Vec<Row>| rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        Self {
            items,
            stored: stored
                .into_iter()
                .map(|(view, rows)| (view, by_id(rows)))
                .collect(),
            rows: BTreeMap::new(),
        }
    }

    /// Applies an event to all rows that it touches, or to none.
    pub(super) fn apply(
        &mut self,
        view: &'a dyn ViewType,
        index: usize,
        ids: &[AggregateId],
    ) -> Result<(), String> {
        let items = self.items;
        for (count, id) in ids.iter().enumerate() {
            if let Err(reason) = self.row(view, id).project(&items[index], id) {
                for id in &ids[..=count] {
                    self.row(view, id).refold(items, id);
                }
                return Err(reason);
            }
        }
        for id in ids {
            self.row(view, id).keep(items, index, id);
        }
        Ok(())
    }

    /// What becomes of the rows, one write each.
    pub(super) fn finish(self) -> Vec<RowChange> {
        let change = |((view, id), row): ((&str, AggregateId), RowFold<'_>)| {
            let (view, row) = (view.to_owned(), row.finish()?);
            Some(RowChange { view, id, row })
        };
        self.rows.into_iter().filter_map(change).collect()
    }

    fn row(&mut self, view: &'a dyn ViewType, id: &AggregateId) -> &mut RowFold<'a> {
        let name = view.info().name;
        self.rows.entry((name, id.clone())).or_insert_with(|| {
            let stored = self.stored.get_mut(name).and_then(|rows| rows.remove(id));
            RowFold::new(view, stored)
        })
    }
}

impl<'a> RowFold<'a> {
    fn new(view: &'a dyn ViewType, stored: Option<Row>) -> Self {
        let decode = |row: &Row| {
            let state = view.decode(&row.doc);
            state.map_err(|error| format!("the stored row {} cannot be read: {error}", row.id))
        };
        Self {
            view,
            state: stored.as_ref().map(decode).transpose(),
            listed: false,
            sequence: stored.as_ref().map_or(0, |row| row.sequence),
            version: stored.as_ref().map_or(0, |row| row.version),
            stored,
            applied: Vec::new(),
        }
    }

    fn project(&mut self, item: &Item, id: &AggregateId) -> Result<(), String> {
        let event = item.event()?;
        let aggregate = &item.record.aggregate.info().name;
        let row = match &mut self.state {
            Ok(row) => row.take(),
            Err(reason) => return Err(reason.clone()),
        };
        let (row, listed) = unless_it_panics(|| {
            let row = self.view.project(row, aggregate, event, id);
            let listed = row.as_ref().is_some_and(|row| self.view.is_listed(row));
            (row, listed)
        })?;
        (self.state, self.listed) = (Ok(row), listed);
        Ok(())
    }

    /// Takes note of an event that has been applied.
    fn keep(&mut self, items: &[Item], index: usize, id: &AggregateId) {
        self.applied.push(index);
        if !matches!(self.state, Ok(Some(_))) {
            // If it comes back, it is a new one: the same as if it had been removed and loaded anew.
            (self.sequence, self.version) = (0, 0);
            return;
        }
        self.version += 1;
        let (info, view) = (items[index].record.aggregate.info(), self.view.info());
        let is_own = info.path == view.path && info.domain == view.domain && items[index].id == *id;
        if let (true, Ok(event)) = (is_own, items[index].event()) {
            self.sequence = self.sequence.max(event.meta.sequence);
        }
    }

    /// Undoes an event that was applied, or that was lost in a panic together with the row: folds anew, from
    /// what is stored, what has been kept. Rare, so that the usual way need not copy rows.
    fn refold(&mut self, items: &[Item], id: &AggregateId) {
        if self.state.is_err() {
            return;
        }
        let mut anew = Self::new(self.view, self.stored.take());
        for index in &self.applied {
            let projected = anew.project(&items[*index], id);
            projected.expect("projections are pure: what went well goes well again");
            anew.keep(items, *index, id);
        }
        *self = anew;
    }

    /// `None`: nothing is to be written. `Some(None)`: it is to be removed.
    fn finish(self) -> Option<Option<NewRow>> {
        let state = self.state.ok()?;
        if self.applied.is_empty() || (state.is_none() && self.stored.is_none()) {
            return None;
        }
        Some(state.map(|state| NewRow {
            doc: self.view.encode(&state),
            listed: self.listed,
            sequence: self.sequence,
            version: self.version,
        }))
    }
}
