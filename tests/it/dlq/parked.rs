use std::time::Duration;

use foldline_tests::bar::{GOOD, UNLUCKY};
use foldline_tests::client::{Client, eventually};
use foldline_tests::metrics;
use foldline_tests::system::{Service, System};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::PROGRAM;
use crate::rebuild::evening::{Tab, drinks, tip};

const RETRY: [&str; 2] = ["dlq", "retry"];

fn letters(list: &Value) -> Vec<(&str, &str)> {
    let items = list.as_array().expect("a list").iter();
    let text = |one: &'_ Value, name: &str| one[name].as_str().map(str::to_owned);
    assert!(items.clone().all(|one| text(one, "reason").is_some()), "{list}");
    items
        .map(|one| {
            let letter = one["letter"].as_str().expect("a letter");
            (letter, one["state"].as_str().expect("a state"))
        })
        .collect()
}

async fn parked_now(system: &System) -> u64 {
    let projector = Client::new(&system.url(Service::Projector));
    metrics::sum(&projector, "foldline_projection_parked_aggregates", "tabs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_stops_its_own_aggregate_and_a_retry_goes_on_in_order_with_nothing_lost() {
    let mut system = System::start_bar("parked", PROGRAM, "panics").await;
    let write = system.write();
    let mut unlucky = Tab::open(&write, "Zoe").await;
    let mut lucky = Tab::open(&write, "Ada").await;
    unlucky
        .ask(&write, vec![drinks(1, 10), tip(UNLUCKY), drinks(2, 10)])
        .await;
    lucky.ask(&write, vec![drinks(5, 10), tip(1)]).await;
    let handed_over = json!({"type": "HandOver", "guest": "Yan"});
    unlucky
        .ask(
            &write,
            vec![drinks(3, 10), handed_over, tip(UNLUCKY), drinks(4, 10)],
        )
        .await;

    // Only the one is stopped, where the event is; what came before stays.
    let read = system.read();
    let row = read.get_after(&lucky.path, &lucky.token).await.expect(200);
    assert_eq!((&row.body["drinks"], &row.body["tips"]), (&5.into(), &1.into()));
    let row = read.get_after(&unlucky.path, &unlucky.token).await.expect(200);
    assert_eq!((&row.body["drinks"], &row.body["tips"]), (&1.into(), &0.into()));

    let cli = system.cli();
    let letter = format!("tabs:bar.tabs/{}", unlucky.id);
    block_in_place(|| {
        let list = cli.json(GOOD, &["dlq", "list"]);
        assert_eq!(letters(&list), [(letter.as_str(), "open")]);
        let shown = cli.json(GOOD, &["dlq", "show", &letter]);
        assert_eq!(shown["reason"], "the projection panicked: unlucky");
        assert_eq!(shown["value"]["event_type"], "Tipped", "{shown:#}");
        assert_eq!(shown["value"]["tipped"]["amount"], UNLUCKY, "{shown:#}");
        // The reason is still there.
        let refused = cli.refused(GOOD, &[&RETRY[..], &[&letter]].concat());
        assert!(
            refused.contains("failed again") && refused.contains("unlucky"),
            "{refused}"
        );
        assert_eq!(
            letters(&cli.json(GOOD, &["dlq", "list"])),
            [(letter.as_str(), "open")]
        );

        cli.text(GOOD, &["dlq", "drop", &letter, "--reason", "Zoe never pays"]);
        assert_eq!(cli.text(GOOD, &["dlq", "list"]).trim(), "0 open");
        let all = cli.json(GOOD, &["dlq", "list", "--all"]);
        assert_eq!(letters(&all), [(letter.as_str(), "dropped: Zoe never pays")]);
    });
    assert_eq!(parked_now(&system).await, 1);

    // The fix: a program that can. It does not try by itself.
    system.stop(Service::Projector).await;
    system.make = Some(GOOD);
    system.restart(Service::Projector).await;
    unlucky.ask(&write, vec![drinks(5, 10)]).await;
    let row = read.get_after(&unlucky.path, &unlucky.token).await.expect(200);
    assert_eq!(row.body["drinks"], 1);

    let done = block_in_place(|| cli.text(GOOD, &[&RETRY[..], &[&letter]].concat()));
    assert!(done.contains("follows again"), "{done}");
    let row = read.get(&unlucky.path).await.expect(200);
    assert_eq!(row.body["drinks"], unlucky.drinks);
    assert_eq!(row.body["tips"], 2 * UNLUCKY);
    assert_eq!(row.body["guest"], "Yan");
    assert_eq!(row.body["total"], unlucky.drinks * 10);
    let events = i64::try_from(unlucky.asked.len()).unwrap() + 1;
    assert_eq!(row.header("etag"), Some(format!("\"{events}\"").as_str()));
    block_in_place(|| assert!(letters(&cli.json(GOOD, &["dlq", "list", "--all"])).is_empty()));
    eventually("nothing is parked", Duration::from_secs(10), async || {
        (parked_now(&system).await == 0).then_some(())
    })
    .await;

    // And it follows normally.
    unlucky.ask(&write, vec![drinks(7, 10), tip(UNLUCKY)]).await;
    let row = read.get_after(&unlucky.path, &unlucky.token).await.expect(200);
    assert_eq!(row.body["drinks"], unlucky.drinks);
    assert_eq!(row.body["tips"], 3 * UNLUCKY);
    // What a build from the beginning makes is the same.
    let report = block_in_place(|| cli.json(GOOD, &["views", "rebuild", "tabs"]));
    assert_eq!(report["rows"]["equal"], 2, "{report:#}");
}
