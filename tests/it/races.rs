//! Many who want the same: the next sequence of one aggregate, and one value that only one may have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldline_core::CommandMeta;
use foldline_tests::chance::Chance;
use foldline_tests::check::{self, Topics};
use foldline_tests::client::{Client, eventually};
use foldline_tests::domains;
use foldline_tests::load::{Asked, Entry, Expected, Load, Manner, Verdict};
use foldline_tests::producer::{Upstream, meta};
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::PROGRAM;
use crate::pace::Pace;

const WRITERS: usize = 64;
/// Commands of each writer.
const TRIES: usize = 20;

/// What a writer was told of a command.
#[derive(Debug)]
struct Told {
    accepted: bool,
    expected: i64,
    sequence: i64,
}

/// A way to write with an expected sequence.
#[derive(Clone)]
enum Door {
    Http(Client),
    Kafka(Arc<Upstream>),
}

impl Door {
    async fn increment(&self, key: Uuid, expected: i64) -> Told {
        let body = json!({"type": "IncrementCounter", "by": 1});
        let (accepted, sequence) = match self {
            Self::Http(write) => {
                let request = write.request(Method::POST, "/counters/contested/commands");
                let request = request
                    .header("Idempotency-Key", key.to_string())
                    .header("If-Match", format!("\"{expected}\""));
                let answer = write.send(request.json(&body)).await;
                if answer.status != 200 {
                    let refused = answer.clone().expect_problem(412, "sequence-mismatch");
                    assert_eq!(refused.header("etag"), Some(&*etag(&refused.body)));
                }
                let sequence = answer.body["sequence"].as_i64().expect("a sequence");
                (answer.status == 200, sequence)
            }
            Self::Kafka(upstream) => {
                let meta = CommandMeta {
                    expected_sequence: Some(expected),
                    ..meta("contested", key)
                };
                let result = upstream.ask(meta, &upstream.command(&body)).await;
                (result.outcome == "accepted", result.sequence)
            }
        };
        Told {
            accepted,
            expected,
            sequence,
        }
    }
}

fn etag(body: &Value) -> String {
    format!("\"{}\"", body["sequence"])
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_each_sequence_has_one_and_the_others_are_told_the_true_one() {
    let system = System::start("writers", PROGRAM).await;
    let upstream = Arc::new(Upstream::to(&system.kafka, "counter.counters").await);
    let start = json!({"type": "StartCounter"});
    let write = system.write();
    write
        .post("/counters/contested/commands", &start)
        .await
        .expect(201);

    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let door = if number % 2 == 0 {
            Door::Http(write.clone())
        } else {
            Door::Kafka(Arc::clone(&upstream))
        };
        writers.spawn(async move {
            let (mut seen, mut all) = (1, Vec::new());
            for _ in 0..TRIES {
                let key = Uuid::now_v7();
                let told = door.increment(key, seen).await;
                seen = told.sequence;
                all.push((key, told));
            }
            all
        });
    }
    let told: BTreeMap<Uuid, Told> = writers.join_all().await.into_iter().flatten().collect();
    let accepted = told.values().filter(|told| told.accepted).count();
    println!("{WRITERS} writers: {accepted} of {} accepted", told.len());

    let all = tokio::task::block_in_place(|| Topics::read_settled(&system.kafka, &domains()));
    let is_it = |topics: &&Topics| topics.aggregate.info().qualified_name() == "counter.counters";
    let counters = all.iter().find(is_it).expect("it is installed");
    // In the order of the log: the true sequence at the moment of each command.
    let mut sequence = 0;
    for result in counters.results.iter().map(|result| &result.record) {
        sequence += i64::from(result.outcome == "accepted");
        assert_eq!(result.sequence, sequence, "{result:?}");
        if let Some(told) = told.get(&result.command_id) {
            assert_eq!(told.sequence, sequence, "{told:?}");
            let at_that_moment = sequence - i64::from(told.accepted);
            assert_eq!(told.accepted, told.expected == at_that_moment, "{told:?}");
        }
    }
    assert_eq!(counters.results.len(), told.len() + 1);
    assert_eq!(usize::try_from(sequence).unwrap(), accepted + 1);
    let events = counters.events.iter().map(|event| event.record.meta.sequence);
    assert_eq!(events.collect::<Vec<_>>(), (1..=sequence).collect::<Vec<_>>());
    assert!(accepted < told.len(), "no result: nobody was too late");
}

const CLIENTS: usize = 64;
const EMAILS: usize = 1_000;
/// A bound, not a measure: on two idle cores it takes two minutes.
const TIME_MAX: Duration = Duration::from_secs(900);
/// Of the emails that nobody may have, so many are asked for in the end.
const SPARES: usize = 50;
/// Emails that are raced for at the same time.
const AT_ONCE: usize = 10;
const KILLS: usize = 5;

fn sign_up(key: Uuid, customer: &str, email: &str, expected: Expected) -> Asked {
    Asked {
        key,
        path: format!("/customers/{customer}/commands"),
        body: json!({"type": "SignUp", "email": email}),
        expected,
    }
}

/// The email as this client writes it: it is one and the same.
fn spelled(number: usize, client: usize) -> String {
    let email = format!("race{number}@example.org");
    if client.is_multiple_of(2) {
        email
    } else {
        email.to_uppercase()
    }
}

