//! The shell that a page is read in.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Block, fits};
use crate::dev::Dev;
use crate::stack;

/// How long a block may take.
const BLOCK_MAX: Duration = Duration::from_secs(120);
/// How long a view may be behind.
const BEHIND_MAX: Duration = Duration::from_secs(10);

/// One bash: what a block sets is there for those after it.
pub(super) struct Shell {
    input: ChildStdin,
    /// A line when a block has succeeded.
    says: Lines<BufReader<ChildStdout>>,
    folder: PathBuf,
    is_gone: bool,
    /// Killed when this is dropped.
    _bash: Child,
}

/// What a block has printed.
struct Printed {
    out: String,
    errors: String,
    has_succeeded: bool,
}

impl Shell {
    pub(super) async fn open(dev: &Dev, page: &str) -> Self {
        let folder = stack::folder().join(stack::unique_name("page"));
        fs::create_dir_all(&folder).expect("a folder under target");
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail"])
            .current_dir(stack::workspace())
            .env("PAGE", page)
            .env("FOLDLINE_BOOTSTRAP_SERVERS", dev.address("Kafka"))
            .env("FOLDLINE_SCHEMA_REGISTRY", dev.address("schemas"))
            .env("FOLDLINE_COMMAND_API", dev.address("write API"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut bash = command.spawn().expect("bash runs");
        let (input, output) = (bash.stdin.take(), bash.stdout.take());
        let mut shell = Self {
            input: input.expect("it is piped"),
            says: BufReader::new(output.expect("it is piped")).lines(),
            folder,
            is_gone: false,
            _bash: bash,
        };
        let program = format!("foldline() {{ '{}' \"$@\"; }}\n", dev.program().display());
        assert!(shell.run(&program).await.has_succeeded);
        shell
    }

    /// Runs a block, and looks whether it prints what is shown. An error is what is wrong, for a person.
    pub(super) async fn shows(&mut self, script: &str, shown: Option<&Block>) -> Result<(), String> {
        let started_at = Instant::now();
        loop {
            let printed = self.run(script).await;
            let difference = match shown {
                _ if !printed.has_succeeded => "it failed".to_owned(),
                Some(shown) => match printed.shows(shown) {
                    Ok(()) => return Ok(()),
                    Err(difference) => difference,
                },
                None => return Ok(()),
            };
            let is_over = self.is_gone || started_at.elapsed() > BEHIND_MAX;
            if is_over || !only_reads(script) {
                let Printed { out, errors, .. } = printed;
                return Err(format!(
                    "{difference}\n--- block\n{script}--- printed\n{out}\n{errors}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a block has failed, and the shell with it.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    async fn run(&mut self, script: &str) -> Printed {
        let [block, out, errors] = ["block", "out", "errors"].map(|name| self.folder.join(name));
        fs::write(&block, script).expect("a file under target");
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            line,
            "source '{}' >'{}' 2>'{}' </dev/null; echo done",
            block.display(),
            out.display(),
            errors.display()
        );
        // A shell that is gone says nothing either.
        let _ = self.input.write_all(line.as_bytes()).await;
        let said = timeout(BLOCK_MAX, self.says.next_line()).await;
        let has_succeeded = matches!(said, Ok(Ok(Some(_))));
        self.is_gone = !has_succeeded;
        let read = |path| fs::read(path).map_or_else(|_| String::new(), |bytes| lossy(&bytes));
        Printed {
            out: read(out),
            errors: read(errors),
            has_succeeded,
        }
    }
}

impl Printed {
    /// An error is what is wrong.
    fn shows(&self, shown: &Block) -> Result<(), String> {
        let fits = match shown.language.as_str() {
            "json" => fits::json(&parsed(&shown.text)?, &self.answer()?),
            "text" => {
                let pattern: Vec<&str> = shown.text.trim_end().lines().collect();
                let out: Vec<&str> = self.out.trim_end().lines().collect();
                fits::lines(&pattern, &out)
            }
            _ => true,
        };
        match fits {
            true => Ok(()),
            false => Err(format!(
                "it prints something else than is shown\n--- shown\n{}",
                shown.text
            )),
        }
    }

    fn answer(&self) -> Result<serde_json::Value, String> {
        let last = self.out.lines().rfind(|line| !line.trim().is_empty());
        parsed(&self.out).or_else(|_| parsed(last.unwrap_or_default()))
    }
}

fn parsed(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON ({error}): {text}"))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether it changes nothing, so that it can be asked again.
fn only_reads(script: &str) -> bool {
    let has_body = |line: &str| {
        [" -d", " --data", " -X", " -T"]
            .iter()
            .any(|flag| line.contains(flag))
    };
    let mut lines = script.lines().filter(|line| !line.trim().is_empty());
    lines.all(|line| line.starts_with("curl ") && !has_body(line))
}
