use super::toy::{COLOUR, Fixture, PRICE, VIEW, WET, ids, put, remove};
use crate::FieldValue::{Boolean, Missing, Number, Text};
use crate::{Batch, Filter, ID, ListQuery, Page, Place, RowChange, Sort, StoreError, Test};

/// The first page in the order of ids.
pub(crate) fn first(limit: usize) -> ListQuery {
    ListQuery {
        limit,
        ..ListQuery::default()
    }
}

fn list(fixture: &Fixture, query: &ListQuery) -> Page {
    fixture.read(|snapshot| snapshot.list(VIEW, query).unwrap())
}

fn text(value: &str) -> crate::FieldValue {
    Text(value.to_owned())
}

/// Coats of all kinds, some without a colour or a price.
fn coats(fixture: &Fixture) -> Box<dyn crate::ViewWriter> {
    let coat = |colour: &str, price: &str, wet: bool| {
        format!("{{\"colour\":{colour},\"price\":{{\"amount\":{price}}},\"wet\":{wet}}}")
    };
    fixture.filled([
        ("a", coat("\"red\"", "30", true)),
        ("b", coat("\"blue\"", "10", false)),
        ("c", coat("null", "20", true)),
        ("d", coat("\"red\"", "null", false)),
        ("e", coat("\"blue\"", "30", true)),
        ("f", coat("null", "null", false)),
        ("g", "{\"wet\":false}".to_owned()),
        ("h", coat("\"red\"", "-5", true)),
    ])
}

fn matching(fixture: &Fixture, filters: Vec<Filter>) -> String {
    let query = ListQuery { filters, ..first(99) };
    ids(&list(fixture, &query)).concat()
}

fn only(field: foldline_core::Field, test: Test) -> Vec<Filter> {
    vec![Filter { field, test }]
}

pub(crate) fn a_list_is_filtered_by_every_test(fixture: &Fixture) {
    let _writer = coats(fixture);
    let cases = [
        (COLOUR, Test::In(vec![text("red")]), "adh"),
        (COLOUR, Test::In(vec![text("red"), text("blue")]), "abdeh"),
        (COLOUR, Test::In(vec![text("r")]), ""),
        (COLOUR, Test::Less(text("red")), "be"),
        (PRICE, Test::In(vec![Number(30), Number(-5)]), "aeh"),
        (PRICE, Test::Less(Number(20)), "bh"),
        (PRICE, Test::AtMost(Number(20)), "bch"),
        (PRICE, Test::Greater(Number(20)), "ae"),
        (PRICE, Test::AtLeast(Number(20)), "ace"),
        (WET, Test::In(vec![Boolean(false)]), "bdfg"),
        (WET, Test::AtLeast(Boolean(true)), "aceh"),
        (ID, Test::In(vec![text("b"), text("zz")]), "b"),
        (ID, Test::Greater(text("f")), "gh"),
    ];
    for (field, test, expected) in cases {
        let filters = only(field, test);
        assert_eq!(matching(fixture, filters.clone()), expected, "{filters:?}");
    }
}

pub(crate) fn all_filters_hold_together(fixture: &Fixture) {
    let _writer = coats(fixture);
    let mut filters = only(COLOUR, Test::In(vec![text("red")]));
    filters.extend(only(PRICE, Test::AtLeast(Number(-5))));
    filters.extend(only(PRICE, Test::Less(Number(30))));
    assert_eq!(matching(fixture, filters), "h");
}

pub(crate) fn a_missing_value_meets_no_filter(fixture: &Fixture) {
    let _writer = coats(fixture);
    let below_all = only(PRICE, Test::Less(Number(i64::MAX)));
    assert_eq!(matching(fixture, below_all), "abceh");
    assert_eq!(matching(fixture, only(COLOUR, Test::In(vec![text("")]))), "");
}

fn orders() -> Vec<Vec<Sort>> {
    let by = |field, descending| Sort { field, descending };
    let mut orders = vec![vec![]];
    for descending in [false, true] {
        for field in [COLOUR, PRICE, WET, ID] {
            orders.push(vec![by(field, descending)]);
        }
        for other in [false, true] {
            orders.push(vec![by(COLOUR, descending), by(PRICE, other)]);
            orders.push(vec![
                by(WET, descending),
                by(COLOUR, other),
                by(PRICE, descending),
            ]);
            orders.push(vec![by(PRICE, descending), by(ID, other), by(COLOUR, other)]);
        }
    }
    orders
}

