//! Reads with a token are never from before it, whoever kills the projector; reads without one sometimes are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldline_core::Token;
use foldline_tests::chance::Chance;
use foldline_tests::client::{Answer, Client, eventually};
use foldline_tests::shared;
use foldline_tests::system::{Service, System};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::PROGRAM;
use crate::pace::Pace;

/// What is to be shown, however long it takes.
const READS: usize = 100_000;
/// Of a machine that is not ours alone.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Most of the time a reader waits for the view, so many of them make it short.
const READERS: usize = 64;
const KILLS: usize = 8;
/// How long one read may be told that the view is behind.
const PATIENCE: Duration = Duration::from_secs(60);
/// One read in so many is made without a token too.
const BARE: usize = 10;

/// A state that somebody has seen, and the token that says so.
#[derive(Clone)]
struct Seen {
    sequence: i64,
    token: String,
}

/// Something that keeps changing, and the newest of it that anybody has seen.
struct Thing {
    path: String,
    newest: Mutex<Seen>,
}

impl Thing {
    fn new(answer: &Answer) -> Self {
        Self {
            path: answer.text("/aggregate").to_owned(),
            newest: Mutex::new(told(answer)),
        }
    }

    fn newest(&self) -> Seen {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells all others.
    fn tell(&self, seen: Seen) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.sequence > newest.sequence {
            *newest = seen;
        }
    }

    /// A command that changes it, whatever it was.
    fn change(&self) -> Value {
        let sequence = self.newest().sequence;
        if self.path.starts_with("/orders") {
            let address = if sequence % 2 == 0 { "work" } else { "home" };
            json!({"type": "SetDeliveryAddress", "address": format!("/customers/tokens/addresses/{address}")})
        } else {
            let price = json!({"amount": sequence, "currency": "USD"});
            json!({"type": "ModifyMenuItem", "description": "Soup of the moment", "price": price})
        }
    }
}

/// What an answer to a command or to a read has shown.
fn told(answer: &Answer) -> Seen {
    let etag = answer.header("etag").expect("an ETag").trim_matches('"');
    let (sequence, _) = etag.split_once('-').unwrap_or((etag, ""));
    Seen {
        sequence: sequence.parse().expect("an ETag begins with a sequence"),
        token: answer.header("consistency-token").expect("a token").to_owned(),
    }
}

/// The things of one view.
type View = Vec<Thing>;

async fn open(write: &Client) -> [View; 2] {
    let customer = "/customers/tokens/commands";
    let sign_up = json!({"type": "SignUp", "email": "tokens@example.org"});
    write.post(customer, &sign_up).await.expect(201);
    for nickname in ["home", "work"] {
        let address = json!({"type": "AddAddress", "nickname": nickname, "location": "1 Main St"});
        write.post(customer, &address).await.expect(200);
    }
    let price = json!({"amount": 1000, "currency": "USD"});
    let bodies = [
        ("/menu/items", json!({"description": "Soup", "price": price})),
        ("/orders", json!({"customer": "/customers/tokens"})),
    ];
    let mut views = [View::new(), View::new()];
    for (view, (path, body)) in views.iter_mut().zip(&bodies) {
        for _ in 0..3 {
            view.push(Thing::new(&write.post(path, body).await.expect(201)));
        }
    }
    views
}

/// What a run has come to.
#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    behind: AtomicUsize,
    bare: AtomicUsize,
    stale: AtomicUsize,
    writes: AtomicUsize,
    has_ended: AtomicBool,
}

impl Counts {
    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }
}

fn count(counter: &AtomicUsize) -> usize {
    counter.fetch_add(1, Ordering::SeqCst) + 1
}

/// A client that knows one view: by its own reads, and by what the others say.
struct Reader<'a> {
    read: Client,
    view: &'a View,
    /// Of each thing, the newest that it has seen or heard of.
    known: Vec<i64>,
    /// Of its last answer, which covers all that it knows.
    token: Option<String>,
}

impl Reader<'_> {
    async fn run(&mut self, counts: &Counts, mut chance: Chance) {
        while !counts.has_ended() {
            // It hears of one thing, and reads perhaps another.
            let heard_of = chance.below(self.view.len());
            let heard = self.view[heard_of].newest();
            self.known[heard_of] = self.known[heard_of].max(heard.sequence);
            let index = chance.below(self.view.len());
            if chance.once_in(BARE) {
                self.read_bare(index, counts).await;
            }
            let shown = self.read_after(index, &heard.token, counts).await;
            let known = self.known[index];
            assert!(
                shown.sequence >= known,
                "{} at {} was shown, and {known} was seen",
                self.view[index].path,
                shown.sequence
            );
            self.known[index] = shown.sequence;
            self.token = Some(shown.token.clone());
            self.view[index].tell(shown);
            count(&counts.reads);
        }
    }

    async fn read_after(&self, index: usize, heard: &str, counts: &Counts) -> Seen {
        let started_at = Instant::now();
        loop {
            let request = self.read.request(Method::GET, &self.view[index].path);
            let request = request.header("Prefer", "wait=1");
            let tokens = self.token.as_deref().into_iter().chain([heard]);
            let request = tokens.fold(request, |request, token| {
                request.header("Consistency-Token", token)
            });
            let answer = self.read.send(request).await;
            if answer.status == 200 {
                return told(&answer);
            }
            answer.expect_problem(503, "view-behind");
            count(&counts.behind);
            assert!(started_at.elapsed() < PATIENCE, "the view stays behind");
        }
    }

    async fn read_bare(&self, index: usize, counts: &Counts) {
        let newest = self.view[index].newest();
        let answer = self.read.get(&self.view[index].path).await.expect(200);
        count(&counts.bare);
        if told(&answer).sequence < newest.sequence {
            count(&counts.stale);
        }
    }
}

