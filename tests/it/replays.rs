//! A producer that publishes all of its commands again: nothing happens, and it is told the same again.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldline_core::CommandResult;
use foldline_kafka::KafkaSettings;
use foldline_tests::chance::Chance;
use foldline_tests::check::Topics;
use foldline_tests::producer::{Raw, Upstream, meta};
use foldline_tests::system::{Service, System};
use foldline_tests::{domains, log};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::PROGRAM;

const TYPES: [&str; 3] = ["restaurant.menu", "restaurant.customers", "restaurant.orders"];
const ORDERS: usize = 600;
/// Orders that are written at the same time.
const AT_ONCE: usize = 32;
const COMMANDS_MIN: usize = 3_000;
const KILLS: usize = 4;
/// Commands that are published once more when the local store was lost.
const SAMPLE: usize = 100;

/// The producer, with a way to each of the types.
type Producer = BTreeMap<&'static str, Arc<Upstream>>;

async fn publish(upstream: &Upstream, id: &str, body: &Value, key: Uuid) {
    upstream.send(meta(id, key), &upstream.command(body)).await;
}

/// What orders need; asked, so that it is there before they are.
async fn prepare(producer: &Producer) {
    let price = json!({"amount": 900, "currency": "EUR"});
    let commands = [
        (
            TYPES[0],
            "soup",
            json!({"type": "AddMenuItem", "description": "Soup", "price": price}),
        ),
        (
            TYPES[1],
            "ada",
            json!({"type": "SignUp", "email": "ada@example.org"}),
        ),
        (
            TYPES[1],
            "bob",
            json!({"type": "SignUp", "email": "ADA@example.org"}),
        ),
        (
            TYPES[1],
            "ada",
            json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"}),
        ),
    ];
    for (name, id, body) in commands {
        let upstream = &producer[name];
        upstream
            .ask(meta(id, Uuid::now_v7()), &upstream.command(&body))
            .await;
    }
}

/// Accepted and refused ones, and one that changes nothing.
fn order() -> [Value; 6] {
    let address = json!({"type": "SetDeliveryAddress", "address": "/customers/ada/addresses/home"});
    [
        json!({"type": "OpenOrder", "customer": "/customers/ada"}),
        json!({"type": "PlaceOrder"}),
        json!({"type": "AddItemToOrder", "menu_item": "/menu/items/soup", "quantity": 2}),
        address.clone(),
        address,
        json!({"type": "PlaceOrder"}),
    ]
}

async fn order_all(orders: &Arc<Upstream>) {
    let mut writing = JoinSet::new();
    for first in 0..AT_ONCE {
        let orders = Arc::clone(orders);
        writing.spawn(async move {
            for number in (first..ORDERS).step_by(AT_ONCE) {
                for body in order() {
                    publish(&orders, &format!("order-{number}"), &body, Uuid::now_v7()).await;
                }
            }
        });
    }
    while let Some(written) = writing.join_next().await {
        written.expect("Kafka takes the commands");
    }
}

/// Everything on the event topics, those that the engine keeps for itself included.
fn events(kafka: &KafkaSettings) -> Vec<(String, Vec<EventRecord>)> {
    let domains = domains();
    let topics = domains
        .aggregates()
        .iter()
        .map(|aggregate| kafka.topics().events(aggregate.info()));
    let read = |topic: String| {
        let records = log::read(kafka, &topic).into_iter();
        let whole = |record: log::Record| (record.partition, record.key, record.value, record.headers);
        let records = records.map(whole).collect();
        (topic, records)
    };
    topics.map(read).collect()
}

/// Partition, key, value, headers.
type EventRecord = (i32, String, Vec<u8>, Vec<(String, String)>);

/// The producer's command topics as they are, in an order that nobody intended.
fn shuffled(kafka: &KafkaSettings, chance: &mut Chance) -> Vec<(&'static str, Raw)> {
    let mut all = Vec::new();
    for name in TYPES {
        let topic = kafka
            .topics()
            .commands(foldline_tests::records::aggregate(name).info());
        all.extend(log::read(kafka, &topic).into_iter().map(|record| {
            let raw = Raw {
                partition: record.partition,
                key: Some(record.key.into_bytes()),
                value: Some(record.value),
                headers: Vec::new(),
            };
            (name, raw)
        }));
    }
    for last in (1..all.len()).rev() {
        all.swap(last, chance.below(last + 1));
    }
    all
}

