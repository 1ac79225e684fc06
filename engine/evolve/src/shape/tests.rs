#![allow(dead_code)]

use std::collections::{BTreeMap, HashSet};

use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

use super::Shape;

#[derive(JsonSchema)]
struct Order {
    status: Status,
    lines: BTreeMap<String, Line>,
    notes: Vec<Line>,
    tags: HashSet<String>,
    last: Option<Line>,
}

#[derive(JsonSchema)]
enum Status {
    Open,
    Closed { by: String },
}

#[derive(JsonSchema)]
struct Line {
    quantity: i64,
}

fn shape() -> Shape {
    Shape::new(schema_for!(Order).to_value())
}

fn order() -> Value {
    json!({"status": {"Closed": {"by": "ada"}}, "lines": {"a": {"quantity": 1}}, "notes": [{"quantity": 2}],
        "tags": ["x", "y"], "last": {"quantity": 3}})
}

#[test]
fn a_field_that_is_new_in_a_struct_is_no_difference_at_any_depth() {
    let mut after = order();
    for place in ["", "/lines/a", "/notes/0", "/last", "/status/Closed"] {
        after.pointer_mut(place).unwrap()["new"] = json!(7);
    }
    assert_eq!(shape().differences(&order(), &after), []);
    assert_eq!(shape().mark(&order()), shape().mark(&after));
}

#[test]
fn an_entry_that_is_new_in_a_map_is_a_difference() {
    let mut after = order();
    after["lines"]["b"] = json!({"quantity": 4});
    let found = shape().differences(&order(), &after);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "/lines/*");
    assert_eq!(found[0].after, Some(json!({"quantity": 4})));
    assert_ne!(shape().mark(&order()), shape().mark(&after));
}

/// Changes an order.
type Change = fn(&mut Value);

#[test]
fn every_changed_value_and_every_lost_field_is_a_difference() {
    let changes: [(&str, Change); 6] = [
        ("/status/Closed/by", |order| {
            order["status"]["Closed"]["by"] = json!("bob")
        }),
        ("/status", |order| order["status"] = json!("Open")),
        ("/lines/*/quantity", |order| {
            order["lines"]["a"]["quantity"] = json!(2)
        }),
        ("/notes", |order| order["notes"] = json!([])),
        ("/last", |order| order["last"] = Value::Null),
        ("/tags", |order| {
            order.as_object_mut().unwrap().remove("tags");
        }),
    ];
    for (path, change) in changes {
        let mut after = order();
        change(&mut after);
        let found = shape().differences(&order(), &after);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, path);
        assert_ne!(shape().mark(&order()), shape().mark(&after), "{path}");
    }
}

#[test]
fn neither_the_order_of_fields_nor_that_of_a_set_counts() {
    let mut after = order();
    let by = after.as_object_mut().unwrap().shift_remove("status").unwrap();
    after["status"] = by;
    after["tags"] = json!(["y", "x"]);
    assert_eq!(shape().mark(&order()), shape().mark(&after));
}

#[test]
fn by_todays_form_a_field_that_is_gone_is_a_difference_and_a_new_one_is_not() {
    let todays = Shape::todays(schema_for!(Order).to_value());
    let mut before = order();
    before["old"] = json!(1);
    before.as_object_mut().unwrap().remove("last");
    let found = todays.differences(&before, &order());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].path.as_str(), &found[0].after), ("/old", &None));

    let mut after = order();
    after["lines"]["b"] = json!({"quantity": 4});
    assert_eq!(todays.differences(&order(), &after)[0].path, "/lines/*");
}
