use std::collections::BTreeSet;

use foldline_views::StoredRow;
use serde::Serialize;
use serde_json::{Map, Value};

/// A place in a row at which two of it differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldDifference {
    /// A JSON pointer, `/total/amount`; `@listed` and `@sequence` are what the store has beside the content.
    pub field: String,
    /// What is served there; absent if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<Value>,
    /// What was built there; absent if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built: Option<Value>,
}

/// Where both differ; nothing if they are the same.
pub(super) fn differences(served: &StoredRow, built: &StoredRow) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    // The order of fields says nothing, and a row that is written the same is the same.
    if served.row.doc != built.row.doc {
        let (served, built) = (content(&served.row.doc), content(&built.row.doc));
        walk("", Some(&served), Some(&built), &mut found);
    }
    let beside = [
        ("@listed", Value::from(served.listed), Value::from(built.listed)),
        (
            "@sequence",
            Value::from(served.row.sequence),
            Value::from(built.row.sequence),
        ),
    ];
    for (field, served, built) in beside {
        if served != built {
            found.push(FieldDifference {
                field: field.to_owned(),
                served: Some(served),
                built: Some(built),
            });
        }
    }
    found
}

/// A row's content. What cannot be read stands as its text, and differs from all else.
pub(super) fn content(doc: &str) -> Value {
    serde_json::from_str(doc).unwrap_or_else(|_| Value::from(doc))
}

fn walk(at: &str, served: Option<&Value>, built: Option<&Value>, found: &mut Vec<FieldDifference>) {
    if served == built {
        return;
    }
    let mut parts: BTreeSet<String> = BTreeSet::new();
    match (served, built) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            parts.extend(names(old).into_iter().chain(names(new)));
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                let at = format!("{at}/{index}");
                walk(&at, old.get(index), new.get(index), found);
            }
            return;
        }
        _ => {
            found.push(FieldDifference {
                field: at.to_owned(),
                served: served.cloned(),
                built: built.cloned(),
            });
            return;
        }
    }
    for part in parts {
        let at = format!("{at}/{}", part.replace('~', "~0").replace('/', "~1"));
        let inside = |value: Option<&Value>| value.and_then(|value| value.get(&part)).cloned();
        walk(&at, inside(served).as_ref(), inside(built).as_ref(), found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::walk;

    fn fields(served: &Value, built: &Value) -> Vec<String> {
        let mut found = Vec::new();
        walk("", Some(served), Some(built), &mut found);
        found.into_iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn each_place_that_differs_is_named_and_no_other() {
        let served = json!({"a": 1, "b": {"c": [1, 2, {"d": null}], "e/f": "x"}, "g": true});
        assert_eq!(fields(&served, &served), [""; 0]);
        let reordered = json!({"g": true, "b": {"e/f": "x", "c": [1, 2, {"d": null}]}, "a": 1});
        assert_eq!(fields(&served, &reordered), [""; 0]);
        let built = json!({"a": 2, "b": {"c": [1, 3, {}, 4], "e/f": "y"}, "h": 0});
        let expected = ["/a", "/b/c/1", "/b/c/2/d", "/b/c/3", "/b/e~1f", "/g", "/h"];
        assert_eq!(fields(&served, &built), expected);
        assert_eq!(fields(&json!({"a": [1]}), &json!({"a": {"0": 1}})), ["/a"]);
    }
}
