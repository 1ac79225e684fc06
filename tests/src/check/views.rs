//! What the query API shows, against a fold of the event topics.

use std::collections::BTreeMap;
use std::time::Duration;

use foldline_core::{AggregateId, Domains, Token, ViewState, ViewType};
use serde_json::Value;

use super::{Topics, Violation};
use crate::client::{Client, eventually};

/// Rows by their ids.
pub type Rows = BTreeMap<String, Value>;

/// How long the projector may take to have seen everything.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(60);
/// As many rows of a page as may be asked for.
const PAGE: usize = 500;

/// Every row of every view, as soon as the views have seen all that stands on the topics.
pub async fn all_rows(read: &Client, cluster: &str, domains: &Domains, all: &[Topics]) -> Vec<Violation> {
    let token = everything(cluster, all).to_string();
    let mut found = Vec::new();
    for view in domains.views() {
        let info = view.info();
        caught_up(read, info.path, &token).await;
        let shown = list(read, info.path).await;
        let shown = shown
            .into_iter()
            .map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), row));
        let shown: Vec<(String, Value)> = shown.collect();
        found.extend(same_rows(info.name, &folded(view.as_ref(), all), &shown));
    }
    found
}

/// The histories of every `step`th aggregate.
pub async fn histories(read: &Client, all: &[Topics], step: usize) -> Vec<Violation> {
    let mut found = Vec::new();
    for topics in all.iter().filter(|topics| !topics.aggregate.info().is_internal()) {
        let mut stand: BTreeMap<&AggregateId, Vec<Value>> = BTreeMap::new();
        for event in &topics.events {
            let meta = &event.record.meta;
            let payload = topics.aggregate.event_json(&event.record.event).to_string();
            let payload = serde_json::from_str(&topics.opened(&payload)).expect("it was JSON");
            stand
                .entry(&meta.aggregate_id)
                .or_default()
                .push(meta.to_json(payload));
        }
        for (id, stands) in stand.into_iter().step_by(step) {
            let aggregate = format!("{}/{id}", topics.aggregate.info().path);
            let shown = list(read, &format!("{aggregate}/events")).await;
            found.extend(same_history(&aggregate, &stands, &shown));
        }
    }
    found
}

/// A token that has seen the last event of every partition.
fn everything(cluster: &str, all: &[Topics]) -> Token {
    let mut token = Token::new(cluster);
    for topics in all {
        let name = topics.aggregate.info().qualified_name();
        for event in &topics.events {
            let seen = Token::at(cluster, &name, event.partition, event.record.meta.command_offset);
            token.join(&seen);
        }
    }
    token
}

async fn caught_up(read: &Client, path: &str, token: &str) {
    let path = format!("{path}?limit=1");
    eventually(
        "the view has seen all that stands on the topics",
        CAUGHT_UP_MAX,
        async || (read.get_after(&path, token).await.status == 200).then_some(()),
    )
    .await;
}

/// Every item of a list, page by page.
async fn list(read: &Client, path: &str) -> Vec<Value> {
    let mut next = Some(format!("{path}?limit={PAGE}"));
    let mut all = Vec::new();
    while let Some(page) = next {
        let answer = read.get(&page).await.expect(200);
        all.extend(
            answer.body["items"]
                .as_array()
                .expect("a page has items")
                .iter()
                .cloned(),
        );
        next = answer.body["next"].as_str().map(str::to_owned);
    }
    all
}

/// The rows that clients must see: the fold of the events, one aggregate type after the other.
fn folded(view: &dyn ViewType, all: &[Topics]) -> Rows {
    let info = view.info();
    let mut rows: BTreeMap<AggregateId, ViewState> = BTreeMap::new();
    for topics in all {
        let aggregate = topics.aggregate.info();
        if aggregate.domain != info.domain || !info.sources.contains(&aggregate.name.as_str()) {
            continue;
        }
        for event in &topics.events {
            for id in view.keys(&aggregate.name, &event.record) {
                let row = rows.remove(&id);
                if let Some(row) = view.project(row, &aggregate.name, &event.record, &id) {
                    rows.insert(id, row);
                }
            }
        }
    }
    let listed = rows.into_iter().filter(|(_, row)| view.is_listed(row));
    let opened = |row: String| {
        all.first()
            .map_or_else(|| row.clone(), |topics| topics.opened(&row))
    };
    let shown = |row: &ViewState| serde_json::from_str(&opened(view.encode(row))).expect("rows are JSON");
    listed.map(|(id, row)| (id.to_string(), shown(&row))).collect()
}

/// The same rows, each once; links are not part of a row.
fn same_rows(view: &str, made: &Rows, shown: &[(String, Value)]) -> Vec<Violation> {
    let mut missing = made.clone();
    let mut found = Vec::new();
    let mut differs = |id: &String, shown: String, made: String| {
        found.push(Violation::Row {
            view: view.to_owned(),
            id: id.clone(),
            shown,
            made,
        });
    };
    for (id, row) in shown {
        let mut row = row.clone();
        if let Some(fields) = row.as_object_mut() {
            fields.remove("links");
        }
        match missing.remove(id) {
            Some(made) if made == row => {}
            Some(made) => differs(id, row.to_string(), made.to_string()),
            None if made.contains_key(id) => differs(id, "there twice".to_owned(), "one row".to_owned()),
            None => differs(id, row.to_string(), "nothing".to_owned()),
        }
    }
    for (id, made) in &missing {
        differs(id, "missing".to_owned(), made.to_string());
    }
    found
}

fn same_history(aggregate: &str, stands: &[Value], shown: &[Value]) -> Option<Violation> {
    (stands != shown).then(|| Violation::History {
        aggregate: aggregate.to_owned(),
        shown: Value::from(shown).to_string(),
        stands: Value::from(stands).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Rows, same_history, same_rows};

    #[test]
    fn a_row_that_differs_is_missing_or_too_many_is_found() {
        let made: Rows = [("a", 1), ("b", 2)]
            .map(|(id, n)| (id.to_owned(), json!({"n": n})))
            .into();
        let shown = |rows: &[(&str, i32)]| -> Vec<(String, Value)> {
            let row = |(id, n): &(&str, i32)| ((*id).to_owned(), json!({"n": n, "links": {"self": "/x"}}));
            rows.iter().map(row).collect()
        };
        assert_eq!(same_rows("v", &made, &shown(&[("a", 1), ("b", 2)])), []);
        for wrong in [
            shown(&[("a", 1), ("b", 3)]),
            shown(&[("a", 1)]),
            shown(&[("a", 1), ("b", 2), ("c", 3)]),
            shown(&[("a", 1), ("b", 2), ("b", 2)]),
        ] {
            assert_eq!(same_rows("v", &made, &wrong).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_history_that_differs_is_found() {
        let stands = [json!({"sequence": 1}), json!({"sequence": 2})];
        assert_eq!(same_history("/a/1", &stands, &stands), None);
        assert!(same_history("/a/1", &stands, &stands[..1]).is_some());
    }
}
