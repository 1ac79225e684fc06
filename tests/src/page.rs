//! Runs a page of documentation as its reader would: its blocks of commands, one after the other, in one shell.
//!
//! | block | is |
//! |---|---|
//! | `sh` | run, in one bash for the whole page, in the workspace's folder. It must succeed |
//! | `json` after it | what it answers, at least: fields may be left out. The answer is all that it prints, or its last line |
//! | `text` after it | what it prints, line by line |
//! | any other | only read: `bash`, `toml`, `rust` |
//!
//! `...` stands for anything: within a line or a JSON string for any text, as a line for any number of lines, as a JSON
//! value (`"..."`) for any value, and as the last of a JSON array for any further ones. A block that only reads (each
//! line is a `curl` without a body) is asked again for some seconds, because a view may be a moment behind; no other is.
//!
//! A page says where things are after `cargo run`: the ports, `.foldline/data`, `target/python/bin/python`. Here they
//! are where this run has them. `foldline` and `cargo run --` are the program under test, and a block `cargo run` is
//! what was done already.

mod fits;
mod shell;

use crate::dev::Dev;
use crate::{python, stack};

use self::shell::Shell;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    language: String,
    text: String,
    /// Of its fence, counted from 1.
    line: usize,
}

/// Runs the page, which is named by its path in the workspace. Panics if a block does not do what the page says, with
/// what it printed; after one that failed, the page ends.
pub async fn run(dev: &Dev, page: &str) {
    let text = std::fs::read_to_string(stack::workspace().join(page));
    let text = text.unwrap_or_else(|error| panic!("{page}: {error}"));
    let (blocks, places) = (blocks(&text), Places::of(dev));
    let mut shell = Shell::open(dev, page).await;
    let mut differences = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        if block.language != "sh" || block.text == "cargo run\n" {
            continue;
        }
        let shown = blocks.get(index + 1).map(|next| Block {
            text: places.here(&next.text),
            ..next.clone()
        });
        let shown = shell.shows(&places.here(&block.text), shown.as_ref()).await;
        if let Err(difference) = shown {
            differences.push(format!("=== {page}:{}: {difference}", block.line));
        }
        if shell.is_gone() {
            break;
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let inside = lines.by_ref().map(|(_, line)| line);
        let inside = inside.take_while(|line| line.trim_start() != "```");
        let text = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()));
        blocks.push(Block {
            language: language.to_owned(),
            text: text.collect(),
            line: number + 1,
        });
    }
    blocks
}

/// What a page calls things, and what they are called here.
struct Places(Vec<(&'static str, String)>);

impl Places {
    fn of(dev: &Dev) -> Self {
        let python = python::with_examples_packages();
        let python = python.map_or("python-is-missing".into(), |path| path.display().to_string());
        Self(vec![
            ("http://127.0.0.1:8080", dev.address("read API")),
            ("http://127.0.0.1:8081", dev.address("write API")),
            (
                "http://127.0.0.1:8082",
                dev.address("projector").replace("/metrics", ""),
            ),
            ("http://127.0.0.1:8085/apis/ccompat/v7", dev.address("schemas")),
            ("127.0.0.1:9092", dev.address("Kafka")),
            (".foldline/data", dev.data().display().to_string()),
            ("target/python/bin/python", python),
            ("cargo run -- ", "foldline ".to_owned()),
        ])
    }

    fn here(&self, text: &str) -> String {
        let replace = |text: String, (there, here): &(&str, String)| text.replace(there, here);
        self.0.iter().fold(text.to_owned(), replace)
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, blocks};

    #[test]
    fn a_page_has_the_blocks_between_its_fences() {
        let page = "text\n```sh\na\n\n  b\n```\n1. item\n   ```json\n   {}\n   ```\n";
        let block = |language: &str, text: &str, line| Block {
            language: language.to_owned(),
            text: text.to_owned(),
            line,
        };
        assert_eq!(
            blocks(page),
            [block("sh", "a\n\n  b\n", 2), block("json", "{}\n", 8)]
        );
    }
}
