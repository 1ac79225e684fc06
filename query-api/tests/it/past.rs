//! What was is what a fold of the log up to then makes, at random moments of random histories.

mod explained;

use foldline_core::{Timestamp, Token};
use foldline_views::{Batch, HISTORY};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::toy::{Answer, CLUSTER, COATS, Fixture, applied, event, id};
use crate::world::{Entry, Moment, World, steps};

const VIEWS: [(&str, &str, &str, &[&str]); 3] = [
    (
        "menu",
        "/menu/items",
        "restaurant.menu",
        &["m0", "m1", "m2", "m9"],
    ),
    ("customers", "/customers", "restaurant.customers", &["c0", "c1"]),
    ("orders", "/orders", "restaurant.orders", &["o0", "o1", "o2"]),
];

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// A moment at or beside some event, or what some commands have seen.
fn moment(world: &World, kind: u8, index: Index) -> Moment {
    let entry = &world.log[index.index(world.log.len())];
    let time = entry.event.meta.recorded_at.0;
    match kind {
        0 => Moment::Time(Timestamp(time)),
        1 => Moment::Time(Timestamp(time - 1)),
        2 => {
            let asked = &world.asked[index.index(world.asked.len())];
            let (name, offset) = (&asked.aggregate, asked.command_offset);
            Moment::Token(Token::at(CLUSTER, name, asked.partition, offset))
        }
        _ => {
            let mut token = Token::new(CLUSTER);
            for asked in &world.asked[..=index.index(world.asked.len())] {
                token.see(&asked.aggregate, asked.partition, asked.command_offset);
            }
            Moment::Token(token)
        }
    }
}

fn without(answer: &Answer, members: &[&str]) -> Value {
    let mut body = answer.body.clone();
    members
        .iter()
        .for_each(|member| drop(body.as_object_mut().unwrap().remove(*member)));
    body
}

fn escaped(text: &str) -> String {
    text.replace('+', "%2B")
}

async fn is_as_folded(world: &World, fixture: &Fixture, moment: &Moment) {
    for (view, path, aggregate, ids) in VIEWS {
        let rows = world.rows(view, world.until(moment));
        for row in ids {
            let uri = format!("{path}/{row}?at={}", escaped(&moment.text()));
            let answer = fixture.get(&uri).await;
            match (rows.get(&id(row)), moment) {
                (Some(expected), _) => {
                    assert_eq!(answer.status, 200, "{uri}: {}", answer.body);
                    assert_eq!(without(&answer, &["links"]), *expected, "{uri}");
                }
                // A token that names nothing that the view reads says nothing of it.
                (None, Moment::Token(token)) if answer.status == 400 => {
                    assert!(token.positions().all(|(known, ..)| known != aggregate), "{uri}");
                }
                (None, _) => assert_eq!(answer.status, 404, "{uri}: {}", answer.body),
            }
        }
    }
}