/// Changes each thing in turn; nobody else does.
async fn keep_changing(write: Client, view: &View, counts: &Counts) {
    for thing in view.iter().cycle() {
        if counts.has_ended() {
            return;
        }
        // What a reader tells is never newer than what was written, and perhaps not told yet.
        let path = format!("{}/commands", thing.path);
        let answer = write.post(&path, &thing.change()).await.expect(200);
        thing.tell(told(&answer));
        count(&counts.writes);
    }
}

/// Kills the projector now and then, and ends the run in time. Returns the number of kills.
async fn reap(system: &mut System, counts: &Counts, pace: &Pace, chance: &mut Chance) -> usize {
    let percent = || pace.percent(counts.reads.load(Ordering::SeqCst));
    let mut kills = 0;
    for moment in Pace::moments(KILLS, chance) {
        let is_due = async || (counts.has_ended() || percent() >= moment).then_some(());
        eventually("the readers go on", 2 * TIME_MAX, is_due).await;
        if counts.has_ended() {
            break;
        }
        system.kill(Service::Projector).await;
        system.launch(Service::Projector);
        kills += 1;
    }
    let is_over = async || (counts.has_ended() || percent() >= 100).then_some(());
    eventually("the end", 2 * TIME_MAX, is_over).await;
    counts.end();
    kills
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_is_from_before_its_token_whoever_kills_the_projector() {
    let mut chance = Chance::of_this_run("tokens");
    let mut system = System::start("tokens", PROGRAM).await;
    let (write, read) = (system.write(), system.read());
    let views: &'static [View; 2] = Box::leak(Box::new(open(&write).await));
    let counts: &'static Counts = Box::leak(Box::default());
    for thing in views.iter().flatten() {
        read.get_after(&thing.path, &thing.newest().token)
            .await
            .expect(200);
    }

    let pace = Pace::new(READS, TIME_MAX);
    let mut clients = JoinSet::new();
    for view in views {
        clients.spawn(keep_changing(write.clone(), view, counts));
    }
    for number in 0..READERS {
        let view = &views[number % views.len()];
        let (read, chance) = (read.clone(), chance.fork());
        clients.spawn(async move {
            let known = vec![0; view.len()];
            let mut reader = Reader {
                read,
                view,
                known,
                token: None,
            };
            reader.run(counts, chance).await;
        });
    }
    let all = async {
        while let Some(ended) = clients.join_next().await {
            if let Err(error) = ended {
                counts.end();
                panic!("{error}");
            }
        }
    };
    let ((), kills) = tokio::join!(all, reap(&mut system, counts, &pace, &mut chance));

    let [reads, behind, bare, stale, writes] = [
        &counts.reads,
        &counts.behind,
        &counts.bare,
        &counts.stale,
        &counts.writes,
    ]
    .map(|counter| counter.load(Ordering::SeqCst));
    println!(
        "{reads} reads with a token in {:?}, {behind} times told to come again; {stale} of {bare} reads without \
         one were stale; {writes} writes, {kills} kills",
        pace.elapsed()
    );
    assert!(reads >= READS && kills >= KILLS / 2, "no result: too few");
    assert!(stale > 0, "no result: it cannot see staleness");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_ours_is_a_bad_request_at_both_doors() {
    let system = shared::system(PROGRAM).await;
    let elsewhere = Token::at("elsewhere", "restaurant.menu", 0, 1).to_string();
    let body = json!({"type": "SignUp", "email": "no-token@example.org"});
    for token in [elsewhere.as_str(), "1.%%%", "nonsense"] {
        for path in ["/menu/items", "/events"] {
            let answer = system.read().get_after(path, token).await;
            answer.expect_problem(400, "invalid-consistency-token");
        }
        let request = system
            .write()
            .request(Method::POST, "/customers/no-token/commands");
        let request = request.header("Consistency-Token", token).json(&body);
        let answer = system.write().send(request).await;
        answer.expect_problem(400, "invalid-consistency-token");
    }
    let query = format!("/menu/items?consistency_token={elsewhere}");
    let answer = system.read().get(&query).await;
    answer.expect_problem(400, "invalid-consistency-token");
}
