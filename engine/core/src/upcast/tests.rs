use serde_json::{Value, json};

use super::{OldPayload, RevisionError, Revisions, UpcastError, Upcaster, upcast};
use crate::DecodeError;
use crate::schema::Variant;

const RENAMED: Upcaster = Upcaster {
    event: "Priced",
    from: 1,
    upcast: |payload| {
        let cost: i64 = payload.take("cost")?;
        payload.set("price", cost)
    },
};
const IN_CENTS: Upcaster = Upcaster {
    event: "Priced",
    from: 2,
    upcast: |payload| {
        let price: i64 = payload.get("price")?;
        payload.set("price", price * 100)
    },
};

fn events() -> Vec<Variant> {
    let schema = json!({ "properties": { "price": { "x-since-revision": 2 } } });
    let variant = |name: &str, schema| Variant {
        name: name.to_owned(),
        doc: String::new(),
        schema,
    };
    vec![variant("Opened", json!({})), variant("Priced", schema)]
}

fn revisions(current: &[(&str, i32)], upcasters: &[Upcaster]) -> Result<Revisions, RevisionError> {
    Revisions::new(&events(), current, upcasters)
}

fn payload(json: Value) -> OldPayload {
    match json {
        Value::Object(fields) => OldPayload::new(fields),
        _ => panic!("no object"),
    }
}

#[test]
fn an_event_takes_each_step_from_its_revision_on() {
    // In whichever order they are declared.
    let revisions = revisions(&[("Priced", 3)], &[IN_CENTS, RENAMED]).unwrap();
    let today = |revision, json| {
        let steps = revisions.steps("Priced", revision).unwrap();
        upcast(steps, payload(json)).unwrap().into_value()
    };
    assert_eq!(
        today(1, json!({"cost": 7, "note": "n"})),
        json!({"note": "n", "price": 700})
    );
    assert_eq!(today(2, json!({"price": 7})), json!({"price": 700}));
    assert_eq!(today(3, json!({"price": 700})), json!({"price": 700}));
    assert_eq!((revisions.current("Opened"), revisions.current("Priced")), (1, 3));
}

#[test]
fn what_newer_code_has_written_is_told_apart() {
    let revisions = revisions(&[("Priced", 2)], &[RENAMED]).unwrap();
    let error = |event, revision| revisions.steps(event, revision).err().unwrap().to_string();
    let future = "Priced is at revision 2 here, and this one is of revision 3: it was written by newer code";
    assert_eq!(error("Priced", 3), future);
    assert_eq!(
        error("Closed", 1),
        "there is no event Closed here: it was written by newer code"
    );
    assert_eq!(
        error("Priced", 0),
        "an Avro record of another kind: Priced has no revision 0"
    );
}

#[test]
fn a_payload_that_is_not_what_its_revision_has_names_the_step_and_the_field() {
    let error = upcast(&[RENAMED], payload(json!({"cost": "much"}))).unwrap_err();
    let DecodeError::Upcast { source, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(source.field, "cost");
    let said = "Priced of revision 1 cannot be made into one of revision 2: its field cost: ";
    assert!(error.to_string().starts_with(said), "{error}");
    let missing = payload(json!({})).take::<i64>("cost").unwrap_err();
    let problem = "missing".to_owned();
    let field = "cost".to_owned();
    assert_eq!(missing, UpcastError { field, problem });
}

#[test]
fn a_hole_in_the_chain_names_the_event_and_the_step() {
    let said = |current, upcasters: &[Upcaster]| {
        revisions(&[("Priced", current)], upcasters)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(said(3, &[RENAMED, IN_CENTS]), None);
    assert_eq!(
        said(3, &[RENAMED]).as_deref(),
        Some("Priced is at revision 3, and no upcaster makes its revision 2 into 3")
    );
    assert_eq!(
        said(3, &[IN_CENTS]).as_deref(),
        Some("Priced is at revision 3, and no upcaster makes its revision 1 into 2")
    );
    assert_eq!(
        said(2, &[RENAMED, IN_CENTS]).as_deref(),
        Some("Priced has an upcaster from revision 2, and is only at revision 2 by its REVISIONS")
    );
    assert_eq!(
        said(3, &[RENAMED, IN_CENTS, IN_CENTS]).as_deref(),
        Some("Priced has two upcasters from revision 2")
    );
    assert_eq!(
        said(1, &[]).as_deref(),
        Some("Priced.price is there since revision 2, and the event is only at revision 1")
    );
}

#[test]
fn revisions_of_an_event_that_is_not_there_are_refused() {
    let error = revisions(&[("Priced", 2), ("Closed", 2)], &[RENAMED])
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "Closed is in its REVISIONS or UPCASTERS, and is none of its events"
    );
}