async fn publish_again(producer: &Producer, records: &[(&'static str, Raw)]) {
    let mut writing = JoinSet::new();
    for (name, raw) in records.iter().cloned() {
        let upstream = Arc::clone(&producer[name]);
        writing.spawn(async move { upstream.send_raw(raw).await });
    }
    while let Some(written) = writing.join_next().await {
        written.expect("Kafka takes the commands");
    }
}

fn settled(kafka: &KafkaSettings) -> Vec<Topics> {
    tokio::task::block_in_place(|| Topics::read_settled(kafka, &domains()))
}

/// Results on the topics of the producer's commands.
fn results(kafka: &KafkaSettings) -> usize {
    let of_type = |name: &&str| {
        let aggregate = foldline_tests::records::aggregate(name);
        log::read(kafka, &kafka.topics().results(aggregate.info())).len()
    };
    tokio::task::block_in_place(|| TYPES.iter().map(of_type).sum())
}

/// How many results repeat a decision. Panics unless each says what the decision said.
fn repetitions(all: &[Topics]) -> usize {
    let mut count = 0;
    // Repetitions are the engine's own affair where the engine asks itself.
    let asked_by_others = |topics: &&Topics| !topics.aggregate.info().is_internal();
    for topics in all.iter().filter(asked_by_others) {
        let mut first: BTreeMap<Uuid, &CommandResult> = BTreeMap::new();
        for result in topics.results.iter().map(|result| &result.record) {
            if !result.replayed {
                let before = first.insert(result.command_id, result);
                assert!(before.is_none(), "decided twice: {result:?}");
                continue;
            }
            let decision = first[&result.command_id];
            let again = CommandResult {
                replayed: false,
                command_offset: decision.command_offset,
                ..result.clone()
            };
            assert_eq!(again, *decision);
            count += 1;
        }
    }
    count
}

/// What a folder takes up.
fn bytes_on_disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let size = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("an entry");
        // A store that is open may have removed it by now.
        let Ok(metadata) = entry.metadata() else {
            return 0;
        };
        if metadata.is_dir() {
            bytes_on_disk(&entry.path())
        } else {
            metadata.blocks() * 512
        }
    };
    entries.map(size).sum()
}

async fn time_of_start(system: &mut System) -> Duration {
    let started_at = Instant::now();
    system.restart(Service::CommandHandler).await;
    started_at.elapsed()
}

/// Loses the local store, and says what an id costs.
async fn lose_the_store(system: &mut System, ids: usize, empty: u64) {
    system.stop(Service::CommandHandler).await;
    let bytes = bytes_on_disk(&system.state_folder());
    let kept = time_of_start(system).await;
    system.stop(Service::CommandHandler).await;
    std::fs::remove_dir_all(system.state_folder()).expect("a state folder");
    let rebuilt = time_of_start(system).await;
    let per_id = |bytes: u64| bytes / ids as u64;
    println!(
        "{ids} ids: {bytes} bytes on disk, {empty} when it was empty: {} per id, {} beyond the empty store",
        per_id(bytes),
        per_id(bytes.saturating_sub(empty))
    );
    println!(
        "ready in {rebuilt:?} without the store, in {kept:?} with it: {:?} per id to rebuild it",
        rebuilt.saturating_sub(kept) / u32::try_from(ids).expect("so many")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_all_published_again_change_nothing_and_are_answered_the_same() {
    let mut chance = Chance::of_this_run("replays");
    let mut system = System::start("replays", PROGRAM).await;
    let kafka = system.kafka.clone();
    let empty = bytes_on_disk(&system.state_folder());
    let mut producer = Producer::new();
    for name in TYPES {
        producer.insert(name, Arc::new(Upstream::to(&kafka, name).await));
    }
    prepare(&producer).await;
    order_all(&producer["restaurant.orders"]).await;
    assert_eq!(repetitions(&settled(&kafka)), 0);
    let before = tokio::task::block_in_place(|| events(&kafka));
    let again = tokio::task::block_in_place(|| shuffled(&kafka, &mut chance));
    let commands = again.len();
    assert!(commands >= COMMANDS_MIN, "no result: {commands} commands");

    let (mut hits, mut sent) = (0, commands);
    for part in again.chunks(commands.div_ceil(KILLS)) {
        publish_again(&producer, part).await;
        sent += part.len();
        system.kill(Service::CommandHandler).await;
        hits += usize::from(results(&kafka) < sent);
        system.restart(Service::CommandHandler).await;
    }
    assert!(hits > 0, "no result: it was idle whenever it was killed");
    assert_eq!(repetitions(&settled(&kafka)), commands);
    let unchanged = || before == tokio::task::block_in_place(|| events(&kafka));
    assert!(unchanged(), "the event topics are not what they were");
    println!("{commands} commands published again, {hits} of {KILLS} kills in the middle of it");

    lose_the_store(&mut system, commands, empty).await;
    publish_again(&producer, &again[..SAMPLE]).await;
    assert_eq!(repetitions(&settled(&kafka)), commands + SAMPLE);
    assert!(unchanged(), "the event topics are not what they were");
}
