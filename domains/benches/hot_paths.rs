//! What each step costs that every command or event goes through: in nanoseconds on this machine, and in
//! instructions, which are the same on a busy machine as on an idle one.
//!
//! `cargo bench -p foldline-domains` prints both. `-- --check` compares the instructions with those that are kept in
//! `hot_paths.tsv`, and fails if a step has become more than a quarter dearer; `-- --write` keeps the new ones. They are
//! counted by valgrind's callgrind, of two runs of different lengths, so that what a run begins with drops out.
//!
//! Another compiler may make other counts of the same code, and so may a processor without AVX2. The file says of which they
//! are, and with another nothing is compared.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;
use std::{env, fs};

use foldline_core::personal::{KeyId, Sealed, SubjectKey};
use foldline_core::{
    AggregateId, AggregateType, AnyCommand, AnyEvent, CommandMeta, CommandResult, Context, EventHash,
    EventMeta, NoReferences, Outcome, RecordedEvent, State, Timestamp, Token, result_codec,
};
use foldline_domains::restaurant::Money;
use foldline_domains::restaurant::orders::{Order, OrderEvent};
use serde_json::json;
use uuid::Uuid;

/// A step may cost a quarter more before it counts as dearer: what a machine's libraries choose differs by less, and a mistake
/// costs more.
const TOLERANCE: f64 = 1.25;
const TIMED: u32 = 100_000;
/// Of two runs under valgrind, which is some fifty times slower.
const COUNTED: [u32; 2] = [500, 2_500];

type Step = Box<dyn FnMut()>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["--run", name, count] => {
            run(name, count.parse().expect("a count"));
            ExitCode::SUCCESS
        }
        ["--check", ..] => check(),
        ["--write", ..] => {
            let counts = steps().into_keys().map(|name| (name, instructions(name)));
            let lines = counts.map(|(name, count)| format!("{name}\t{count}\n"));
            let kept = format!("# {}\n{}", machine(), lines.collect::<String>());
            fs::write(kept_file(), kept).expect("the file of the kept counts can be written");
            ExitCode::SUCCESS
        }
        // Cargo adds `--bench`.
        _ => {
            for (name, mut step) in steps() {
                println!(
                    "{name:16} {:6} ns  {:7} instructions",
                    nanoseconds(&mut step),
                    instructions(name)
                );
            }
            ExitCode::SUCCESS
        }
    }
}

/// Fails if a step has become dearer than it was when its count was kept.
fn check() -> ExitCode {
    let kept = fs::read_to_string(kept_file()).expect("the kept counts are part of the repository");
    let (of, kept) = kept.split_once('\n').expect("a line that says of which machine");
    let of = of.trim_start_matches("# ");
    if of != machine() {
        println!(
            "NOT COMPARED: the kept counts are of {of}, and this is {}",
            machine()
        );
        return ExitCode::SUCCESS;
    }
    if collected("fold", COUNTED[0]).is_none() {
        println!("NOT COMPARED: valgrind cannot run this program here");
        return ExitCode::SUCCESS;
    }
    let mut is_dearer = false;
    for line in kept.lines() {
        let (name, before) = line.split_once('\t').expect("a name, a tab, a count");
        let before: f64 = before.parse().expect("a count");
        let now = instructions(name) as f64;
        let ratio = now / before;
        println!("{name:16} {now:7.0} instructions, {ratio:.2} of what was kept");
        is_dearer |= ratio > TOLERANCE;
    }
    if is_dearer {
        eprintln!("error: a step has become dearer; if it must be, keep the new counts with -- --write");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What the counts depend on beside the code: the compiler, and the instructions that libraries look for when they start. Of
/// those, valgrind has none that are newer than AVX2, whatever the processor has: counts on one with AVX-512 and on one without
/// differed by 4 % at most, but for a step that was changed in between.
fn machine() -> String {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.expect("the compiler that has just compiled this").stdout;
    let has = |name: &str| {
        fs::read_to_string("/proc/cpuinfo")
            .unwrap_or_default()
            .contains(name)
    };
    let widest = if has("avx2") { "with" } else { "without" };
    let version = String::from_utf8_lossy(&version);
    format!("{}, {} {widest} avx2", version.trim(), env::consts::ARCH)
}

fn kept_file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "hot_paths.tsv"]
        .iter()
        .collect()
}

fn run(name: &str, count: u32) {
    let mut step = steps().remove(name).expect("one of the steps");
    (0..count).for_each(|_| step());
}

