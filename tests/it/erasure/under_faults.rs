//! An erasure that is killed at each of its steps, while services are killed and commands for that person go on coming.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldline_core::{CommandResult, Outcome};
use foldline_kafka::{KafkaSettings, Receipt, failpoints};
use foldline_tests::client::{Answer, Client, eventually};
use foldline_tests::killed_at::KILLED_AT;
use foldline_tests::log;
use foldline_tests::producer::{Place, Upstream, meta};
use foldline_tests::system::{Service, System};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::guests::{Guest, canary};
use super::search::hits;
use super::{GONE_MAX, KEYS, broker, erase, key_of, said, send_a_dead_letter};
use crate::PROGRAM;

const GUESTS: usize = 6;
const SIGKILL: i32 = 9;
/// Between two commands over each door.
const PACE: Duration = Duration::from_millis(40);
/// Of the topics that an erasure touches.
const TOPICS: [&str; 5] = [
    KEYS,
    "restaurant.customers.commands",
    "restaurant.customers.commands.dlt",
    "restaurant.orders.commands",
    "restaurant.orders.commands.dlt",
];

/// A command that was asked for, with its canary in it.
struct Asked {
    id: Uuid,
    body: Value,
    canary: String,
    /// Over Kafka, where it lies; over HTTP, what was answered.
    place: Option<Place>,
    answer: Option<Answer>,
}

/// Commands for one person, over both doors, each with a canary of its own.
struct Traffic {
    is_over: Arc<AtomicBool>,
    running: JoinHandle<Vec<Asked>>,
}

impl Traffic {
    fn begin(write: Client, customers: Arc<Upstream>, id: String) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let running = tokio::spawn(async move {
            let mut asked = Vec::new();
            let mut pace = tokio::time::interval(PACE);
            while !until.load(Ordering::SeqCst) {
                pace.tick().await;
                asked.push(by_http(&write, &id).await);
                asked.push(by_kafka(&customers, &id).await);
            }
            asked
        });
        Self { is_over, running }
    }

    async fn end(self) -> Vec<Asked> {
        self.is_over.store(true, Ordering::SeqCst);
        self.running.await.expect("the traffic goes on")
    }
}

fn new_address() -> (String, Value) {
    let canary = canary("lane");
    let address = json!({"type": "AddAddress", "nickname": canary, "location": format!("2 {canary} St")});
    (canary, address)
}

async fn by_http(write: &Client, customer: &str) -> Asked {
    let ((canary, body), id) = (new_address(), Uuid::new_v4());
    let answer = post(write, customer, id, &body).await;
    Asked {
        id,
        body,
        canary,
        place: None,
        answer,
    }
}

/// `None` while there is nobody to answer.
async fn post(write: &Client, customer: &str, id: Uuid, body: &Value) -> Option<Answer> {
    let path = format!("/customers/{customer}/commands");
    let request = write.request(Method::POST, &path).json(body);
    let request = request.header("Idempotency-Key", format!("\"{id}\""));
    let answer = write.try_send(request).await.ok()?;
    matches!(answer.status, 200 | 409).then_some(answer)
}

/// A change of email, so that unique values are asked for all the time.
async fn by_kafka(customers: &Upstream, customer: &str) -> Asked {
    let (canary, id) = (canary("late"), Uuid::new_v4());
    let body = json!({"type": "ChangeEmail", "email": format!("{canary}@example.org")});
    let command = customers.command(&body);
    let place = customers.send(meta(customer, id), &command).await;
    Asked {
        id,
        body,
        canary,
        place: Some(place),
        answer: None,
    }
}

