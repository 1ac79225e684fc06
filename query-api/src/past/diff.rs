use serde_json::{Map, Value, json};

use super::align::align;

/// What is other in a document than in an older one, as the operations of a JSON Patch (RFC 6902): done one after the
/// other on the older one, with `after` for the value, they make the newer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    op: &'static str,
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl Change {
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({ "op": self.op, "path": self.path });
        for (name, value) in [("before", &self.before), ("after", &self.after)] {
            if let Some(value) = value {
                json[name] = value.clone();
            }
        }
        json
    }
}

/// What is other in `new`.
pub(crate) fn diff(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", old, new, &mut changes);
    changes
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => objects(path, old, new, changes),
        (Value::Array(old), Value::Array(new)) => lists(path, old, new, changes),
        _ => changes.push(Change {
            op: "replace",
            path: path.to_owned(),
            before: Some(old.clone()),
            after: Some(new.clone()),
        }),
    }
}

fn objects(path: &str, old: &Map<String, Value>, new: &Map<String, Value>, changes: &mut Vec<Change>) {
    for (name, before) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        changes.push(removed(member(path, name), before));
    }
    for (name, after) in new {
        let path = member(path, name);
        match old.get(name) {
            Some(before) => compare(&path, before, after, changes),
            None => changes.push(added(path, after)),
        }
    }
}

/// What is gone first, the last of it first, so that no place moves before it is named; then each entry in its place.
fn lists(path: &str, old: &[Value], new: &[Value], changes: &mut Vec<Change>) {
    let mut was = align(old, new);
    if !was.iter().flatten().is_sorted() {
        // Entries that change places have no operation of their own here.
        was = (0..new.len())
            .map(|index| Some(index).filter(|index| *index < old.len()))
            .collect();
    }
    for (index, before) in old.iter().enumerate().rev() {
        if !was.contains(&Some(index)) {
            changes.push(removed(format!("{path}/{index}"), before));
        }
    }
    for (index, (after, was)) in new.iter().zip(was).enumerate() {
        let path = format!("{path}/{index}");
        match was {
            Some(was) => compare(&path, &old[was], after, changes),
            None => changes.push(added(path, after)),
        }
    }
}

fn removed(path: String, before: &Value) -> Change {
    Change {
        op: "remove",
        path,
        before: Some(before.clone()),
        after: None,
    }
}

fn added(path: String, after: &Value) -> Change {
    Change {
        op: "add",
        path,
        before: None,
        after: Some(after.clone()),
    }
}

/// A pointer to a member (RFC 6901).
pub(super) fn member(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Change, diff};

    /// RFC 6902, as far as it is used here.
    fn apply(document: &mut Value, change: &Change) {
        let (parent, last) = change.path.rsplit_once('/').unwrap_or_default();
        let last = last.replace("~1", "/").replace("~0", "~");
        if change.path.is_empty() {
            *document = change.after.clone().unwrap();
            return;
        }
        match (document.pointer_mut(parent).unwrap(), change.op) {
            (Value::Object(members), "remove") => assert_eq!(members.remove(&last), change.before),
            (Value::Object(members), _) => {
                assert_eq!(members.insert(last, change.after.clone().unwrap()), change.before);
            }
            (Value::Array(entries), "remove") => {
                assert_eq!(Some(entries.remove(last.parse().unwrap())), change.before);
            }
            (Value::Array(entries), "add") => {
                entries.insert(last.parse().unwrap(), change.after.clone().unwrap())
            }
            (Value::Array(entries), _) => {
                let index: usize = last.parse().unwrap();
                assert_eq!(Some(&entries[index]), change.before.as_ref());
                entries[index] = change.after.clone().unwrap();
            }
            _ => panic!("no place for {change:?}"),
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            (0..3).prop_map(Value::from),
            "[ab/~]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab/~]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_other_done_to_the_older_one_makes_the_newer(old in document(), new in document()) {
            let mut patched = old.clone();
            diff(&old, &new).iter().for_each(|change| apply(&mut patched, change));
            prop_assert_eq!(patched, new);
        }
    }

    #[test]
    fn an_entry_that_is_gone_is_one_change() {
        let item = |link: &str, quantity: i64| json!({ "link": link, "quantity": quantity });
        let old = json!({ "items": [item("a", 1), item("b", 1), item("c", 1)], "status": "OPEN" });
        let new = json!({ "items": [item("a", 1), item("c", 5)], "status": "PLACED" });
        let changes: Vec<Value> = diff(&old, &new).iter().map(Change::to_json).collect();
        assert_eq!(
            Value::from(changes),
            json!([
                { "op": "remove", "path": "/items/1", "before": item("b", 1) },
                { "op": "replace", "path": "/items/1/quantity", "before": 1, "after": 5 },
                { "op": "replace", "path": "/status", "before": "OPEN", "after": "PLACED" },
            ])
        );
    }
}
