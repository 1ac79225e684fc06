use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldline_core::AggregateId;
use foldline_tests::bar::GOOD;
use foldline_tests::cli::Cli;
use foldline_tests::client::eventually;
use foldline_tests::system::{Service, System};
use foldline_views::{SqliteStore, ViewStore};
use serde_json::Value;
use tokio::task::{JoinHandle, block_in_place};

use super::evening::{Tab, drinks};
use super::poller::Poller;
use crate::PROGRAM;

/// Tabs with so many drinks each, at 10.
async fn tabs(system: &System, count: usize, orders: usize) -> Vec<Tab> {
    let write = system.write();
    let mut tabs = Vec::new();
    for number in 0..count {
        let mut tab = Tab::open(&write, &format!("guest {number}")).await;
        for part in (0..orders).collect::<Vec<_>>().chunks(100) {
            tab.ask(&write, part.iter().map(|_| drinks(1, 10)).collect())
                .await;
        }
        tabs.push(tab);
    }
    for tab in &tabs {
        system.read().get_after(&tab.path, &tab.token).await.expect(200);
    }
    tabs
}

/// A guest who goes on ordering, and looks at the tab after each order.
struct Guest {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Tab>>,
}

impl Guest {
    fn start(system: &System, mut tabs: Vec<Tab>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (write, read, until) = (system.write(), system.read(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut number = 0;
            while !until.load(Ordering::SeqCst) {
                let count = tabs.len();
                let tab = &mut tabs[number % count];
                tab.ask(&write, vec![drinks(1, 10)]).await;
                let row = read.get_after(&tab.path, &tab.token).await.expect(200);
                assert_eq!(
                    row.body["drinks"], tab.drinks,
                    "what it has ordered is on the tab"
                );
                number += 1;
            }
            tabs
        });
        Self { stop, task }
    }

    async fn stop(self) -> Vec<Tab> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("every order is on the tab at once")
    }
}

