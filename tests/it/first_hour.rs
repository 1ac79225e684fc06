//! What a new user does in the first hour: `cargo run`, the commands that it shows, the README, the examples.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use foldline_tests::dev::Dev;
use foldline_tests::stack;
use serde_json::Value;

use crate::PROGRAM;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_and_the_program_show_is_what_happens() {
    let mut dev = Dev::start("readme", PROGRAM).await;
    paste(&dev.commands_to_paste());
    run_readme(&dev);
    run_examples(&dev);

    dev.stop().await;
    assert!(dev.output().contains("stopped"), "{}", dev.output());
    dev.restart().await;
    let read = format!("curl -sS {}/orders/8659a0d6", dev.address("read API"));
    assert!(
        shell(&read).contains("PLACED"),
        "the data are kept from one start to the next"
    );
    dev.stop().await;
}

/// All at once, as into a terminal.
fn paste(commands: &[String]) {
    assert_eq!(commands.len(), 3, "{commands:?}");
    let printed = shell(&commands.join("\n"));
    let answers: Vec<Value> = printed
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let [view, history] = answers.as_slice() else {
        panic!("{printed}")
    };
    assert_eq!(view["description"], "Feijoada");
    assert_eq!(history["items"][0]["event_type"], "MenuItemAdded");
}

/// Each block of commands; and if one of JSON follows it, the last answer has at least what stands there.
fn run_readme(dev: &Dev) {
    let readme = std::fs::read_to_string(stack::workspace().join("README.md")).unwrap();
    let blocks = blocks(&readme);
    assert_eq!(blocks.first(), Some(&("sh".to_owned(), "cargo run\n".to_owned())));
    let mut functions = String::new();
    for (index, (_, block)) in blocks
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, (language, _))| language == "sh")
    {
        let block = block
            .replace("http://127.0.0.1:8081", &dev.address("write API"))
            .replace("http://127.0.0.1:8080", &dev.address("read API"));
        functions.extend(
            block
                .lines()
                .filter(|line| line.starts_with("post()"))
                .map(|line| format!("{line}\n")),
        );
        let script = format!("{functions}{block}");
        match blocks.get(index + 1) {
            Some((language, shown)) if language == "json" => {
                shows(&script, &serde_json::from_str(shown).unwrap())
            }
            _ => drop(shell(&script)),
        }
    }
}

/// A person who reads on is slower than a view; this is not. A command is asked once.
fn shows(script: &str, shown: &Value) {
    let started_at = Instant::now();
    loop {
        let printed = shell(script);
        let last = printed.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        let answer: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {printed}"));
        if holds(&answer, shown) {
            return;
        }
        let is_command = script.lines().any(|line| line.starts_with("post "));
        let is_late = is_command || started_at.elapsed() > Duration::from_secs(10);
        assert!(
            !is_late,
            "the README shows {shown:#}\nand the answer is {answer:#}"
        );
    }
}

/// Whether `answer` has everything that `shown` has.
fn holds(answer: &Value, shown: &Value) -> bool {
    match (answer, shown) {
        (Value::Object(answer), Value::Object(shown)) => shown
            .iter()
            .all(|(key, value)| answer.get(key).is_some_and(|found| holds(found, value))),
        (Value::Array(answer), Value::Array(shown)) => {
            answer.len() == shown.len()
                && answer
                    .iter()
                    .zip(shown)
                    .all(|(answer, shown)| holds(answer, shown))
        }
        _ => answer == shown,
    }
}

/// The fenced blocks of a page that are commands or JSON.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            continue;
        };
        let text: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .map(|line| format!("{line}\n"))
            .collect();
        if ["sh", "json"].contains(&language) {
            blocks.push((language.to_owned(), text));
        }
    }
    blocks
}

/// The producer and the analyst, with Confluent's own client.
fn run_examples(dev: &Dev) {
    let Some(python) = python() else {
        println!("SKIPPED: the Python examples, because there is no python3 with venv and pip");
        return;
    };
    let examples = stack::workspace().join("examples/python");
    let run = |script: &str| {
        let mut command = Command::new(&python);
        command
            .arg(examples.join(script))
            .args(["--bootstrap-servers", &dev.address("Kafka")]);
        command.args(["--schema-registry", &dev.address("schemas")]);
        if script == "place_order.py" {
            command.args(["--write-api", &dev.address("write API")]);
        }
        done(&format!("{command:?}"), command.output().expect("python runs"))
    };
    let placed = run("place_order.py");
    assert!(
        placed.contains("PlaceOrder") && placed.contains("OrderPlaced"),
        "{placed}"
    );
    let revenue = run("revenue.py");
    assert!(
        revenue.contains("Feijoada") && revenue.contains("25.00 USD"),
        "{revenue}"
    );
}

/// A Python that has the examples' packages: `FOLDLINE_PYTHON`, or one that is made here.
fn python() -> Option<std::path::PathBuf> {
    if let Some(given) = std::env::var_os("FOLDLINE_PYTHON") {
        return Some(given.into());
    }
    let folder = stack::workspace().join("target/python");
    let python = folder.join("bin/python");
    let has_packages = || {
        let mut command = Command::new(&python);
        command.args(["-c", "import confluent_kafka.schema_registry.avro"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    if !has_packages() {
        let requirements = stack::workspace().join("examples/python/requirements.txt");
        succeeds(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        succeeds(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "-r"])
                .arg(&requirements),
        )?;
    }
    has_packages().then_some(python)
}

fn succeeds(command: &mut Command) -> Option<()> {
    command
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(drop)
}

fn shell(script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output()
        .expect("bash runs");
    done(script, output)
}

#[track_caller]
fn done(what: &str, output: Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}\n{printed}\n{errors}");
    printed
}

#[test]
fn every_file_that_a_page_links_to_is_there() {
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "docs/guides/http.md",
        "docs/guides/topics.md",
    ]
    .into_iter()
    .chain([
        "docs/guides/add-a-domain.md",
        "docs/guides/operate.md",
        "examples/python/README.md",
    ]) {
        let path = stack::workspace().join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_file = !target.starts_with("http") && !target.starts_with('#');
            let linked = path.parent().unwrap_or(Path::new(".")).join(target);
            assert!(!is_file || linked.exists(), "{page} links to {target}");
        }
    }
}