fn nanoseconds(step: &mut Step) -> u128 {
    (0..TIMED / 10).for_each(|_| step());
    let started_at = Instant::now();
    (0..TIMED).for_each(|_| step());
    started_at.elapsed().as_nanos() / u128::from(TIMED)
}

/// Instructions of one step.
fn instructions(name: &str) -> u64 {
    let counted = |count| collected(name, count).expect("valgrind runs this program");
    let [few, many] = COUNTED.map(counted);
    (many - few) / u64::from(COUNTED[1] - COUNTED[0])
}

/// What callgrind counts of a whole run; `None` if it does not come to its end.
fn collected(name: &str, count: u32) -> Option<u64> {
    let this = env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--run", name, &count.to_string()])
        .output()
        .expect("valgrind is installed (Debian's package valgrind)");
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected : "));
    let (_, number) = collected.filter(|_| output.status.success())?;
    number.trim().parse().ok()
}

fn orders() -> Arc<dyn AggregateType> {
    let domains = foldline_domains::installed();
    Arc::clone(
        domains
            .aggregate("restaurant", "orders")
            .expect("the restaurant has orders"),
    )
}

/// Everything a command and its event go through but Kafka, the store and the database. By name.
fn steps() -> BTreeMap<&'static str, Step> {
    let orders = orders();
    let results = result_codec(orders.info());
    let (asked, command) = question(&orders);
    let (meta, event) = answer(&asked);
    let result = outcome(&asked, &meta);
    let state = order(&orders, &event);

    let command_record = {
        let (mut meta, mut out) = (asked.clone(), Vec::new());
        orders
            .encode_command(&mut meta, &command, &mut out)
            .expect("a command can be written");
        out
    };
    let event_record = {
        let (mut meta, mut out) = (meta.clone(), Vec::new());
        orders
            .encode_event(&mut meta, &event, &mut out)
            .expect("an event can be written");
        out
    };
    let stored = orders.encode_state(&state);
    let of = |step: &dyn Fn(Arc<dyn AggregateType>) -> Step| step(Arc::clone(&orders));
    BTreeMap::from([
        (
            "command-read",
            of(&|orders| {
                let record = command_record.clone();
                Box::new(move || drop(black_box(orders.decode_command(&record))))
            }),
        ),
        (
            "decide",
            of(&|orders| {
                let (asked, state) = (asked.clone(), orders.clone_state(&state));
                let command = place(&orders);
                Box::new(move || {
                    let id = &asked.aggregate_id;
                    let context = Context::new(asked.command_id, id, asked.issued_at, None, &NoReferences);
                    drop(black_box(
                        orders
                            .decide(&state, &command, &context)
                            .expect("it can be placed"),
                    ));
                })
            }),
        ),
        (
            "fold",
            of(&|orders| {
                let (state, event) = (orders.clone_state(&state), added());
                Box::new(move || {
                    let mut state = orders.clone_state(&state);
                    orders.evolve(&mut state, &event);
                    black_box(state);
                })
            }),
        ),
        (
            "event-write",
            of(&|orders| {
                let (mut meta, event) = (meta.clone(), added());
                Box::new(move || {
                    let mut out = Vec::with_capacity(512);
                    orders
                        .encode_event(&mut meta, &event, &mut out)
                        .expect("an event can be written");
                    black_box(out);
                })
            }),
        ),
        (
            "event-read",
            of(&|orders| {
                let record = event_record.clone();
                Box::new(move || drop(black_box(orders.decode_event(&record))))
            }),
        ),
        (
            "event-json",
            of(&|orders| {
                let event = orders.decode_event(&event_record).expect("it was just written");
                Box::new(move || drop(black_box(orders.event_text(&event))))
            }),
        ),
        (
            "result-write",
            Box::new(move || {
                let mut out = Vec::with_capacity(512);
                results
                    .encode_meta(&result, &mut out)
                    .expect("a result can be written");
                black_box(out);
            }),
        ),
        ("seal", {
            let key = key();
            Box::new(move || drop(black_box(key.seal(black_box(ADDRESS)))))
        }),
        ("open", {
            let (key, sealed) = (key(), key().seal(ADDRESS));
            Box::new(move || {
                let sealed = Sealed::parse(&sealed).expect("it was just sealed");
                black_box(key.open(&sealed).expect("by this key"));
            })
        }),
        (
            "state-write",
            of(&|orders| {
                let state = orders.clone_state(&state);
                Box::new(move || drop(black_box(orders.encode_state(&state))))
            }),
        ),
        (
            "state-read",
            of(&|orders| {
                let stored = stored.clone();
                Box::new(move || drop(black_box(orders.decode_state(&stored))))
            }),
        ),
    ])
}