/// Erases, and is killed where it comes to this point.
async fn erase_killed_at(
    system: &mut System,
    path: &str,
    point: &str,
    killed: Option<Service>,
) -> ExitStatus {
    let kafka = &system.kafka;
    let mut command = Command::new(PROGRAM);
    command.args(["erase", path, "--yes", "--json"]);
    command.args(["--bootstrap-servers", &kafka.bootstrap_servers]);
    command.args(["--schema-registry", &kafka.schema_registry]);
    command.args(["--topic-prefix", &kafka.topic_prefix]);
    command.env(KILLED_AT, format!("{point}:1")).stdout(Stdio::null());
    let mut erasing = command.spawn().expect("the program runs");
    if let Some(service) = killed {
        system.kill(service).await;
        system.launch(service);
    }
    let ended = tokio::task::spawn_blocking(move || erasing.wait()).await;
    ended.expect("it is waited for").expect("it ends")
}

/// What topics have of their own.
async fn settings(kafka: &KafkaSettings) -> Vec<BTreeMap<String, String>> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().expect("an administrator");
    let topics = TOPICS.map(|topic| format!("{}{topic}", kafka.topic_prefix));
    let asked: Vec<_> = topics
        .iter()
        .map(|topic| ResourceSpecifier::Topic(topic))
        .collect();
    let described = admin.describe_configs(&asked, &AdminOptions::new()).await;
    let own = described.expect("Kafka answers").into_iter().map(|topic| {
        let entries = topic.expect("the topic is there").entries.into_iter();
        let own = entries.filter(|entry| entry.source == ConfigSource::DynamicTopic);
        own.filter_map(|entry| Some((entry.name, entry.value?))).collect()
    });
    own.collect()
}

/// Learns what became of each command. Whoever was not answered asks again.
async fn outcomes(system: &System, customers: &Upstream, guest: &Guest, asked: &[Asked]) -> Counts {
    let mut counts = Counts::default();
    for asked in asked {
        match asked.place {
            Some(place) => counts.note(&customers.outcome(place).await),
            None => {
                let answer = match &asked.answer {
                    Some(answer) => answer.clone(),
                    None => {
                        let asked = post(&system.write(), &guest.id, asked.id, &asked.body).await;
                        asked.expect("it is answered now")
                    }
                };
                match answer.status {
                    200 => counts.accepted += 1,
                    _ => counts.refused(answer.text("/type")),
                }
            }
        }
    }
    counts
}

#[derive(Debug, Default)]
struct Counts {
    accepted: u64,
    refused: u64,
}

impl Counts {
    fn note(&mut self, result: &CommandResult) {
        match result.decided() {
            Outcome::Accepted(events) => self.accepted += events.len() as u64,
            Outcome::Refused(refusal) => self.refused(&refusal.code),
        }
    }

    fn refused(&mut self, code: &str) {
        assert!(code.ends_with("subject-erased"), "{code}");
        self.refused += 1;
    }
}

/// Where the records of a topic lie that have a value sealed by this key.
fn sealed_by(kafka: &KafkaSettings, key: &str) -> BTreeSet<(String, i32, i64)> {
    let topics = ["restaurant.customers.events", "restaurant.orders.events"];
    let topics = topics.map(|topic| format!("{}{topic}", kafka.topic_prefix));
    let sealed = topics.into_iter().flat_map(|topic| {
        let records = log::read(kafka, &topic).into_iter();
        let sealed = records.filter(|record| memchr::memmem::find(&record.value, key.as_bytes()).is_some());
        let places = sealed.map(|record| (topic.clone(), record.partition, record.offset));
        places.collect::<Vec<_>>()
    });
    sealed.collect()
}

