//! What a new user does in the first hour: `cargo run`, the commands that it shows, and everything that the pages say.

use std::path::{Path, PathBuf};
use std::process::Command;

use foldline_tests::dev::Dev;
use foldline_tests::{page, python, skip, stack};
use serde_json::Value;

use crate::PROGRAM;

/// The pages whose blocks are run, in this order, against one system. Each has ids of its own.
const PAGES: &[&str] = &[
    "README.md",
    "docs/guides/http.md",
    "docs/guides/producers.md",
    "docs/guides/topics.md",
    "docs/guides/add-a-domain.md",
    "docs/guides/operate.md",
    "docs/guides/audit.md",
    "docs/guides/evolve.md",
    "docs/guides/travel-in-time.md",
    "docs/guides/rebuild.md",
];

/// `FOLDLINE_PAGES=http cargo test -p foldline-tests --test it -- guides` runs those that have this in their path.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_program_and_the_pages_show_is_what_happens() {
    let mut dev = Dev::start("guides", PROGRAM).await;
    paste(&dev.commands_to_paste());
    let wanted = std::env::var("FOLDLINE_PAGES").unwrap_or_default();
    let has_python = python::with_examples_packages().is_some();
    for name in PAGES.iter().filter(|name| name.contains(&wanted)) {
        if !has_python && read(name).contains("target/python/bin/python") {
            skip::because(&format!("{name}, because there is no python3 with venv and pip"));
            continue;
        }
        page::run(&dev, name).await;
    }

    dev.stop().await;
    assert!(dev.output().contains("stopped"), "{}", dev.output());
    dev.restart().await;
    let kept = shell(&format!("curl -sS {}/menu/items", dev.address("read API")));
    assert!(kept.contains("Feijoada"), "the data are kept: {kept}");
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

fn shell(script: &str) -> String {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]);
    let output = bash.output().expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{printed}\n{errors}");
    printed
}

fn read(page: &str) -> String {
    let text = std::fs::read_to_string(stack::workspace().join(page));
    text.unwrap_or_else(|error| panic!("{page}: {error}"))
}

#[test]
fn every_file_that_a_page_links_to_is_there() {
    let guides = std::fs::read_dir(stack::workspace().join("docs/guides")).unwrap();
    let guides = guides.map(|guide| guide.unwrap().path());
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "docs/performance.md",
        "examples/python/README.md",
    ];
    for path in others.map(PathBuf::from).into_iter().chain(guides) {
        let path = stack::workspace().join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_file = !target.starts_with("http") && !target.starts_with('#');
            let file = target.split('#').next().unwrap_or_default();
            let linked = path.parent().unwrap_or(Path::new(".")).join(file);
            assert!(
                !is_file || linked.exists(),
                "{} links to {target}",
                path.display()
            );
        }
    }
}