async fn lists_are_as_folded(world: &World, fixture: &Fixture, moment: &Moment, total: i64, limit: usize) {
    let price = |row: &Value| {
        row["total"]["amount"]
            .as_i64()
            .or(row["price"]["amount"].as_i64())
    };
    type Keeps<'a> = &'a dyn Fn(&Value) -> bool;
    let filters: [(&str, &str, &str, Keeps<'_>); 4] = [
        ("menu", "/menu/items", "sort=id", &|_| true),
        (
            "menu",
            "/menu/items",
            &format!("sort=-price.amount,id&price.amount[gte]={total}"),
            &|row| price(row) >= Some(total),
        ),
        ("orders", "/orders", "sort=id&status=OPEN", &|row| {
            row["status"] == "OPEN"
        }),
        (
            "orders",
            "/orders",
            &format!("sort=total.amount,-id&total.amount[lt]={total}"),
            &|row| price(row).is_some_and(|price| price < total),
        ),
    ];
    for (view, path, filter, keeps) in filters {
        let rows = world.rows(view, world.until(moment));
        let mut expected: Vec<&Value> = rows.values().filter(|row| keeps(row)).collect();
        let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
        match filter {
            filter if filter.starts_with("sort=-price") => {
                expected.sort_by_key(|row| (std::cmp::Reverse(price(row)), id(row)));
            }
            filter if filter.starts_with("sort=total") => {
                expected.sort_by_key(|row| (price(row), std::cmp::Reverse(id(row))));
            }
            _ => {}
        }
        let mut next = Some(format!(
            "{path}?{filter}&limit={limit}&at={}",
            escaped(&moment.text())
        ));
        let mut found = Vec::new();
        let mut refused = false;
        while let Some(uri) = next {
            let answer = fixture.get(&uri.replace('[', "%5B").replace(']', "%5D")).await;
            refused = answer.status == 400;
            if refused {
                // A token that names nothing that the view reads.
                assert!(matches!(moment, Moment::Token(_)), "{uri}: {}", answer.body);
                break;
            }
            assert_eq!(answer.status, 200, "{uri}: {}", answer.body);
            found.extend(answer.body["items"].as_array().unwrap().clone());
            next = answer.body["next"].as_str().map(str::to_owned);
        }
        found
            .iter_mut()
            .for_each(|row| drop(row.as_object_mut().unwrap().remove("links")));
        if !refused {
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{path}?{filter}");
        }
    }
}

async fn states_are_as_folded(world: &World, fixture: &Fixture, moment: &Moment) {
    let happened = world.until(moment);
    for (_, path, aggregate, ids) in VIEWS {
        for row in ids {
            let own: Vec<&&Entry> = happened
                .iter()
                .filter(|entry| entry.aggregate() == aggregate && entry.event.meta.aggregate_id == id(row))
                .collect();
            let Some(last) = own.last() else { continue };
            let mut state = last.kind.initial();
            own.iter()
                .for_each(|entry| last.kind.evolve(&mut state, &entry.event.event));
            let uri = format!("{path}/{row}/state?at={}", escaped(&moment.text()));
            let answer = fixture.get(&uri).await;
            assert_eq!(
                answer.body["state"],
                last.kind.state_json(&state),
                "{uri}: {}",
                answer.body
            );
            assert_eq!(answer.body["sequence"], last.event.meta.sequence, "{uri}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_row_and_a_state_at_a_moment_are_what_had_happened_by_then(
        steps in steps(50),
        batch in 1..60_usize,
        moments in prop::collection::vec((0..4_u8, any::<Index>()), 4),
    ) {
        let world = World::after(&steps);
        block_on(async {
            let fixture = world.shown(batch);
            for (kind, index) in moments {
                let moment = moment(&world, kind, index);
                is_as_folded(&world, &fixture, &moment).await;
                states_are_as_folded(&world, &fixture, &moment).await;
            }
        });
    }

    #[test]
    fn a_row_at_a_sequence_has_the_events_of_its_aggregate_up_to_it(steps in steps(50), which in any::<Index>()) {
        let world = World::after(&steps);
        block_on(async {
            let fixture = world.shown(9);
            let entry = &world.log[which.index(world.log.len())];
            let meta = &entry.event.meta;
            let (view, path, ..) = VIEWS.into_iter().find(|(.., name, _)| *name == entry.aggregate()).unwrap();
            let moment = Moment::Sequence(entry.aggregate(), meta.aggregate_id.clone(), meta.sequence);
            let rows = world.rows(view, world.until(&moment));
            for at in [moment.text(), meta.sequence.to_string()] {
                let answer = fixture.get(&format!("{path}/{}?at={at}", meta.aggregate_id)).await;
                assert_eq!(without(&answer, &["links"]), rows[&meta.aggregate_id]);
            }
        });
    }

    #[test]
    fn a_list_at_a_moment_is_what_a_filter_takes_of_the_rows_of_then(
        steps in steps(50),
        batch in 1..60_usize,
        moments in prop::collection::vec((0..4_u8, any::<Index>()), 2),
        total in 100..900_i64,
        limit in 1..4_usize,
    ) {
        let world = World::after(&steps);
        block_on(async {
            let fixture = world.shown(batch);
            for (kind, index) in moments {
                let moment = moment(&world, kind, index);
                lists_are_as_folded(&world, &fixture, &moment, total, limit).await;
            }
        });
    }

    #[test]
    fn a_difference_leads_from_the_one_moment_to_the_other(
        steps in steps(50),
        ends in prop::array::uniform2((0..2_u8, any::<Index>())),
    ) {
        let world = World::after(&steps);
        block_on(async {
            let fixture = world.shown(100);
            let [from, to] = ends.map(|(kind, index)| moment(&world, kind, index));
            let (before, after) = (world.rows("orders", world.until(&from)), world.rows("orders", world.until(&to)));
            for order in ["o0", "o1", "o2"] {
                let uri = format!("/orders/{order}/diff?from={}&to={}", from.text(), to.text());
                let answer = fixture.get(&uri).await;
                let (before, after) = (before.get(&id(order)), after.get(&id(order)));
                if before.is_none() && after.is_none() {
                    assert_eq!(answer.status, 404, "{uri}");
                    continue;
                }
                let changes = answer.body["changes"].as_array().unwrap();
                assert_eq!(changes.is_empty(), before == after, "{uri}: {changes:?}");
                let null = Value::Null;
                for change in changes.iter().filter(|change| change["op"] == "replace") {
                    let path = change["path"].as_str().unwrap();
                    assert_eq!(after.unwrap_or(&null).pointer(path), Some(&change["after"]), "{uri}: {change}");
                }
            }
        });
    }
}

#[tokio::test]
async fn a_moment_that_has_no_answer_says_why() {
    let world = World::after(&[]);
    let fixture = world.shown(100);
    let first = world
        .log
        .iter()
        .find(|entry| entry.aggregate() == "restaurant.orders")
        .unwrap();
    let began_at = first.event.meta.recorded_at.to_string();
    let ask = async |uri: &str| fixture.get(&format!("/orders/o0{uri}")).await;

    let future = ask("?at=2999-01-01T00:00:00Z").await;
    future.is_problem(400, "moment-in-the-future");
    assert!(future.body["now"].as_str().unwrap() < "2999");
    let before = ask("?at=2000-01-01T00:00:00Z").await;
    before.is_problem(404, "not-there-yet");
    assert_eq!(before.body["began_at"], began_at);
    assert_eq!(before.body["next"][0]["href"], "/orders/o0");
    let beyond = ask("?at=seq:99").await;
    beyond.is_problem(404, "sequence-not-reached");
    assert_eq!(beyond.body["newest"], 1);
    fixture
        .get("/orders/none?at=seq:1")
        .await
        .is_problem(404, "not-found");
    fixture
        .get("/orders/none?at=2024-01-01T00:00:00Z")
        .await
        .is_problem(404, "not-found");
    fixture
        .get("/orders/none/state")
        .await
        .is_problem(404, "not-found");
    ask("/state?at=seq:99")
        .await
        .is_problem(404, "sequence-not-reached");
    ask("/state?at=2000-01-01T00:00:00Z")
        .await
        .is_problem(404, "not-there-yet");

    let elsewhere = Token::at("elsewhere", "restaurant.orders", 0, 0);
    ask(&format!("?at={elsewhere}"))
        .await
        .is_problem(400, "invalid-consistency-token");
    let of_menu = Token::at(CLUSTER, "restaurant.menu", 0, 0);
    let of_menu = ask(&format!("?at={of_menu}")).await;
    of_menu.is_problem(400, "invalid-parameter");
    assert_eq!(of_menu.body["parameter"], "at");
    let ahead = Token::at(CLUSTER, "restaurant.orders", 0, 999);
    let ahead = fixture
        .get_with(&format!("/orders/o0?at={ahead}"), &[("prefer", "wait=0")])
        .await;
    ahead.is_problem(503, "view-behind");
    for bad in [
        "?at=yesterday",
        "?at=0",
        "?explain=maybe",
        "/diff?from=x",
        "/diff?from=1&at=2",
        "?until=1",
    ] {
        ask(bad).await.is_problem(400, "invalid-parameter");
    }
    let made = ask("/diff").await;
    assert_eq!(made.body["from"], Value::Null);
    assert_eq!(
        made.body["changes"][0]["after"]["status"], "OPEN",
        "{}",
        made.body
    );
    ask("/diff?from=1&to=99")
        .await
        .is_problem(404, "sequence-not-reached");
}

#[tokio::test]
async fn a_list_of_the_past_is_built_once_and_is_a_table_too() {
    let world = World::after(&[(6, 0, 0, 2, 10), (9, 0, 0, 1, 10), (10, 0, 0, 3, 10)]);
    let fixture = world.shown(100);
    let opened = world
        .log
        .iter()
        .find(|entry| entry.event.meta.event_type == "OrderOpened")
        .unwrap();
    let at = opened.event.meta.recorded_at.to_string();
    let uri = format!("/orders?at={at}");
    // Without the time to wait for it, it is begun.
    let first = fixture.get_with(&uri, &[("prefer", "wait=0")]).await;
    if first.status != 200 {
        first.is_problem(503, "past-being-built");
        assert_eq!(first.header("retry-after"), "2");
    }
    let then = fixture.get(&uri).await;
    assert_eq!(then.body["items"][0]["status"], "OPEN");
    let link = then.body["items"][0]["links"]["self"].as_str().unwrap();
    assert_eq!(fixture.get(link).await.body["items"], json!([]));
    let mut table = fixture
        .open(&format!("{uri}&format=ndjson&status=OPEN"), &[])
        .await;
    let line = table.part().await.unwrap().unwrap();
    assert!(line.starts_with("{\"id\":\"o0\""));
    assert_eq!(fixture.get("/orders?status=OPEN").await.body["items"], json!([]));

    let before = fixture.get("/orders?at=2000-01-01T00:00:00Z").await;
    assert_eq!((before.status.as_u16(), &before.body["items"]), (200, &json!([])));
    let sequence = fixture.get("/orders?at=seq:1").await;
    sequence.is_problem(400, "invalid-parameter");
    fixture
        .get("/orders?at=2999-01-01T00:00:00Z")
        .await
        .is_problem(400, "moment-in-the-future");
    fixture
        .get(&format!("{uri}&colour=red"))
        .await
        .is_problem(400, "invalid-parameter");
}

#[tokio::test]
async fn a_list_of_the_past_that_cannot_be_built_is_not_said_to_be_being_built() {
    let (fixture, mut writer) = Fixture::with("coats", &[]);
    let batch = Batch {
        // No event that can be folded.
        history: vec![event(COATS, "7", 1)],
        moves: vec![applied(HISTORY, COATS, 1)],
        ..Batch::default()
    };
    writer.commit(&batch).unwrap();
    for _ in 0..2 {
        let answer = fixture.get("/cloakroom/coats?at=1970-01-01T00:00:01Z").await;
        answer.is_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "10");
    }
}

#[tokio::test]
async fn a_row_as_it_was_leads_to_its_lists_as_they_were() {
    let world = World::after(&[
        (6, 0, 0, 2, 10),
        (6, 1, 0, 1, 10),
        (9, 0, 0, 1, 10),
        (10, 0, 0, 3, 10),
    ]);
    let fixture = world.shown(100);
    let then = fixture.get("/orders/o0?at=seq:2").await;
    assert_eq!(then.header("etag"), "\"2\"");
    // What else the state depends on stands behind the sequence, which is all that a command asks for.
    let state = fixture.get("/orders/o0/state?at=seq:2").await;
    assert!(state.header("etag").starts_with("\"2-"), "{:?}", state.headers);
    let links = &then.body["links"];
    assert_eq!(links["self"], "/orders/o0?at=seq%3A2");
    assert_eq!(links["now"], "/orders/o0");
    let items = fixture.get(links["items"].as_str().unwrap()).await;
    assert_eq!(items.body["items"].as_array().unwrap().len(), 1);
    let item = items.body["items"][0]["order_item"].as_str().unwrap().to_owned();
    assert_eq!(fixture.get(&format!("{item}?at=2")).await.status, 200);
    fixture
        .get(&format!("{item}?at=1"))
        .await
        .is_problem(404, "not-found");
    let now = fixture.get(links["now"].as_str().unwrap()).await;
    assert_eq!(now.body["status"], "PLACED");
    // What it was made of elsewhere comes with it: the menu counts what was ordered.
    let menu = fixture.get("/menu/items/m0").await;
    assert_eq!(
        (menu.body["popularity"].as_i64(), menu.status.as_u16()),
        (Some(2), 200)
    );
    assert_eq!(fixture.get("/menu/items/m0?at=1").await.body["popularity"], 0);
}
