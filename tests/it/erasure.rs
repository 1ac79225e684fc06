//! Who is erased is found nowhere any more: canaries in all that is written, before and after.

mod guests;
mod search;
mod under_faults;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use foldline_core::{AggregateId, AnyEvent, EventMeta, Timestamp, partition_of};
use foldline_domains::restaurant::customers::{Customer, CustomerEvent};
use foldline_kafka::{KafkaSettings, Receipt, wire_format};
use foldline_stack::Stack;
use foldline_tests::client::eventually;
use foldline_tests::producer::{Raw, Upstream, schema_id};
use foldline_tests::system::{Service, System};
use foldline_tests::{domains, log, rows, stack};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use uuid::Uuid;

use self::guests::Guest;
use self::search::{hits, the_only_hits, values_of};
use crate::PROGRAM;

const GUESTS: usize = 50;
/// Who is erased. The first one has a dead letter as well.
const ERASED: [usize; 3] = [0, 7, 31];
/// Kafka looks for what can go once a second here, and takes a moment to delete it.
const GONE_MAX: Duration = Duration::from_secs(90);
const KEYS: &str = "restaurant.keys";
const VIEWS: [&str; 3] = ["/customers", "/orders", "/menu/items"];

/// A broker that is quick to remove what it may, and compresses nothing.
async fn broker(test: &str) -> (Stack, KafkaSettings, PathBuf) {
    let mut data = PathBuf::new();
    let (stack, kafka) = stack::own(test, |options| {
        data.clone_from(&options.data);
        let lines = [
            ("log.retention.check.interval.ms", "1000"),
            ("log.segment.delete.delay.ms", "200"),
            ("log.cleaner.backoff.ms", "500"),
            // What is compressed cannot be searched.
            ("compression.type", "uncompressed"),
        ];
        options.broker_config = lines
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    })
    .await;
    (stack, kafka, data)
}

