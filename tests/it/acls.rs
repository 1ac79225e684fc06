//! Kafka's access control lists: a broker that lets nobody do anything that no list says.

mod by_role;
mod cells;
mod probe;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use foldline_kafka::{Appointment, KafkaSettings, Role};
use foldline_stack::Stack;
use foldline_tests::{secured, stack};

use crate::PROGRAM;

/// A broker with lists, and somebody for each role.
struct Guarded {
    _stack: Stack,
    folder: tempfile::TempDir,
    port: u16,
    /// By the listener at which anybody may do anything.
    kafka: KafkaSettings,
}

/// The name of the one who has a role; its principal is `User:` and that.
fn name(role: Role) -> &'static str {
    match role {
        Role::CommandHandler => "handler",
        Role::Projector => "projector",
        Role::QueryApi => "reader",
        Role::Producer => "producer",
        Role::Analyst => "analyst",
        Role::Operator => "operator",
    }
}

/// `--principal` for each role.
fn principals() -> Vec<String> {
    let roles = [
        "command-handler",
        "projector",
        "query-api",
        "producer",
        "analyst",
        "operator",
    ];
    let all = roles.iter().zip(Role::ALL);
    all.flat_map(|(role, of)| ["--principal".to_owned(), format!("{role}=User:{}", name(of))])
        .collect()
}

impl Guarded {
    async fn start(test: &str) -> Self {
        let port = stack::free_port();
        let users = Role::ALL.map(|role| (name(role), name(role)));
        let settings = secured::with_passwords(port, &users);
        let (stack, kafka) = stack::own(test, |options| {
            options.broker_config.extend(settings);
            options.broker_config.extend(secured::with_lists());
        })
        .await;
        Self {
            _stack: stack,
            folder: tempfile::tempdir().unwrap(),
            port,
            kafka,
        }
    }

    fn identity(&self, role: Role) -> Vec<String> {
        secured::identity(self.folder.path(), name(role), name(role))
    }

    /// Kafka, as somebody with this role is known to it.
    fn as_seen_by(&self, role: Role) -> KafkaSettings {
        secured::settings(&self.kafka, self.port, &self.identity(role))
    }

    /// Runs a command as an administrator.
    fn administer(&self, words: &[&str]) -> Output {
        run(&self.kafka, words, &[])
    }

    /// Runs a command as somebody with this role.
    fn run(&self, role: Role, words: &[&str]) -> Output {
        run(&self.as_seen_by(role), words, &self.identity(role))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn run(kafka: &KafkaSettings, words: &[&str], identity: &[String]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).args(identity).stdin(Stdio::null());
    command.args(["--bootstrap-servers", &kafka.bootstrap_servers]);
    command.args(["--schema-registry", &kafka.schema_registry]);
    command.output().unwrap()
}

/// What a command has said. Panics if it has not ended as it should.
#[track_caller]
fn said(output: &Output, is_well: bool) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(output.status.success(), is_well, "{out}\n{err}");
    out + &err
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_apply_makes_the_lists_once_and_check_tells_what_is_missing_and_what_is_too_much() {
    let guarded = Guarded::start("lists").await;
    let principals = principals();
    let with = |words: &[&'static str]| -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain(principals.clone()).collect()
    };
    let administer = |words: &[&'static str], is_well| {
        let words = with(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        said(&guarded.administer(&words), is_well)
    };
    let planned = administer(&["topics", "apply", "--dry-run"], true);
    assert!(
        planned.contains("User:handler may write topic restaurant.orders.events"),
        "{planned}"
    );
    let none = administer(&["topics", "check"], false);
    assert!(none.contains("no entry"), "{none}");

    let made = administer(&["topics", "apply"], true);
    let again = administer(&["topics", "apply"], true);
    assert!(!made.contains("\n0 entries"), "{made}");
    assert!(
        again.contains("\n0 entries of access control lists made"),
        "{again}"
    );
    administer(&["topics", "check"], true);
    // The one who looks after it can compare, and cannot change.
    let words = with(&["topics", "check"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    said(&guarded.run(Role::Operator, &words), true);

    // An entry is lost.
    let words = ["topics", "check", "--principal", "command-handler=User:another"];
    let lost = said(&guarded.administer(&words), false);
    assert!(
        lost.contains("missing: User:another may write topic restaurant.orders.events"),
        "{lost}"
    );
    assert!(
        lost.contains("not needed: User:handler may write topic restaurant.orders.events"),
        "{lost}"
    );

    // Somebody gives the projector a right that is the command handler's, by its old name.
    let words = ["topics", "apply", "--principal", "command-handler=User:projector"];
    said(&guarded.administer(&words), true);
    let wrong = administer(&["topics", "check"], false);
    let expected = "not needed: User:projector may write topic restaurant.orders.events";
    assert!(wrong.contains(expected), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_keeps_no_lists_says_so_when_some_are_to_be_made() {
    let kafka = stack::kafka("listless", &foldline_tests::domains()).await;
    for (command, expected) in [
        ("apply", "No Authorizer is configured"),
        ("check", "authorizer.class.name"),
    ] {
        let principal = "projector=User:projector";
        let words = [
            "topics",
            command,
            "--principal",
            principal,
            "--topic-prefix",
            &kafka.topic_prefix,
        ];
        let said = said(&run(&kafka, &words, &[]), false);
        assert!(said.contains(expected), "{said}");
    }
}

/// Everybody's lists.
async fn appoint_all(guarded: &Guarded) {
    let appointments = Role::ALL.map(|role| Appointment {
        role,
        principal: format!("User:{}", name(role)),
    });
    let made = foldline_kafka::apply_acls(&guarded.kafka, &foldline_tests::domains(), &appointments).await;
    assert!(!made.unwrap().missing.is_empty());
}