/// One who has an email asks for another one by a command that is refused: the other one stays free.
fn squat(key: Uuid, number: usize) -> Asked {
    let refused = Expected::Refusal("customer-already-signed-up");
    sign_up(key, "squatter", &spare(number), refused)
}

/// One who has an email takes another one, and gives up the one that it had: that one is free again.
fn move_on(key: Uuid, number: usize) -> Asked {
    Asked {
        body: json!({"type": "ChangeEmail", "email": held(number)}),
        ..sign_up(key, "mover", "", Expected::Event("CustomerEmailChanged"))
    }
}

fn held(number: usize) -> String {
    format!("held{number}@example.org")
}

fn spare(number: usize) -> String {
    format!("spare{number}@example.org")
}

/// All clients at once, each for each of these emails.
async fn round(load: &Arc<Load>, emails: std::ops::Range<usize>, chance: &mut Chance) {
    let mut asked = vec![move_on(chance.uuid(), emails.end)];
    for number in emails {
        asked.push(squat(chance.uuid(), number));
        for client in 0..CLIENTS {
            let customer = format!("customer-{number}-{client}");
            let either = Expected::EventUnless("email-taken");
            asked.push(sign_up(
                chance.uuid(),
                &customer,
                &spelled(number, client),
                either,
            ));
        }
    }
    let start = Arc::new(Barrier::new(asked.len()));
    let mut racing = JoinSet::new();
    for asked in asked {
        let (load, start) = (Arc::clone(load), Arc::clone(&start));
        racing.spawn(async move {
            start.wait().await;
            load.ask(asked, Manner::default()).await;
        });
    }
    racing.join_all().await;
}

/// Kills the command handler in the middle of the race; returns how often.
async fn reap(
    system: &mut System,
    load: &Load,
    pace: &Pace,
    has_ended: &AtomicBool,
    chance: &mut Chance,
) -> usize {
    let mut kills = 0;
    for moment in Pace::moments(KILLS, chance) {
        let is_due = async || {
            let hits = pace.percent(load.answered() / CLIENTS) >= moment && load.waiting() > 0;
            (hits || has_ended.load(Ordering::SeqCst)).then_some(())
        };
        eventually("the race goes on", 4 * TIME_MAX, is_due).await;
        if has_ended.load(Ordering::SeqCst) {
            break;
        }
        system.kill(Service::CommandHandler).await;
        system.launch(Service::CommandHandler);
        kills += 1;
    }
    kills
}

/// How many were told that they have it, for each email that was raced for.
fn owners(history: &[Entry]) -> BTreeMap<String, (usize, usize)> {
    let mut owners: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for entry in history {
        let email = entry.asked.body["email"].as_str().expect("an email");
        let email = email.to_lowercase();
        if email.starts_with("race") {
            let (has, has_not) = owners.entry(email).or_default();
            match &entry.answers[..] {
                [answer] if matches!(answer.verdict, Verdict::Accepted(_)) => *has += 1,
                _ => *has_not += 1,
            }
        }
    }
    owners
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_has_an_email_and_none_is_lost_or_leaked_whoever_is_killed() {
    let mut chance = Chance::of_this_run("emails");
    let mut system = System::start("emails", PROGRAM).await;
    let load = Arc::new(Load::new(system.write()));
    let mut reaper = chance.fork();
    let signed_up = Expected::Event("CustomerSignedUp");
    let squatter = sign_up(chance.uuid(), "squatter", "squatter@example.org", signed_up);
    load.ask(squatter, Manner::default()).await;
    let mover = sign_up(chance.uuid(), "mover", &held(0), signed_up);
    load.ask(mover, Manner::default()).await;

    let (pace, has_ended) = (Pace::new(EMAILS, TIME_MAX), AtomicBool::new(false));
    let race = async {
        let mut emails = 0;
        while !pace.is_over(emails) {
            round(&load, emails..emails + AT_ONCE, &mut chance).await;
            emails += AT_ONCE;
        }
        has_ended.store(true, Ordering::SeqCst);
        emails
    };
    let (emails, kills) = tokio::join!(race, reap(&mut system, &load, &pace, &has_ended, &mut reaper));
    println!(
        "{CLIENTS} clients for each of {emails} emails in {:?}, {kills} kills, sent again {} times",
        pace.elapsed(),
        load.retries()
    );
    system.wait_until_ready(Service::CommandHandler).await;
    // What was given up, and whatever was killed meanwhile, somebody else can have.
    for number in (0..emails).step_by(AT_ONCE) {
        let late = sign_up(chance.uuid(), &format!("heir-{number}"), &held(number), signed_up);
        load.ask(late, Manner::default()).await;
    }
    // What was refused has leaked nothing: it is free.
    for number in 0..emails.min(SPARES) {
        let late = sign_up(
            chance.uuid(),
            &format!("late-{number}"),
            &spare(number),
            signed_up,
        );
        load.ask(late, Manner::default()).await;
    }

    let history = load.history();
    let owners = owners(&history);
    assert_eq!(owners.len(), emails);
    for (email, (has, has_not)) in owners {
        assert_eq!((has, has_not), (1, CLIENTS - 1), "{email}");
    }
    // The refusals are typed, the answers are those of the log, and the claims those of the customers.
    check::all(&system, &history).await;
    assert!(emails >= EMAILS && kills >= 2, "no result: too few");
}