async fn nothing_is_lost_or_twice(system: &System, tabs: &[Tab]) {
    for tab in tabs {
        let row = system.read().get_after(&tab.path, &tab.token).await.expect(200);
        assert_eq!(row.body["drinks"], tab.drinks, "{}", tab.id);
        let version = row.header("etag").expect("an ETag").trim_matches('"').to_owned();
        let sequence = i64::try_from(tab.asked.len()).unwrap() + 1;
        assert!(version.starts_with(&sequence.to_string()), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_whole_answers_while_a_view_is_rebuilt_switched_and_put_back() {
    let system = System::start_bar("switches", PROGRAM, GOOD).await;
    let tabs = tabs(&system, 8, 50).await;
    let cli = system.cli();
    let poller = Poller::start(system.read(), &tabs);
    let guest = Guest::start(&system, tabs);
    block_in_place(|| {
        for round in 0..3 {
            let report = cli.json("tagged", &["views", "rebuild", "tabs", "--switch", "--anew"]);
            assert_eq!(report["switched"], true);
            let served = if round == 0 { "changed" } else { "equal" };
            assert_eq!(report["rows"][served], 8, "{round}: {report:#}");
            if round == 0 {
                let back = cli.text(GOOD, &["views", "rollback", "tabs"]);
                assert!(
                    back.contains("generation 1 of tabs is up to date, and served"),
                    "{back}"
                );
                let there = cli.text(GOOD, &["views", "rollback", "tabs"]);
                assert!(there.contains("generation 2 of tabs"), "{there}");
            }
        }
    });
    let tabs = guest.stop().await;
    nothing_is_lost_or_twice(&system, &tabs).await;
    let seen = poller.stop().await;
    assert_eq!(seen, [GOOD, "tagged", GOOD, "tagged"]);

    let all = block_in_place(|| cli.json(GOOD, &["views", "list"]));
    let states = all.as_array().unwrap().iter().filter(|one| one["view"] == "tabs");
    let states: Vec<_> = states
        .map(|one| one["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["kept", "kept", "kept", "served"]);
    block_in_place(|| {
        cli.text(GOOD, &["views", "drop", "tabs", "2"]);
        let refused = cli.refused(GOOD, &["views", "drop", "tabs", "4"]);
        assert!(refused.contains("is the one that is served"), "{refused}");
    });
}

/// Where the newest generation of the tabs stands: the events that it has, and its number.
fn built(cli: &Cli) -> Option<(i64, i64)> {
    let store = SqliteStore::new(cli.views.join("views.db"));
    let mut reader = store.reader().ok()?;
    let snapshot = reader.snapshot().ok()?;
    let all = snapshot.generations().ok()?;
    let number = all
        .iter()
        .filter(|one| one.view == "tabs")
        .map(|one| one.number)
        .max()?;
    let positions = snapshot.positions_of("tabs", number).ok()?;
    Some((
        number,
        positions.iter().map(|(_, position)| position.next_offset).sum(),
    ))
}

/// Every row of a generation, as it is stored.
fn content(cli: &Cli, generation: i64) -> Vec<String> {
    let store = SqliteStore::new(cli.views.join("views.db"));
    let mut reader = store.reader().unwrap();
    let snapshot = reader.snapshot().unwrap();
    let mut last: Option<AggregateId> = None;
    let mut all = Vec::new();
    loop {
        let page = snapshot.rows_of("tabs", generation, last.as_ref(), 100).unwrap();
        let Some(end) = page.last() else { return all };
        last = Some(end.row.id.clone());
        let written = page.iter().map(|row| {
            let (listed, row) = (row.listed, &row.row);
            format!("{} {} {} {} {listed}", row.id, row.doc, row.sequence, row.version)
        });
        all.extend(written);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_goes_on_and_ends_the_same() {
    const KILLS: usize = 3;
    let system = System::start_bar("resumes", PROGRAM, GOOD).await;
    let _tabs = tabs(&system, 10, 400).await;
    let cli = system.cli();
    let words = ["views", "rebuild", "tabs", "--batch-max", "100"];
    block_in_place(|| {
        let mut stood = 0;
        for _ in 0..KILLS {
            let mut rebuild = cli.command(GOOD, &words).spawn().expect("it starts");
            let further = loop {
                let at = built(&cli)
                    .filter(|(number, _)| *number == 2)
                    .map_or(0, |(_, at)| at);
                if at > stood {
                    break at;
                }
                assert!(
                    rebuild.try_wait().expect("a child").is_none(),
                    "no result: it was done"
                );
                std::thread::sleep(Duration::from_millis(2));
            };
            rebuild.kill().expect("it is killed");
            rebuild.wait().expect("it is gone");
            stood = built(&cli).expect("what was built").1;
            assert!(stood >= further, "what was built stays");
        }
        let report = cli.json(GOOD, &words);
        let events = report["events"].as_i64().expect("a count");
        assert!(
            events > 0 && events < 4010,
            "it went on where it was: {events} events"
        );
        assert_eq!(report["built"]["generation"], 2, "{report:#}");
        assert_eq!(report["rows"]["equal"], 10, "{report:#}");
        assert_eq!(report["differences"], Value::Array(Vec::new()));
        assert_eq!(content(&cli, 2), content(&cli, 1));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_built_beside_the_old_one_and_takes_its_place() {
    let mut system = System::start_bar("versions", PROGRAM, GOOD).await;
    let tabs = tabs(&system, 8, 100).await;
    let poller = Poller::start(system.read(), &tabs);
    system.stop(Service::Projector).await;
    system.make = Some("v2");
    system.restart(Service::Projector).await;
    let guest = Guest::start(&system, tabs);
    let read = system.read();
    eventually("the new version is served", Duration::from_secs(60), async || {
        let list = read.get("/tabs").await.expect(200);
        (list.body["items"][0]["made_by"] == "v2").then_some(())
    })
    .await;
    let tabs = guest.stop().await;
    nothing_is_lost_or_twice(&system, &tabs).await;
    assert_eq!(poller.stop().await, [GOOD, "v2"]);

    // The read API of the new version knows the field that is new.
    system.stop(Service::QueryApi).await;
    system.restart(Service::QueryApi).await;
    let list = system.read().get("/tabs?tips=0&limit=500").await.expect(200);
    assert_eq!(list.body["items"].as_array().expect("items").len(), 8);

    // The old program would lead clients back: it does not start, and says what to do.
    system.stop(Service::Projector).await;
    system.make = Some(GOOD);
    system.launch(Service::Projector);
    assert!(!system.ended(Service::Projector).await.success());
    let log = system.log_of(Service::Projector);
    assert!(log.contains("views rollback tabs"), "{log}");

    // Going back is decided by a person. It brings the old generation up to date, by its own program.
    let cli = system.cli();
    let refused = block_in_place(|| cli.refused("v2", &["views", "rollback", "tabs"]));
    assert!(
        refused.contains("has another form than this program"),
        "{refused}"
    );
    block_in_place(|| cli.text(GOOD, &["views", "rollback", "tabs"]));
    system.restart(Service::Projector).await;
    nothing_is_lost_or_twice(&system, &tabs).await;
    let row = system.read().get(&tabs[0].path).await.expect(200);
    assert_eq!(row.body["made_by"], Value::Null);
}
