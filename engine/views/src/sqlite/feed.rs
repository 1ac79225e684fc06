//! Pages of a feed. Each partition is read from the index, by offset.

use std::collections::VecDeque;

use foldline_core::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{database, reader};
use crate::{FeedPage, FeedQuery, HISTORY, HistoryEvent, StoreError};

/// How many offsets of a partition one page looks at, so that a type that is rare does not make it long.
const LOOKED_AT_MAX: i64 = 20_000;

/// What a page reads of a partition.
struct Stretch {
    aggregate: String,
    partition: i32,
    from: i64,
    /// The first offset that is not looked at.
    to: i64,
    /// Whether the partition has more behind it.
    more: bool,
}

pub(super) fn page(connection: &Connection, place: &str, query: &FeedQuery) -> Result<FeedPage, StoreError> {
    let stretches = stretches(connection, query)?;
    // Each partition has its share: none waits until another one is at its end.
    let share = query.limit.div_ceil(stretches.len().max(1)).max(1);
    let mut page = FeedPage {
        next: query.after.clone(),
        ..FeedPage::default()
    };
    let mut found = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        let events = read(connection, place, query, &stretch, share)?;
        let is_full = events.len() == share;
        let next = match events.back() {
            Some(last) if is_full => last.offset + 1,
            _ => stretch.to,
        };
        page.more |= stretch.more || next < stretch.to;
        page.next.insert((stretch.aggregate, stretch.partition), next);
        found.push(events);
    }
    page.events = merged(found);
    cut(&mut page, query.limit);
    Ok(page)
}

/// Leaves what is too much to the next page: where there are more partitions than events wanted, each has had one.
fn cut(page: &mut FeedPage, limit: usize) {
    while page.events.len() > limit {
        let Some(event) = page.events.pop() else { return };
        page.next.insert((event.aggregate, event.partition), event.offset);
        page.more = true;
    }
}

/// What there is that the query has not seen.
fn stretches(connection: &Connection, query: &FeedQuery) -> Result<Vec<Stretch>, StoreError> {
    let mut stretches = Vec::new();
    for (key, position) in reader::positions(connection, Some(HISTORY))? {
        if !query.aggregates.contains(&key.aggregate) {
            continue;
        }
        let partition = (key.aggregate, key.partition);
        let from = query.after.get(&partition).copied().unwrap_or(0);
        let end = match &query.until {
            Some(until) => position
                .next_offset
                .min(until.get(&partition).copied().unwrap_or(0)),
            None => position.next_offset,
        };
        // A store that is being built anew may not have come as far as the client has.
        if from >= end {
            continue;
        }
        // What an actor did is looked up, and nothing else is looked at.
        let most = query.actor.as_ref().map_or(LOOKED_AT_MAX, |_| i64::MAX);
        let to = end.min(from.saturating_add(most));
        stretches.push(Stretch {
            aggregate: partition.0,
            partition: partition.1,
            from,
            to,
            more: to < end,
        });
    }
    Ok(stretches)
}

fn read(
    connection: &Connection,
    place: &str,
    query: &FeedQuery,
    stretch: &Stretch,
    limit: usize,
) -> Result<VecDeque<HistoryEvent>, StoreError> {
    let types = match query.types.len() {
        0 => String::new(),
        several => format!(" AND event_type IN ({})", vec!["?"; several].join(", ")),
    };
    let columns = reader::EVENT;
    let (index, actor) = match &query.actor {
        None => ("history_feed", ""),
        Some(_) => ("history_actor", "actor = ? AND "),
    };
    // Named, so that it is never read by the primary key and sorted.
    let sql = format!(
        "SELECT {columns} FROM history INDEXED BY {index}
         WHERE {actor}aggregate = ? AND partition = ? AND at_offset >= ? AND at_offset < ?{types}
         ORDER BY at_offset LIMIT ?"
    );
    let mut values: Vec<Value> = query.actor.iter().cloned().map(Value::Text).collect();
    values.extend::<[Value; 4]>([
        stretch.aggregate.clone().into(),
        stretch.partition.into(),
        stretch.from.into(),
        stretch.to.into(),
    ]);
    values.extend(query.types.iter().map(|kind| Value::Text(kind.clone())));
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let mut statement = connection.prepare_cached(&sql).map_err(database)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(database)?;
    let mut found = VecDeque::new();
    while let Some(row) = rows.next().map_err(database)? {
        found.push_back(reader::event(row, place)?);
    }
    Ok(found)
}

/// The oldest first, without changing the order of any partition.
fn merged(mut partitions: Vec<VecDeque<HistoryEvent>>) -> Vec<HistoryEvent> {
    let mut merged = Vec::with_capacity(partitions.iter().map(VecDeque::len).sum());
    let recorded_at = |partition: &VecDeque<HistoryEvent>| -> Option<Timestamp> {
        partition.front().map(|event| event.recorded_at)
    };
    loop {
        let heads = partitions.iter_mut().filter(|partition| !partition.is_empty());
        let Some(oldest) = heads.min_by_key(|partition| recorded_at(partition)) else {
            return merged;
        };
        merged.extend(oldest.pop_front());
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::sqlite::history;

    #[test]
    fn a_feed_is_read_from_its_index_in_order() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(history::TABLES).unwrap();
        for types in ["", " AND event_type IN ('A', 'B')"] {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT json FROM history INDEXED BY history_feed WHERE aggregate = 'a'
                 AND partition = 1 AND at_offset >= 2 AND at_offset < 3{types} ORDER BY at_offset LIMIT 4"
            );
            let mut statement = connection.prepare(&sql).unwrap();
            let plan: Vec<String> = statement
                .query_map([], |row| row.get("detail"))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
}
