use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// For each entry of a list, the entry of the older list that it was, if it was there.
///
/// Entries that are objects are told apart by the first text in them that no two share, which is where views put the
/// link to an entry; others by what they are. Lists without either are compared place by place.
pub(super) fn align(old: &[Value], new: &[Value]) -> Vec<Option<usize>> {
    let name = new.first().and_then(Value::as_object).and_then(|entry| {
        let mut names = entry.keys();
        names.find(|name| {
            let value = |entry: &Value| {
                entry
                    .get(name.as_str())
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            };
            all_differ(old, value) && all_differ(new, value)
        })
    });
    if let Some(name) = name {
        return by_key(old, new, |entry| entry[name.as_str()].to_string());
    }
    let whole = |entry: &Value| Some(entry.to_string());
    if all_differ(old, whole) && all_differ(new, whole) && !new.iter().chain(old).any(Value::is_object) {
        return by_key(old, new, Value::to_string);
    }
    (0..new.len())
        .map(|index| Some(index).filter(|index| *index < old.len()))
        .collect()
}

fn all_differ(entries: &[Value], key: impl Fn(&Value) -> Option<String>) -> bool {
    let mut seen = HashSet::new();
    entries
        .iter()
        .all(|entry| key(entry).is_some_and(|key| seen.insert(key)))
}

fn by_key(old: &[Value], new: &[Value], key: impl Fn(&Value) -> String) -> Vec<Option<usize>> {
    let places: HashMap<String, usize> = old
        .iter()
        .enumerate()
        .map(|(index, entry)| (key(entry), index))
        .collect();
    new.iter().map(|entry| places.get(&key(entry)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::align;

    fn aligned(old: Value, new: Value) -> Vec<Option<usize>> {
        let (Value::Array(old), Value::Array(new)) = (old, new) else {
            panic!("lists")
        };
        align(&old, &new)
    }

    #[test]
    fn an_entry_is_the_one_it_was_wherever_it_stands() {
        let item = |link: &str, name: &str, quantity: i64| json!({ "link": link, "name": name, "quantity": quantity });
        let (a, b, c) = (item("a", "Pizza", 1), item("b", "Pizza", 1), item("c", "Soup", 1));
        let more = item("b", "Pizza", 7);
        assert_eq!(aligned(json!([a, b, c]), json!([more, c])), [Some(1), Some(2)]);
        assert_eq!(aligned(json!([a]), json!([a, b])), [Some(0), None]);
        assert_eq!(aligned(json!([]), json!([a])), [None]);
    }

    #[test]
    fn other_entries_are_what_they_are_or_where_they_are() {
        assert_eq!(aligned(json!(["x", "y"]), json!(["y", "z"])), [Some(1), None]);
        assert_eq!(aligned(json!([1, 1]), json!([1, 2, 3])), [Some(0), Some(1), None]);
        let same = json!({ "name": "Pizza" });
        assert_eq!(aligned(json!([same, same]), json!([same])), [Some(0)]);
    }
}