/// The receipt says what the topics say.
fn is_right(receipt: &Receipt, kafka: &KafkaSettings, guest: &Guest, accepted: u64) {
    assert!(
        receipt.was_erased && receipt.in_the_clear.is_empty(),
        "{receipt:?}"
    );
    assert_eq!(
        (receipt.events, receipt.aggregates),
        (guest.events() + accepted, 2)
    );
    let told = receipt.sealed.iter().filter(|of| of.topic.ends_with(".events"));
    let told = told.flat_map(|of| {
        let offsets = of.offsets.iter();
        offsets.map(|offset| (of.topic.clone(), of.partition, *offset))
    });
    assert_eq!(told.collect::<BTreeSet<_>>(), sealed_by(kafka, &receipt.key_id));
    for removed in &receipt.removed {
        let records = log::read(kafka, &removed.topic);
        let mut left = records
            .iter()
            .filter(|record| record.partition == removed.partition);
        assert!(left.all(|record| record.offset >= removed.to), "{removed:?}");
    }
}

async fn is_shown_as_erased(read: &Client, guest: &Guest) -> Option<()> {
    let customer = read.get(&format!("/customers/{}", guest.id)).await.expect(200);
    let order = read.get(&format!("/orders/{}", guest.order)).await.expect(200);
    let addresses = customer.body["addresses"].as_array()?;
    let is_erased = |address: &Value| address["nickname"] == "erased" && address["location"] == "erased";
    let all = addresses
        .iter()
        .chain([&order.body["delivery_address"]])
        .all(is_erased);
    (customer.text("/email") == "erased" && all).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_at_each_of_its_steps_ends_as_if_it_had_been_done_once() {
    let (_stack, kafka, broker) = broker("erasure-killed").await;
    let mut system = System::start_on(kafka, "erasure-killed", PROGRAM).await;
    let guests = Guest::many(&system, GUESTS).await;
    let guest = &guests[0];
    send_a_dead_letter(&system, guest).await;
    let (key, before) = (key_of(&system.kafka, guest), settings(&system.kafka).await);
    let path = format!("/customers/{}", guest.id);
    let customers = Arc::new(Upstream::to(&system.kafka, "restaurant.customers").await);
    let first = by_http(&system.write(), &guest.id).await;
    let traffic = Traffic::begin(system.write(), Arc::clone(&customers), guest.id.clone());

    let killed = [Some(Service::CommandHandler), Some(Service::Projector), None];
    for (point, killed) in failpoints::OF_AN_ERASURE
        .into_iter()
        .zip(killed.into_iter().cycle())
    {
        let ended = erase_killed_at(&mut system, &path, point, killed).await;
        assert_eq!(ended.signal(), Some(SIGKILL), "it does not come to {point}");
    }
    for service in Service::ALL {
        system.wait_until_ready(service).await;
    }
    let mut asked = traffic.end().await;
    asked.push(first);
    let counts = outcomes(&system, &customers, guest, &asked).await;
    assert!(counts.accepted > 0 && counts.refused > 20, "{counts:?}");
    let receipt = erase(&system, &path);

    is_right(&receipt, &system.kafka, guest, counts.accepted);
    assert_eq!(settings(&system.kafka).await, before, "settings are left behind");
    let of_traffic = asked.iter().map(|asked| asked.canary.clone());
    let canaries: Vec<String> = guest
        .canaries()
        .into_iter()
        .chain(of_traffic)
        .chain([key])
        .collect();
    let folders = [broker, system.folder().to_owned()];
    eventually("all of it is gone", GONE_MAX, || {
        let (folders, canaries) = (folders.clone(), canaries.clone());
        async move {
            let found = tokio::task::spawn_blocking(move || hits(&folders, &canaries));
            found.await.unwrap().is_empty().then_some(())
        }
    })
    .await;
    let read = system.read();
    eventually("it is shown as erased", GONE_MAX, || {
        is_shown_as_erased(&read, guest)
    })
    .await;
    said(&system, &["verify", "--json"]);
    for other in &guests[1..] {
        other.is_shown(&system).await;
    }
    // Whatever was asked for of them while it was erased: every email is free.
    let emails = asked.iter().filter_map(|asked| asked.body["email"].as_str());
    for email in emails.chain([guest.email.as_str()]) {
        system
            .write()
            .post("/customers", &json!({"email": email}))
            .await
            .expect(201);
    }
}
