use std::collections::BTreeMap;

use foldline_tests::bar::GOOD;
use foldline_tests::system::System;
use serde_json::Value;

use super::evening::{Tab, ten_tabs};
use crate::PROGRAM;

/// What a mistake must be reported as: rows by their ids, with the sequence of the first event that matters and a field.
struct Seeded {
    make: &'static str,
    kind: &'static str,
    /// Where the content of a changed row differs.
    field: &'static str,
    is_about: fn(&Value) -> bool,
}

const SEEDED: [Seeded; 5] = [
    Seeded {
        make: "quantity-ignored",
        kind: "changed",
        field: "/total",
        is_about: |command| command["quantity"].as_i64() > Some(1),
    },
    Seeded {
        make: "tips-skipped",
        kind: "changed",
        field: "/tips",
        is_about: |command| command["type"] == "Tip",
    },
    Seeded {
        make: "double-count",
        kind: "changed",
        field: "/tips",
        is_about: |command| command["type"] == "Tip",
    },
    Seeded {
        make: "wrong-field",
        kind: "changed",
        field: "/paid_by",
        is_about: |command| command["type"] == "HandOver",
    },
    Seeded {
        make: "row-removed",
        kind: "missing",
        field: "",
        is_about: |command| command["type"] == "CloseTab",
    },
];

fn rows(report: &Value) -> [i64; 4] {
    ["equal", "changed", "missing", "extra"].map(|kind| report["rows"][kind].as_i64().expect("a count"))
}

fn found(report: &Value) -> BTreeMap<String, i64> {
    let differences = report["differences"].as_array().expect("differences").iter();
    let entry = |difference: &Value| {
        let id = difference["id"].as_str().expect("an id").to_owned();
        let sequence = difference["first_difference"]["event"]["sequence"].as_i64();
        (
            id,
            sequence.unwrap_or_else(|| panic!("no first event: {difference:#}")),
        )
    };
    differences.map(entry).collect()
}

fn expected(tabs: &[Tab], is_about: fn(&Value) -> bool) -> BTreeMap<String, i64> {
    let of = |tab: &Tab| Some((tab.id.clone(), tab.first(is_about)?));
    tabs.iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_projection_are_reported_with_their_rows_and_the_first_event() {
    let system = System::start_bar("bugs", PROGRAM, GOOD).await;
    let tabs = ten_tabs(&system).await;
    let cli = system.cli();
    let good = cli.program_of(GOOD, system.folder());
    let good = good.to_str().expect("a path of ours");
    tokio::task::block_in_place(|| {
        let report = cli.json(GOOD, &["views", "rebuild", "tabs"]);
        assert_eq!(rows(&report), [10, 0, 0, 0], "{report:#}");
        assert_eq!(report["differences"], Value::Array(Vec::new()));
        assert_eq!(report["switched"], false);

        for seeded in SEEDED {
            let words = ["views", "rebuild", "tabs", "--anew", "--compare-with", good];
            let report = cli.json(seeded.make, &words);
            let expected = expected(&tabs, seeded.is_about);
            assert_eq!(found(&report), expected, "{}: {report:#}", seeded.make);
            let wrong = i64::try_from(expected.len()).unwrap();
            let [equal, changed, missing, extra] = rows(&report);
            let of_kind = if seeded.kind == "missing" {
                missing
            } else {
                changed
            };
            assert_eq!((equal, of_kind, extra), (10 - wrong, wrong, 0), "{report:#}");
            for difference in report["differences"].as_array().unwrap() {
                assert_eq!(difference["kind"], seeded.kind);
                let fields = difference["fields"].as_array().unwrap();
                let is_named = fields.iter().any(|field| field["field"] == seeded.field);
                assert!(is_named || seeded.field.is_empty(), "{difference:#}");
            }
        }

        let report = cli.json("extra-row", &["views", "rebuild", "tabs", "--anew"]);
        assert_eq!(rows(&report), [10, 0, 0, 1], "{report:#}");
        assert_eq!(report["differences"][0]["id"], "house");
        assert_eq!(report["differences"][0]["kind"], "extra");
    });
    // Nobody has seen any of it.
    for tab in &tabs {
        let row = system.read().get(&tab.path).await.expect(200);
        assert_eq!(row.body["drinks"], tab.drinks);
    }
}

/// What is served has missed something, and the program that made it is not at hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_served_rows_have_missed_is_found_without_their_program() {
    let system = System::start_bar("missed", PROGRAM, "double-count").await;
    let tabs = ten_tabs(&system).await;
    let cli = system.cli();
    tokio::task::block_in_place(|| {
        let report = cli.json(GOOD, &["views", "rebuild", "tabs"]);
        let tipped = expected(&tabs, |command| command["type"] == "Tip");
        let differences = report["differences"].as_array().expect("differences");
        let ids: Vec<_> = differences
            .iter()
            .map(|difference| difference["id"].as_str().unwrap())
            .collect();
        assert!(
            ids.iter().copied().eq(tipped.keys().map(String::as_str)),
            "{ids:?}"
        );
        for difference in differences {
            // Two tips were counted twice: no single event explains that, so the events themselves are named.
            let named = difference["events"].as_array().expect("events").iter();
            let named: Vec<_> = named.map(|event| event["event_type"].as_str().unwrap()).collect();
            assert!(named.contains(&"Tipped"), "{named:?}");
        }
        let text = cli.text(GOOD, &["views", "rebuild", "tabs"]);
        for part in [
            "rows equal",
            "4 changed",
            "/tips: served",
            "Tipped",
            "nothing is switched",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}
