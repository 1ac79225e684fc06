//! A list within a row, `/orders/{id}/items`, as if it were one of rows: in memory, for it is as long as a row is.

use std::cmp::Ordering;

use foldline_core::{Field, FieldKind};
use foldline_views::{FieldValue, ListQuery, Place, Sort};
use serde_json::Value;

/// A page of such a list.
pub(crate) struct EntryPage {
    pub(crate) entries: Vec<Value>,
    pub(crate) next: Option<Place>,
}

/// The entries that are asked for. Ties stay in the order that the row has them in.
pub(crate) fn page(entries: Vec<Value>, query: &ListQuery) -> EntryPage {
    let mut found: Vec<(Place, Value)> = entries
        .into_iter()
        .enumerate()
        .filter(|(_, entry)| {
            let mut filters = query.filters.iter();
            filters.all(|filter| filter.test.holds_for(&value(entry, filter.field)))
        })
        .map(|(index, entry)| (place(&entry, index, &query.sort), entry))
        .collect();
    found.sort_by(|(a, _), (b, _)| compare(a, b, &query.sort));
    if let Some(after) = &query.after {
        found.retain(|(place, _)| compare(place, after, &query.sort) == Ordering::Greater);
    }
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let last = found.last().map(|(place, _)| place.clone());
    EntryPage {
        entries: found.into_iter().map(|(_, entry)| entry).collect(),
        next: last.filter(|_| more),
    }
}

/// What it is sorted by, and its index.
fn place(entry: &Value, index: usize, sort: &[Sort]) -> Place {
    let values = sort.iter().map(|sort| value(entry, sort.field));
    let index = FieldValue::Number(i64::try_from(index).unwrap_or(i64::MAX));
    Place(values.chain([index]).collect())
}

fn compare(Place(a): &Place, Place(b): &Place, sort: &[Sort]) -> Ordering {
    let directions = sort.iter().map(|sort| sort.descending).chain([false]);
    let parts = a.iter().zip(b).zip(directions);
    parts
        .map(|((a, b), descending)| if descending { b.cmp(a) } else { a.cmp(b) })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn value(entry: &Value, field: Field) -> FieldValue {
    let found = field
        .name
        .split('.')
        .try_fold(entry, |value, part| value.get(part));
    match (found, field.kind) {
        (Some(Value::String(text)), FieldKind::Text) => FieldValue::Text(text.clone()),
        (Some(Value::Bool(yes)), FieldKind::Boolean) => FieldValue::Boolean(*yes),
        (Some(Value::Number(number)), FieldKind::Number) => {
            number.as_i64().map_or(FieldValue::Missing, FieldValue::Number)
        }
        _ => FieldValue::Missing,
    }
}

#[cfg(test)]
mod tests {
    use foldline_core::Field;
    use foldline_views::{FieldValue, Filter, ListQuery, Sort, Test};
    use serde_json::{Value, json};

    use super::page;

    const PRICE: Field = Field::number("price.amount");

    fn entries() -> Vec<Value> {
        [
            ("a", json!(3)),
            ("b", json!(null)),
            ("c", json!(1)),
            ("d", json!(3)),
        ]
        .into_iter()
        .map(|(name, amount)| json!({ "name": name, "price": { "amount": amount } }))
        .collect()
    }

    fn names(query: &ListQuery) -> String {
        let mut query = query.clone();
        let mut names = String::new();
        loop {
            let page = page(entries(), &query);
            names.extend(page.entries.iter().filter_map(|entry| entry["name"].as_str()));
            if page.next.is_none() {
                return names;
            }
            query.after = page.next;
        }
    }

    #[test]
    fn entries_are_sorted_filtered_and_paged_like_rows() {
        for limit in 1..=4 {
            let by = |sort: Vec<Sort>, filters: Vec<Filter>| {
                names(&ListQuery {
                    filters,
                    sort,
                    limit,
                    after: None,
                    ..ListQuery::default()
                })
            };
            let price = |descending| {
                vec![Sort {
                    field: PRICE,
                    descending,
                }]
            };
            let above = |number| {
                vec![Filter {
                    field: PRICE,
                    test: Test::Greater(FieldValue::Number(number)),
                }]
            };
            assert_eq!(by(vec![], vec![]), "abcd");
            assert_eq!(by(price(false), vec![]), "bcad");
            assert_eq!(by(price(true), vec![]), "adcb");
            assert_eq!(by(vec![], above(0)), "acd");
            assert_eq!(by(price(false), above(2)), "ad");
        }
    }
}