/// Runs a command on the system's Kafka to its end.
fn run(system: &System, words: &[&str]) -> Output {
    let kafka = &system.kafka;
    let mut command = Command::new(PROGRAM);
    command
        .args(words)
        .args(["--bootstrap-servers", &kafka.bootstrap_servers]);
    command.args([
        "--schema-registry",
        &kafka.schema_registry,
        "--topic-prefix",
        &kafka.topic_prefix,
    ]);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that succeeds, and returns what it says.
fn said(system: &System, words: &[&str]) -> String {
    let output = run(system, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Erases the person at a path.
fn erase(system: &System, path: &str) -> Receipt {
    let query_api = system.url(Service::QueryApi);
    let output = run(
        system,
        &["erase", path, "--yes", "--json", "--query-api", &query_api],
    );
    assert!(output.status.success(), "{path}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a receipt")
}

/// The text of the key in the topic of keys.
fn key_of(kafka: &KafkaSettings, guest: &Guest) -> String {
    let records = log::read(kafka, &format!("{}{KEYS}", kafka.topic_prefix));
    let own = records
        .iter()
        .find(|record| record.key == format!("customers/{}", guest.id));
    let record: Value = serde_json::from_slice(&own.expect("a key").value).unwrap();
    record["key"]
        .as_str()
        .expect("a key that is not erased")
        .to_owned()
}

async fn send_a_dead_letter(system: &System, of: &Guest) {
    let upstream = Upstream::to(&system.kafka, "restaurant.customers").await;
    let raw = Raw {
        key: Some(of.id.clone().into_bytes()),
        value: Some(format!("SignUp;{};{}", of.email, of.location).into_bytes()),
        ..Raw::default()
    };
    upstream.send_raw(raw).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_is_found_nowhere_and_everything_else_is_as_it_was() {
    let (_stack, kafka, broker) = broker("erasure").await;
    let mut system = System::start_on(kafka, "erased", PROGRAM).await;
    let guests = Guest::many(&system, GUESTS).await;
    send_a_dead_letter(&system, &guests[ERASED[0]]).await;
    // At a stop, snapshots are written.
    system.stop(Service::CommandHandler).await;
    let kept = values_of(&system.state_folder());
    system.restart(Service::CommandHandler).await;
    let folders = [broker, system.folder().to_owned()];

    // What is searched can be found, and lies only where producers wrote it.
    let canaries: Vec<String> = guests.iter().flat_map(Guest::canaries).collect();
    the_only_hits(
        &folders,
        &canaries,
        &["restaurant.customers.commands", "restaurant.orders.commands"],
    );
    assert!(kept.len() > 10_000, "{} bytes in the state store", kept.len());
    for guest in &guests {
        let canaries = guest.canaries();
        let found = canaries
            .iter()
            .find(|text| memchr::memmem::find(&kept, text.as_bytes()).is_some());
        assert_eq!(found, None, "in the clear in the state store");
        guest.is_shown(&system).await;
    }

    let keys: Vec<String> = ERASED.map(|index| key_of(&system.kafka, &guests[index])).into();
    let before = rows::dump(&system.read(), &VIEWS).await;
    let receipts: Vec<Receipt> = ERASED
        .map(|index| erase(&system, &format!("/customers/{}", guests[index].id)))
        .into();
    let again = erase(&system, &format!("/customers/{}", guests[ERASED[0]].id));
    assert!(again.was_erased && again.released.is_empty(), "{again:?}");
    for (receipt, index) in receipts.iter().zip(ERASED) {
        let guest = &guests[index];
        assert!(
            receipt.subject.ends_with(&guest.id) && !receipt.was_erased,
            "{receipt:?}"
        );
        assert_eq!(
            (receipt.released.len(), receipt.aggregates),
            (1, 2),
            "{receipt:?}"
        );
        assert_eq!(
            (&receipt.in_the_clear, receipt.events),
            (&Vec::new(), guest.events()),
            "{receipt:?}"
        );
        assert!(!receipt.sealed.is_empty(), "{receipt:?}");
        let rows = [
            format!("/customers/{}", guest.id),
            format!("/orders/{}", guest.order),
        ];
        assert_eq!(
            (&receipt.rows[..], receipt.rows_were_asked_for),
            (&rows[..], true)
        );
    }
    assert!(
        receipts[0]
            .removed
            .iter()
            .any(|of| of.topic.ends_with("customers.commands.dlt")),
        "{receipts:?}"
    );

    // Nowhere, and neither is the key.
    let gone = |what: Vec<String>| {
        let folders = folders.clone();
        async move {
            let found = tokio::task::spawn_blocking(move || hits(&folders, &what))
                .await
                .unwrap();
            found.is_empty().then_some(())
        }
    };
    for (index, key) in ERASED.into_iter().zip(keys) {
        let canaries = [guests[index].canaries(), vec![key]].concat();
        eventually(&format!("guest {index} is gone"), GONE_MAX, || {
            gone(canaries.clone())
        })
        .await;
    }

    // Everybody else is shown as before; those are shown as erased.
    let after = rows::dump(&system.read(), &VIEWS).await;
    assert_eq!(after.len(), before.len());
    for (index, guest) in guests.iter().enumerate() {
        match ERASED.contains(&index) {
            true => guest.is_shown_as_erased(&system).await,
            false => guest.is_shown(&system).await,
        }
    }
    let tools = [
        said(&system, &["verify", "--json"]),
        said(
            &system,
            &[
                "dlq",
                "list",
                "--all",
                "--json",
                "--data-dir",
                &system.views_folder().display().to_string(),
            ],
        ),
        serde_json::to_string(&receipts).unwrap(),
        serde_json::to_string(&after).unwrap(),
    ];
    for canary in ERASED.iter().flat_map(|index| guests[*index].canaries()) {
        assert!(tools.iter().all(|said| !said.contains(&canary)), "{canary}");
    }

    guests[ERASED[1]].is_refused(&system).await;
    // The email is free.
    let email = &guests[ERASED[1]].email;
    let taken = system.write().post("/customers", &json!({"email": email})).await;
    let taken = taken.expect(201);
    let token = taken.text("/consistency_token");
    system
        .read()
        .get_after(taken.text("/aggregate"), token)
        .await
        .expect(200);

    // From nothing but the log, everything is the same.
    let before = rows::dump(&system.read(), &VIEWS).await;
    for service in Service::ALL {
        system.stop(service).await;
    }
    for folder in [system.state_folder(), system.views_folder()] {
        std::fs::remove_dir_all(folder).unwrap();
    }
    for service in Service::ALL {
        system.restart(service).await;
    }
    eventually("all rows are there again", GONE_MAX, || async {
        let rows = rows::list(&system.read(), "/customers?limit=500").await;
        (rows.len() == GUESTS + 1).then_some(())
    })
    .await;
    eventually("all rows are as they were", GONE_MAX, || async {
        (rows::dump(&system.read(), &VIEWS).await == before).then_some(())
    })
    .await;
    guests[ERASED[2]].is_refused(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_not_erased() {
    let system = System::start("erase-nobody", PROGRAM).await;
    let refused = |path| text(&run(&system, &["erase", path, "--yes"]).stderr);
    let complaint = refused("/customers/nobody");
    assert!(
        complaint.contains("nothing is known of customers/nobody"),
        "{complaint}"
    );
    let complaint = refused("/menu/items/tea");
    assert!(complaint.contains("/customers/{id}"), "{complaint}");
}

/// The first event of a customer, as an earlier version has written it: nothing in it is sealed.
async fn write_in_the_clear(kafka: &KafkaSettings, id: &str, email: &str) {
    let domains = domains();
    let customers = domains.aggregate("restaurant", "customers").unwrap();
    let topic = kafka.topics().events(customers.info());
    let event = AnyEvent::new::<Customer>(CustomerEvent::CustomerSignedUp {
        email: email.into(),
        token: "t".to_owned(),
    });
    let id: AggregateId = id.parse().unwrap();
    let mut meta = EventMeta {
        event_id: Uuid::now_v7(),
        event_type: String::new(),
        aggregate_id: id.clone(),
        sequence: 1,
        revision: 1,
        occurred_at: Timestamp(1),
        recorded_at: Timestamp(1),
        command_id: Uuid::now_v7(),
        correlation_id: "c".to_owned(),
        causation_id: "c".to_owned(),
        actor: None,
        index: 0,
        count: 1,
        command_offset: -1,
        previous_hash: None,
        written_revision: 1,
    };
    let mut datum = Vec::new();
    customers.encode_event(&mut meta, &event, &mut datum).unwrap();
    let value = wire_format(schema_id(kafka, &topic).await, &datum);
    let producer: FutureProducer = kafka.client().create().unwrap();
    let partition = partition_of(&id, stack::PARTITIONS);
    let record = FutureRecord::to(&topic)
        .partition(partition)
        .key(id.as_str())
        .payload(&value);
    producer
        .send(record, Duration::from_secs(10))
        .await
        .expect("Kafka takes a record");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_wrote_in_the_clear_is_read_and_its_erasure_fails_loudly() {
    let kafka = stack::kafka("in-the-clear", &domains()).await;
    write_in_the_clear(&kafka, "ada", "ada@example.org").await;
    let system = System::start_on(kafka, "in-the-clear", PROGRAM).await;
    let address = json!({"type": "AddAddress", "nickname": "home", "location": "1 Main St"});
    let added = system
        .write()
        .post("/customers/ada/commands", &address)
        .await
        .expect(200);
    let verified = system
        .write()
        .post(
            "/customers/ada/commands",
            &json!({"type": "VerifyEmail", "token": "t"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (
            added.body["sequence"].as_i64(),
            verified.body["sequence"].as_i64()
        ),
        (Some(2), Some(3))
    );
    let token = verified.header("consistency-token").expect("a token").to_owned();
    let row = system
        .read()
        .get_after("/customers/ada", &token)
        .await
        .expect(200);
    assert_eq!(
        (row.text("/email"), row.text("/addresses/0/location")),
        ("ada@example.org", "1 Main St")
    );

    let output = run(&system, &["erase", "/customers/ada", "--yes", "--json"]);
    // That of the event that was there, and of the one that names the same value again.
    assert!(
        text(&output.stderr).contains("2 events of restaurant.customers/ada"),
        "{output:?}"
    );
    let receipt: Receipt = serde_json::from_slice(&output.stdout).expect("a receipt");
    assert_eq!(
        (receipt.events, receipt.in_the_clear[0].offsets.len()),
        (3, 2),
        "{receipt:?}"
    );
    let row = system.read().get("/customers/ada").await.expect(200);
    assert_eq!(
        (row.text("/email"), row.text("/addresses/0/location")),
        ("ada@example.org", "erased")
    );
    assert!(
        row.header("etag").is_some_and(|etag| etag.ends_with("-erased\"")),
        "{row:?}"
    );
}
