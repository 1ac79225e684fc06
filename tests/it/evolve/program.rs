//! The gate as an operator runs it: the program, on the log of an evening at the restaurant.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use foldline_kafka::KafkaSettings;
use foldline_tests::chance::Chance;
use foldline_tests::load::{Load, restaurant};
use foldline_tests::stack;
use foldline_tests::system::System;
use serde_json::{Value, json};

use crate::PROGRAM;

/// Orders race with prices that move, and customers for emails: what a decision has seen of others is not in the log.
const EVENING: restaurant::Size = restaurant::Size {
    clients: 16,
    menu: 5,
    customers: 40,
    orders: 300,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_program_that_wrote_the_log_finds_nothing_and_a_difference_ends_it_with_1() {
    let mut chance = Chance::of_this_run("evolve-program");
    let system = System::start("evolve-program", PROGRAM).await;
    let load = Arc::new(Load::new(system.write()));
    restaurant::run(&load, EVENING, &mut chance).await;
    let gate = Gate::new(&system.kafka);

    let recorded = gate.run(&["record", "--out", gate.file("recording")]);
    assert!(recorded.status.success(), "{}", said(&recorded));
    println!("{}", said(&recorded));
    // The log goes on: what is compared is what was recorded.
    restaurant::run(&load, EVENING, &mut chance).await;

    let same = gate.run(&["check", "--against", gate.file("recording")]);
    println!("{}", said(&same));
    assert!(same.status.success(), "{}", said(&same));
    assert!(said(&same).contains("nothing has changed"), "{}", said(&same));
    let alone = gate.run(&["check"]);
    println!("{}", said(&alone));
    assert!(alone.status.success(), "{}", said(&alone));

    gate.claim_another_address();
    let changed = ["check", "--against", gate.file("changed")];
    let found = gate.run(&changed);
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    let key = "state restaurant.orders /Placed/delivery/nickname";
    assert!(said(&found).contains(&format!("{key}: 1\n")), "{}", said(&found));
    // What is personal is told as it is kept: a report says nothing of who is erased later.
    assert!(
        said(&found).contains("\"nowhere\", now \"enc1."),
        "{}",
        said(&found)
    );

    let report = gate.run(&[&changed[..], &["--json"]].concat());
    assert_eq!(report.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["findings"]["groups"][key]["count"], 1, "{report}");

    std::fs::write(gate.file("accepted"), format!("# we know\n{key}\n")).unwrap();
    let accepted = gate.run(&[&changed[..], &["--accept", gate.file("accepted")]].concat());
    assert!(accepted.status.success(), "{}", said(&accepted));
}

struct Gate<'a> {
    kafka: &'a KafkaSettings,
    files: Vec<(&'static str, String)>,
}

impl<'a> Gate<'a> {
    fn new(kafka: &'a KafkaSettings) -> Self {
        let folder: PathBuf = stack::folder().join(stack::unique_name("gate"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &'static str| (name, folder.join(name).display().to_string());
        Self {
            kafka,
            files: ["recording", "changed", "accepted"].map(file).into(),
        }
    }

    fn file(&self, name: &str) -> &str {
        &self.files.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut gate = Command::new(PROGRAM);
        gate.arg("evolve").args(arguments);
        gate.args(["--bootstrap-servers", &self.kafka.bootstrap_servers])
            .args(["--schema-registry", &self.kafka.schema_registry])
            .args(["--topic-prefix", &self.kafka.topic_prefix]);
        gate.output().unwrap()
    }

    /// A recording in which one order goes elsewhere at its end: as if the running version folded it so.
    fn claim_another_address(&self) {
        let recording = std::fs::read_to_string(Path::new(self.file("recording"))).unwrap();
        let mut of_orders = false;
        let mut changed = 0;
        let lines = recording.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            if let Some(partition) = line.get("partition") {
                of_orders = partition["of"] == "restaurant.orders";
            }
            let nickname = line.pointer_mut("/aggregate/state/Placed/delivery/nickname");
            if let (true, 0, Some(nickname)) = (of_orders, changed, nickname) {
                changed += 1;
                *nickname = json!("nowhere");
            }
            format!("{line}\n")
        });
        let text: String = lines.collect();
        std::fs::write(self.file("changed"), text).unwrap();
        assert_eq!(changed, 1);
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
