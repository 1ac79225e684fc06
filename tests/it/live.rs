//! Followers of the read API, which is killed and started again under them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldline_tests::chance::Chance;
use foldline_tests::check::{self, Placed};
use foldline_tests::client::{Client, eventually};
use foldline_tests::follower::{Done, Follower, Told};
use foldline_tests::records;
use foldline_tests::system::{Service, System};
use serde_json::json;
use tokio::sync::watch;

use crate::PROGRAM;

const COUNTERS: usize = 7;
const KILLS: usize = 6;
/// After this one, the views are removed too.
const REBUILT_AT: usize = 3;
/// A stop that waited for its streams would take the 15 s of the drain timeout.
const STOP_MAX: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts until it is told to stop; returns how many events there are then.
async fn count(write: &Client, counters: &[String], stop: &AtomicBool, mut chance: Chance) -> usize {
    let mut events = 0;
    while !stop.load(Ordering::SeqCst) {
        let commands = format!("{}/commands", chance.one_of(counters));
        let body = json!({"type": "IncrementCounter", "by": 1});
        write.post(&commands, &body).await.expect(200);
        events += 1;
    }
    events
}

/// Kills the read API each time the followers have been told something since the last time.
async fn reap(system: &mut System, progress: &[AtomicUsize], chance: &mut Chance) {
    for kill in 1..=KILLS {
        let told = || progress.iter().map(|told| told.load(Ordering::SeqCst));
        let before: Vec<usize> = told().collect();
        let more = 1 + chance.below(120);
        let is_told = async || {
            let all = told().zip(&before).all(|(now, before)| now > *before);
            (all && told().next() >= Some(before[0] + more)).then_some(())
        };
        eventually("the followers are told more", PATIENCE, is_told).await;
        system.kill(Service::QueryApi).await;
        if kill == REBUILT_AT {
            system.kill(Service::Projector).await;
            std::fs::remove_dir_all(system.views_folder()).expect("views to remove");
            system.launch(Service::Projector);
        }
        system.launch(Service::QueryApi);
    }
}

/// What was told is the log, partition by partition.
fn is_as_in_the_log(system: &System, told: &[Told]) {
    let events = records::events(&system.kafka, "counter.counters");
    let placed = |event: &records::Event| Placed {
        partition: event.record.partition,
        offset: event.record.offset,
        record: event.meta.clone(),
    };
    let events: Vec<_> = events.iter().map(placed).collect();
    let elsewhere = |event: &Placed<_>| event.partition != events[0].partition;
    assert!(events.iter().any(elsewhere), "no result: all in one partition");
    for told in told {
        assert_eq!(told.data["aggregate"], "counter.counters");
        assert_eq!(told.data["event_type"], told.kind.as_str());
    }
    let ids = told
        .iter()
        .map(|told| told.data["event_id"].as_str().expect("an id"));
    check::expect_none(check::feed::is_the_log(&events, ids));
}

fn sequence(told: &Told) -> i64 {
    let (sequence, _) = told.id.split_once('@').expect("a version");
    sequence.parse().expect("of a fold")
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_told_each_event_once_and_in_order_whoever_is_killed() {
    let mut chance = Chance::of_this_run("live");
    let mut system = System::start("live", PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let mut counters = Vec::new();
    for _ in 0..COUNTERS {
        let started = write.post("/counters", &json!({})).await.expect(201);
        counters.push(started.text("/aggregate").to_owned());
    }
    let one = counters[0].clone();
    let shown = async || (read.get(&one).await.status == 200).then_some(());
    eventually("the view has the first counter", PATIENCE, shown).await;

    let mut feed = Follower::new("/events?aggregate=counter.counters");
    let mut history = Follower::new(&format!("{one}/events"));
    let mut row = Follower::new(&one);
    let progress = [const { AtomicUsize::new(0) }; 3];
    let (feed_done, of_feed) = watch::channel::<Option<Done>>(None);
    let (one_done, of_one) = watch::channel::<Option<Done>>(None);
    let (row_done, of_row) = watch::channel::<Option<Done>>(None);
    let stop = AtomicBool::new(false);
    let (writers, mut reaper) = ([(); 4].map(|()| chance.fork()), chance.fork());

    let started_at = Instant::now();
    let counting = async {
        let [a, b, c, d] = writers.map(|chance| count(&write, &counters, &stop, chance));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        let events = COUNTERS + a + b + c + d;
        let of_counter = write.get(&format!("{one}/commands")).await.expect(200);
        let last = of_counter.body["sequence"].as_i64().expect("a sequence");
        feed_done.send_replace(Some(Box::new(move |told| told.len() >= events)));
        one_done.send_replace(Some(Box::new(move |told| told.len() as i64 >= last)));
        row_done.send_replace(Some(Box::new(move |told| {
            told.last().map(sequence) >= Some(last)
        })));
        (events, last)
    };
    let reaping = async {
        reap(&mut system, &progress, &mut reaper).await;
        stop.store(true, Ordering::SeqCst);
    };
    let all = async {
        tokio::join!(
            counting,
            reaping,
            feed.run(&read, &progress[0], of_feed),
            history.run(&read, &progress[1], of_one),
            row.run(&read, &progress[2], of_row),
        )
    };
    let ((events, last), ..) = tokio::time::timeout(4 * PATIENCE, Box::pin(all))
        .await
        .expect("all is told");
    println!(
        "{events} events in {:?}, {} connections",
        started_at.elapsed(),
        feed.connections
    );

    assert!(feed.connections > KILLS / 2, "no result: it was not cut off");
    assert_eq!(feed.told.len(), events);
    is_as_in_the_log(&system, &feed.told);
    let sequences: Vec<i64> = (history.told.iter())
        .filter_map(|told| told.data["sequence"].as_i64())
        .collect();
    assert_eq!(sequences, (1..=last).collect::<Vec<_>>());
    let states: Vec<i64> = row.told.iter().map(sequence).collect();
    assert!(
        states.is_sorted_by(|a, b| a < b),
        "a state twice, or an older one: {states:?}"
    );
    let total = row.told.last().expect("a state").data["value"].as_i64();
    assert_eq!(total, Some(last - 1), "{:?}", row.told.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_those_who_follow() {
    let mut system = System::start("live-stop", PROGRAM).await;
    let started = system.write().post("/counters", &json!({})).await.expect(201);
    let token = started.header("consistency-token").expect("a token").to_owned();
    let counter = started.text("/aggregate").to_owned();
    system.read().get_after(&counter, &token).await.expect(200);
    let mut streams = Vec::new();
    for path in [counter.as_str(), "/events"] {
        let request = system.read().request(reqwest::Method::GET, path);
        let stream = request.header("Accept", "text/event-stream").send().await;
        streams.push(stream.expect("a stream"));
    }
    let asked_at = Instant::now();
    system.stop(Service::QueryApi).await;
    assert!(asked_at.elapsed() < STOP_MAX, "{:?}", asked_at.elapsed());
    for mut stream in streams {
        while let Some(_told) = stream.chunk().await.expect("an end as it should be") {}
    }
}