const ORDER: &str = "8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11";
const ITEM: &str = "8d30d999-0b1f-4f5e-9a51-3a1f0f6f2c10";
const ADDRESS: &str = "12 Rose Street, second floor";
const AT: Timestamp = Timestamp(1_490_442_531_250);

fn key() -> SubjectKey {
    SubjectKey::new(KeyId::new([1; 12]), [2; SubjectKey::LENGTH])
}

fn id(text: &str) -> AggregateId {
    text.parse().expect("a UUID is an id")
}

fn question(orders: &Arc<dyn AggregateType>) -> (CommandMeta, AnyCommand) {
    let body = json!({ "type": "AddItemToOrder", "menu_item": format!("/menu/items/{ITEM}"), "quantity": 2 });
    let (command_type, command) = orders.command_from_json(&body, None).expect("a command");
    let command_id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00c1);
    let meta = CommandMeta {
        command_type,
        ..CommandMeta::new(command_id, id(ORDER), AT)
    };
    (meta, command)
}

fn place(orders: &Arc<dyn AggregateType>) -> AnyCommand {
    let body = json!({ "type": "PlaceOrder" });
    orders.command_from_json(&body, None).expect("a command").1
}

fn added() -> AnyEvent {
    AnyEvent::new::<Order>(OrderEvent::ItemAddedToOrder {
        order_item_id: Uuid::from_u128(0x17),
        menu_item_id: id(ITEM),
        description: "Spaghetti alle vongole".to_owned(),
        price: Money {
            amount: 1250,
            currency: "EUR".to_owned(),
        },
        quantity: 2,
        subtotal: Money {
            amount: 2500,
            currency: "EUR".to_owned(),
        },
    })
}

fn answer(asked: &CommandMeta) -> (EventMeta, AnyEvent) {
    let meta = EventMeta {
        event_id: EventMeta::id_of(&asked.command_id, 0),
        event_type: String::new(),
        aggregate_id: asked.aggregate_id.clone(),
        sequence: 3,
        revision: 1,
        occurred_at: AT,
        recorded_at: AT,
        command_id: asked.command_id,
        correlation_id: asked.command_id.to_string(),
        causation_id: asked.command_id.to_string(),
        actor: None,
        index: 0,
        count: 1,
        command_offset: 300,
        previous_hash: Some(EventHash::of(b"the event before")),
        written_revision: 2,
    };
    (meta, added())
}

fn outcome(asked: &CommandMeta, event: &EventMeta) -> CommandResult {
    let events = vec![RecordedEvent {
        event_id: event.event_id,
        event_type: "ItemAddedToOrder".to_owned(),
        sequence: event.sequence,
    }];
    let result = CommandResult {
        command_id: asked.command_id,
        command_type: asked.command_type.clone(),
        aggregate_id: asked.aggregate_id.clone(),
        outcome: String::new(),
        sequence: event.sequence,
        events: vec![],
        refusal: None,
        decided_at: AT,
        correlation_id: event.correlation_id.clone(),
        command_offset: 300,
        fingerprint: Uuid::from_u128(9),
        replayed: false,
        consistency_token: Token::at("MkU3OEVBNTcwNTJENDM2Qk", "restaurant.orders", 3, 300).to_string(),
        dry_run: false,
        last_event_hash: Some(EventHash::of(b"this event")),
        actor: None,
        causation_id: None,
        issued_at: Some(AT),
    };
    result.with(Outcome::Accepted(events))
}

/// An open order with three items and an address, which can be placed.
fn order(orders: &Arc<dyn AggregateType>, item: &AnyEvent) -> State {
    let opened = OrderEvent::OrderOpened {
        customer_id: id("ada"),
    };
    let addressed = OrderEvent::DeliveryAddressSet {
        customer_id: id("ada"),
        nickname: "home".into(),
        location: "12 Rose Street".into(),
    };
    let mut state = orders.initial();
    orders.evolve(&mut state, &AnyEvent::new::<Order>(opened));
    (0..3).for_each(|_| orders.evolve(&mut state, item));
    orders.evolve(&mut state, &AnyEvent::new::<Order>(addressed));
    state
}
