//! A test that hangs is named, with what its processes said last. Whoever ends the whole run from outside would learn neither.

use std::cmp::Reverse;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stack;

/// The longest one, of faults, took 651 s on a machine that was busy with much else.
const TEST_MAX: Duration = Duration::from_secs(1800);
const LOOK: Duration = Duration::from_secs(1);
/// Of each log, the newest first.
const LINES: usize = 15;
const LOGS: usize = 12;
/// What a run ends with in which a test has failed.
const FAILED: i32 = 101;

static RUNNING: LazyLock<Mutex<Vec<(String, Instant)>>> = LazyLock::new(|| {
    thread::spawn(watch);
    Mutex::default()
});

thread_local!(static TEST: Running = Running::begin());

/// The test of this thread, until its thread ends.
struct Running {
    name: Option<String>,
}

/// Ends the whole run, and says why, if the test that calls this takes too long.
pub fn limited() {
    TEST.with(|_| ());
}

impl Running {
    fn begin() -> Self {
        // The harness names a test's thread like the test; those of tokio have no module in their names.
        let name = thread::current()
            .name()
            .filter(|name| name.contains("::"))
            .map(str::to_owned);
        if let Some(name) = &name {
            running().push((name.clone(), Instant::now()));
        }
        Self { name }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        running().retain(|(name, _)| Some(name) != self.name.as_ref());
    }
}

fn running() -> MutexGuard<'static, Vec<(String, Instant)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() {
    loop {
        thread::sleep(LOOK);
        let hangs = |(_, since): &&(String, Instant)| since.elapsed() > TEST_MAX;
        let name = running().iter().find(hangs).map(|(name, _)| name.clone());
        if let Some(name) = name {
            end(&name);
        }
    }
}

/// The harness captures what a test prints, and shows it when the test is over: this one never will be.
fn end(name: &str) -> ! {
    let minutes = TEST_MAX.as_secs() / 60;
    let mut said = format!("\n{name} has not ended within {minutes} minutes. What was logged last:\n");
    for log in newest_logs(&stack::folder()) {
        said += &format!("--- {}\n{}\n", log.display(), last_lines(&log));
    }
    let _ = std::io::stderr().write_all(said.as_bytes());
    std::process::exit(FAILED)
}

fn newest_logs(folder: &Path) -> Vec<PathBuf> {
    // Kafka calls its data so too.
    let is_data = |path: &Path| {
        let within = path.strip_prefix(folder).unwrap_or(path);
        within.components().any(|part| part.as_os_str() == "data")
    };
    let is_log = |path: &PathBuf| path.extension().is_some_and(|end| end == "log") && !is_data(path);
    let mut logs: Vec<PathBuf> = stack::files_below(folder).into_iter().filter(is_log).collect();
    logs.sort_by_key(|log| Reverse(fs::metadata(log).and_then(|meta| meta.modified()).ok()));
    logs.truncate(LOGS);
    logs
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
