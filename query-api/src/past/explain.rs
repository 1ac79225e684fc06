use std::rc::Rc;

use foldline_core::{AggregateId, ViewState};
use foldline_views::{HistoryEvent, Snapshot};
use serde_json::{Map, Value};

use super::align::align;
use super::diff::member;
use super::fold::PastView;
use super::{At, PastError, RowThen, row_at};

/// A document, with the event that last changed each leaf of it. A leaf is what has no parts, an empty list too.
enum Cited {
    Leaf(Rc<HistoryEvent>),
    List(Vec<Cited>),
    Object(Vec<(String, Cited)>),
}

/// A field, as a JSON pointer (RFC 6901), with the event that last changed it.
pub(crate) type Citation = (String, Rc<HistoryEvent>);

/// The row at a moment (now, if none is given), with a citation for each of its leaves, in their order.
pub(crate) fn explain(
    snapshot: &dyn Snapshot,
    past: &PastView,
    id: &AggregateId,
    at: Option<&At>,
) -> Result<(RowThen, Vec<Citation>), PastError> {
    let mut known: Option<(Value, Cited)> = None;
    let row = row_at(snapshot, past, id, at, |event, state: Option<&ViewState>| {
        let before = known.take();
        known = state.map(|state| {
            let doc: Value = serde_json::from_str(&past.view.encode(state)).unwrap_or_default();
            let cited = cite(before, &doc, &Rc::new(event.clone()));
            (doc, cited)
        });
    })?;
    let mut citations = Vec::new();
    if let Some((_, cited)) = known {
        cited.collect(String::new(), &mut citations);
    }
    Ok((row, citations))
}

/// What was cited before, brought up to what an event has made of the document.
fn cite(before: Option<(Value, Cited)>, new: &Value, event: &Rc<HistoryEvent>) -> Cited {
    match (before, new) {
        (Some((old, cited)), new) if old == *new => cited,
        (Some((Value::Object(old), Cited::Object(cited))), Value::Object(new)) if !new.is_empty() => {
            let mut before: Map<String, Value> = old;
            let mut cited: std::collections::HashMap<String, Cited> = cited.into_iter().collect();
            let member = |(name, new): (&String, &Value)| {
                let before = before.remove(name).zip(cited.remove(name));
                (name.clone(), cite(before, new, event))
            };
            Cited::Object(new.iter().map(member).collect())
        }
        (Some((Value::Array(old), Cited::List(cited))), Value::Array(new)) if !new.is_empty() => {
            let was = align(&old, new);
            let mut before: Vec<Option<(Value, Cited)>> = old.into_iter().zip(cited).map(Some).collect();
            let entry = |(new, was): (&Value, Option<usize>)| {
                let before = was.and_then(|was| before[was].take());
                cite(before, new, event)
            };
            Cited::List(new.iter().zip(was).map(entry).collect())
        }
        (_, Value::Object(new)) if !new.is_empty() => {
            let members = new.iter();
            Cited::Object(
                members
                    .map(|(name, new)| (name.clone(), cite(None, new, event)))
                    .collect(),
            )
        }
        (_, Value::Array(new)) if !new.is_empty() => {
            Cited::List(new.iter().map(|new| cite(None, new, event)).collect())
        }
        (_, _) => Cited::Leaf(Rc::clone(event)),
    }
}

impl Cited {
    fn collect(self, path: String, citations: &mut Vec<Citation>) {
        match self {
            Self::Leaf(event) => citations.push((path, event)),
            Self::List(entries) => {
                for (index, entry) in entries.into_iter().enumerate() {
                    entry.collect(format!("{path}/{index}"), citations);
                }
            }
            Self::Object(members) => {
                for (name, value) in members {
                    value.collect(member(&path, &name), citations);
                }
            }
        }
    }
}