pub(crate) fn pages_have_every_row_once_in_every_order(fixture: &Fixture) {
    let _writer = coats(fixture);
    for sort in orders() {
        let query = |limit, after| ListQuery {
            sort: sort.clone(),
            after,
            ..first(limit)
        };
        let whole = list(fixture, &query(99, None));
        assert_eq!(whole.rows.len(), 8);
        for limit in 1..=8 {
            let mut paged = Vec::new();
            let mut after = None;
            loop {
                let page = list(fixture, &query(limit, after));
                paged.extend(page.rows);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(paged, whole.rows, "{limit} at a time by {sort:?}");
        }
    }
    // The order itself: rows without a value first, ties in the direction of the last part.
    let by = |field, descending| {
        let sort = vec![Sort { field, descending }];
        ids(&list(fixture, &ListQuery { sort, ..first(99) })).concat()
    };
    assert_eq!(by(PRICE, false), "dfghbcae");
    assert_eq!(by(PRICE, true), "eacbhgfd");
}

pub(crate) fn a_page_goes_on_where_the_last_one_ended_although_rows_come_and_go(fixture: &Fixture) {
    let mut writer = coats(fixture);
    let sort = vec![Sort {
        field: PRICE,
        descending: false,
    }];
    let query = |after| ListQuery {
        sort: sort.clone(),
        after,
        ..first(4)
    };
    let page = list(fixture, &query(None));
    assert_eq!(ids(&page), ["d", "f", "g", "h"]);
    let batch = Batch {
        rows: vec![remove("d"), remove("h"), put("zero", "{}")],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    assert_eq!(ids(&list(fixture, &query(page.next))), ["b", "c", "a", "e"]);
}

pub(crate) fn the_last_page_leads_nowhere(fixture: &Fixture) {
    let _writer = coats(fixture);
    assert!(list(fixture, &first(7)).next.is_some());
    assert!(list(fixture, &first(8)).next.is_none());
    let nothing = only(ID, Test::In(vec![text("none")]));
    let nothing = ListQuery {
        filters: nothing,
        ..first(1)
    };
    assert!(list(fixture, &nothing).next.is_none());
}

pub(crate) fn a_place_of_another_order_is_refused(fixture: &Fixture) {
    let _writer = coats(fixture);
    let query = ListQuery {
        after: Some(Place(vec![Missing, text("a")])),
        ..first(1)
    };
    let refused = fixture.read(|snapshot| snapshot.list(VIEW, &query).map(|page| page.rows.len()));
    assert!(matches!(refused, Err(StoreError::OtherPlace)));
}

/// All that a row can be: with each value of each field, listed or not, or not there.
pub(crate) fn states(row: &str) -> Vec<RowChange> {
    let mut states = vec![remove(row)];
    for doc in [
        "{}",
        "{\"colour\":\"red\",\"price\":{\"amount\":30},\"wet\":true}",
        "{\"colour\":\"red\",\"price\":{\"amount\":10},\"wet\":false}",
        "{\"colour\":\"blue\",\"price\":null,\"wet\":true}",
    ] {
        for listed in [true, false] {
            let mut state = put(row, doc);
            state.row.as_mut().expect("it is put").listed = listed;
            states.push(state);
        }
    }
    states
}

pub(crate) fn a_list_shows_what_a_row_is_whatever_it_was(fixture: &Fixture) {
    let lists = || {
        let sorted = [COLOUR, PRICE, WET, ID].map(|field| {
            let sort = vec![Sort {
                field,
                descending: false,
            }];
            list(fixture, &ListQuery { sort, ..first(9) }).rows
        });
        let red = only(COLOUR, Test::In(vec![text("red")]));
        let cheap = only(PRICE, Test::AtMost(Number(10)));
        let wet = only(WET, Test::In(vec![Boolean(true)]));
        (
            sorted,
            [red, cheap, wet].map(|filters| matching(fixture, filters)),
        )
    };
    let mut writer = fixture.filled([("2", "{\"colour\":\"red\"}".to_owned())]);
    let mut commit = |change: &RowChange| {
        let rows = vec![change.clone()];
        writer
            .commit(&Batch {
                rows,
                ..Batch::default()
            })
            .unwrap();
    };
    for after in states("1") {
        commit(&remove("1"));
        commit(&after);
        let expected = lists();
        for before in states("1") {
            commit(&before);
            commit(&after);
            assert_eq!(lists(), expected, "{after:?} after {before:?}");
        }
    }
}
