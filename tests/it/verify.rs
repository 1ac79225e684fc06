//! `foldline verify`: whatever was done to a log is found, where it was done, and nothing in one that was left alone.

use std::path::Path;
use std::process::{Command, Output};

use foldline_core::{Domains, FindingKind, LogKind};
use foldline_kafka::{KafkaSettings, LogReport};
use foldline_tests::copied::Copied;
use foldline_tests::{domains, stack};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::engine::{send, start};

const TYPE: &str = "counter.counters";
const COUNTERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn run(kafka: &KafkaSettings, more: &[&str]) -> Output {
    let own = [
        "verify",
        "--bootstrap-servers",
        &kafka.bootstrap_servers,
        "--schema-registry",
        &kafka.schema_registry,
        "--topic-prefix",
        &kafka.topic_prefix,
    ];
    Command::new(PROGRAM).args(own).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|said| String::from_utf8_lossy(said))
        .join("\n")
}

fn report(kafka: &KafkaSettings, more: &[&str]) -> LogReport {
    let output = run(kafka, &[&["--json", "--aggregate", TYPE], more].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

/// Every counter counts, some commands are refused, and each decision has up to three events.
async fn count(kafka: &KafkaSettings, domains: &Domains, rounds: i32) {
    let folder = stack::folder().join(stack::unique_name("state"));
    let counters = domains.aggregate("counter", "counters").unwrap();
    let engine = start(kafka, &folder, domains).await;
    let gateway = engine.gateway();
    let counting = COUNTERS.map(|id| {
        let (gateway, counters) = (gateway.clone(), counters.clone());
        tokio::spawn(async move {
            send(&gateway, &counters, id, json!({"type": "StartCounter"})).await;
            for round in 0..rounds {
                let by = if round % 5 == 4 { 0 } else { 1 + round % 4 };
                let step = json!({"type": "IncrementCounter", "by": by});
                let body = (0..=round % 3).map(|_| step.clone()).collect();
                send(&gateway, &counters, id, Value::Array(body)).await;
            }
        })
    });
    for counter in counting {
        counter.await.unwrap();
    }
    drop(gateway);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_left_alone_has_no_finding_while_it_is_written_either() {
    let domains = domains();
    let kafka = stack::kafka("verified", &domains).await;
    let writing = {
        let (kafka, domains) = (kafka.clone(), domains.clone());
        tokio::spawn(async move { count(&kafka, &domains, 250).await })
    };
    let mut during = 0;
    while !writing.is_finished() {
        let kafka = kafka.clone();
        let output = tokio::task::spawn_blocking(move || run(&kafka, &[]))
            .await
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        during += 1;
    }
    writing.await.unwrap();
    assert!(during > 1, "it was verified {during} times while it was written");

    let output = run(&kafka, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let all = report(&kafka, &[]);
    assert_eq!((all.types[0].aggregates, all.types[0].unchained), (8, 0));
    assert!(all.types[0].events > 3000, "{} events", all.types[0].events);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_done_to_a_log_is_found_where_it_was_done() {
    let domains = domains();
    let kafka = stack::kafka("seeded", &domains).await;
    count(&kafka, &domains, 9).await;
    let info = domains.aggregate("counter", "counters").unwrap().info();
    let whole = Copied::of(&kafka, info);

    // A copy is as good as what it was copied from.
    let copy = stack::kafka("copy", &domains).await;
    whole.write(&copy, info);
    let untouched = report(&copy, &[]);
    assert_eq!(untouched.types[0].findings, []);

    let mut log = whole.clone();
    let mut expected = Vec::new();
    let mut expect = |kind, log, partition, offset, id: &str, sequence| {
        let sequence = i64::try_from(sequence).unwrap();
        expected.push((kind, log, partition, offset, id.to_owned(), sequence));
    };
    // Edit a payload; its last byte is the amount.
    let (partition, places) = log.events_of("a");
    *log.events[partition][places[3]].value.last_mut().unwrap() += 2;
    expect(
        FindingKind::Changed,
        LogKind::Events,
        partition,
        places[3],
        "a",
        4,
    );
    // Edit the newest.
    let (partition, places) = log.events_of("b");
    let newest = *places.last().unwrap();
    *log.events[partition][newest].value.last_mut().unwrap() += 2;
    expect(
        FindingKind::Changed,
        LogKind::Events,
        partition,
        newest,
        "b",
        places.len(),
    );
    // Exchange two. After this only what moves no event that was told of: at the ends of partitions, by hand.
    let (partition, places) = log.events_of("c");
    log.events[partition].swap(places[5], places[6]);
    expect(
        FindingKind::Reordered,
        LogKind::Events,
        partition,
        places[6],
        "c",
        6,
    );
    // Repeat one, at the end of its partition.
    let (partition, places) = log.events_of("d");
    let again = log.events[partition][places[2]].clone();
    log.events[partition].push(again);
    let end = log.events[partition].len() - 1;
    expect(FindingKind::Repeated, LogKind::Events, partition, end, "d", 3);
    let tampered = stack::kafka("tampered", &domains).await;
    log.write(&tampered, info);
    assert_eq!(found(&tampered), expected);
    let output = run(&tampered, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("changed") && told.contains("event 4 of a: "),
        "{told}"
    );
    assert!(
        told.contains("the log is not as it was written: 4 findings"),
        "{told}"
    );

    // Drop one in the middle, and the last ones of another aggregate.
    let mut log = whole.clone();
    let (partition, places) = log.events_of("e");
    log.events[partition].remove(places[4]);
    let next = places[5] - 1;
    let (cut, ends) = log.events_of("f");
    for place in ends.iter().rev().take(2) {
        log.events[cut].remove(*place);
    }
    let tampered = stack::kafka("dropped", &domains).await;
    log.write(&tampered, info);
    let dropped = found(&tampered);
    let missing = |id: &str| -> Vec<_> {
        let of = dropped.iter().filter(|found| found.4 == id);
        of.map(|found| (found.0, found.1, found.5)).collect()
    };
    assert_eq!(missing("e"), [(FindingKind::Missing, LogKind::Events, 5)]);
    let last = i64::try_from(ends.len()).unwrap();
    let by_results = |sequence| (FindingKind::Missing, LogKind::Results, sequence);
    assert_eq!(missing("f"), [by_results(last - 1), by_results(last)]);
    assert_eq!(dropped.len(), 3, "{dropped:?}");
    // The event after the gap shows it; the cut may have moved it.
    let shown = dropped.iter().find(|found| found.4 == "e").unwrap();
    assert!(shown.3 <= next && shown.2 == partition, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_earlier_than_it_did_is_found_by_an_earlier_report() {
    let domains = domains();
    let kafka = stack::kafka("longer", &domains).await;
    count(&kafka, &domains, 3).await;
    let info = domains.aggregate("counter", "counters").unwrap().info();
    let whole = Copied::of(&kafka, info);
    let copy = stack::kafka("anchored", &domains).await;
    whole.write(&copy, info);
    let kept = stack::folder().join(stack::unique_name("report.json"));
    let before = report(&copy, &[]);
    std::fs::write(&kept, serde_json::to_string(&before).unwrap()).unwrap();
    let expect = ["--expect", path(&kept)];
    assert!(run(&copy, &expect).status.success());

    // The last command of each partition has never been, in both topics.
    let mut log = whole.clone();
    for (events, results) in log.events.iter_mut().zip(&mut log.results) {
        if let Some(result) = results.pop() {
            let id = result.key;
            let command = |record: &foldline_tests::log::Record| record.header("ce_id").map(str::to_owned);
            let named = String::from_utf8_lossy(&result.value).into_owned();
            events.retain(|event| {
                event.key != id || !command(event).is_some_and(|event| named.contains(&event))
            });
        }
    }
    let shorter = stack::kafka("shorter", &domains).await;
    log.write(&shorter, info);
    assert!(
        run(&shorter, &[]).status.success(),
        "nothing in it says that there was more"
    );
    let cut = report(&shorter, &expect);
    let found = &cut.types[0].findings;
    assert!(
        !found.is_empty() && found.iter().all(|found| found.kind == FindingKind::Cut),
        "{found:?}"
    );
    let output = run(&shorter, &expect);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

/// In the order in which they were seeded: by aggregate.
fn found(kafka: &KafkaSettings) -> Vec<(FindingKind, LogKind, usize, usize, String, i64)> {
    let report = report(kafka, &[]);
    let mut found: Vec<_> = report.types[0]
        .findings
        .iter()
        .map(|found| {
            let id = found.aggregate_id.as_ref().unwrap().to_string();
            let place = (
                usize::try_from(found.partition).unwrap(),
                usize::try_from(found.offset).unwrap(),
            );
            (
                found.kind,
                found.log,
                place.0,
                place.1,
                id,
                found.sequence.unwrap(),
            )
        })
        .collect();
    found.sort_by_key(|found| (found.4.clone(), found.5));
    found
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}
