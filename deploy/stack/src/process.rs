//! A child process that does not outlive this one.
//!
//! - Dropping a [`Process`] kills it, and waits until it is gone.
//! - If this process is killed, nothing here runs any more. So each child has a watcher, a shell that reads
//!   from a pipe whose other end only we hold: when we are gone, the read ends and the shell kills the child.
//!   (`PR_SET_PDEATHSIG` would be the kernel's way, but it is Linux alone, and it fires when the *thread*
//!   that started the child ends, as a test's thread does.)
//! - Should the watcher be gone too, the next start on the same data finds the child by its pid file: see
//!   `data.rs`.
//!
//! Each child has a thread that waits for it, and not tokio, because tokio's children belong to one runtime,
//! and a broker shared by the tests of a binary outlives the runtime of the test that started it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::StackError;

/// Kills the process named by `$0` when its input ends without a line.
const WATCHER: &str = "read -r _ || kill -KILL \"$0\"";

/// How long SIGTERM may take before SIGKILL follows. A broker with little to do takes 0.3 s.
const TERM_MAX: Duration = Duration::from_secs(15);
/// How long SIGKILL may take. It only takes long if the machine hangs.
const KILL_MAX: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How many lines of its log an error shows.
const TAIL_LINES: usize = 20;

/// How to start a child.
pub(crate) struct Launch {
    /// What it is called towards the user.
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    /// Where its stdout and stderr go.
    pub(crate) output: PathBuf,
    /// Where it logs, the same as `output` if it has no log of its own.
    pub(crate) log: PathBuf,
    /// Names it to the next run, while it lives.
    pub(crate) pid_file: Option<PathBuf>,
}

/// A running child process, or one that has ended.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    pid: Pid,
    output: PathBuf,
    log: PathBuf,
    /// Whether it was reaped; held while a signal is sent, so that none goes to a process that got the same
    /// id later.
    reaped: Arc<Mutex<bool>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts the child in its own process group: Ctrl-C in a terminal reaches us alone, and we stop things
    /// in the right order.
    pub(crate) fn spawn(mut launch: Launch) -> Result<Self, StackError> {
        let doing = || format!("start {}", launch.name);
        let output = File::create(&launch.output).map_err(StackError::io(doing()))?;
        let errors = output.try_clone().map_err(StackError::io(doing()))?;
        launch
            .command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let mut child = launch.command.spawn().map_err(StackError::io(doing()))?;

        let guarded = watch_over(&child).and_then(|watcher| {
            if let Some(pid_file) = &launch.pid_file {
                fs::write(pid_file, child.id().to_string())?;
            }
            Ok(watcher)
        });
        let watcher = match guarded {
            Ok(watcher) => watcher,
            Err(error) => {
                // A child without a watcher might stay for ever. Both fail only if it has ended already.
                let _ = child.kill();
                let _ = child.wait();
                return Err(StackError::io(doing())(error));
            }
        };
        tracing::info!(name = launch.name, pid = child.id(), "started");

        let pid = Pid::from_child(&child);
        let reaped = Arc::new(Mutex::new(false));
        let (ended_sender, ended) = watch::channel(None);
        let reaper = Reaper {
            name: launch.name,
            child,
            watcher,
            pid_file: launch.pid_file,
            reaped: reaped.clone(),
        };
        thread::Builder::new()
            .name("foldline-reaper".to_owned())
            .spawn(move || ended_sender.send_replace(Some(reaper.run())))
            .map_err(StackError::io(format!(
                "start the thread that waits for {}",
                launch.name
            )))?;
        Ok(Self {
            name: launch.name,
            pid,
            output: launch.output,
            log: launch.log,
            reaped,
            ended,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits until it ends.
    pub(crate) async fn wait(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        let status = ended
            .wait_for(Option::is_some)
            .await
            .expect("the reaper sends before it ends");
        status.expect("just waited for")
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        let reaped = lock(&self.reaped);
        if !*reaped && let Err(error) = kill_process(self.pid, signal) {
            tracing::warn!(name = self.name, %error, ?signal, "could not send a signal");
        }
    }

    /// Asks it to end, and makes it end if it does not.
    pub(crate) async fn stop(&self) {
        // A paused process would keep SIGTERM for later.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        if timeout(TERM_MAX, self.wait()).await.is_err() {
            tracing::warn!(name = self.name, "did not stop on SIGTERM, sending SIGKILL");
            self.kill().await;
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        self.signal(Signal::KILL);
        if timeout(KILL_MAX, self.wait()).await.is_err() {
            tracing::error!(name = self.name, pid = self.pid(), "did not end on SIGKILL");
        }
    }

    /// Waits until `answers` says yes; fails at once if the process ends, and at the bound.
    pub(crate) async fn ready<F>(&self, within: Duration, answers: impl Fn() -> F) -> Result<(), StackError>
    where
        F: Future<Output = bool>,
    {
        let asking = async {
            while !answers().await {
                sleep(ASK_AGAIN).await;
            }
        };
        tokio::select! {
            () = asking => Ok(()),
            status = self.wait() => {
                let (log, tail) = self.last_lines();
                Err(StackError::Exited { name: self.name, status, log, tail })
            }
            () = sleep(within) => {
                let (log, tail) = self.last_lines();
                Err(StackError::Timeout { name: self.name, seconds: within.as_secs(), log, tail })
            }
        }
    }

    /// The log and its last lines, with what it printed outside of the log: that is where Java says what it
    /// does not like.
    pub(crate) fn last_lines(&self) -> (PathBuf, String) {
        let mut lines = read_lines(&self.log);
        if self.output != self.log {
            lines.extend(read_lines(&self.output));
        }
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        (self.log.clone(), lines.split_off(skipped).join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Blocks for some milliseconds, so that its port and its files are free when the drop is over.
        let killed_at = Instant::now();
        while self.status().is_none() && killed_at.elapsed() < KILL_MAX {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What the thread behind a child holds.
struct Reaper {
    name: &'static str,
    child: Child,
    watcher: Child,
    pid_file: Option<PathBuf>,
    reaped: Arc<Mutex<bool>>,
}

impl Reaper {
    fn run(mut self) -> ExitStatus {
        // The id stays the child's until it is reaped below. So the watcher can be dismissed first, and
        // cannot hit a stranger.
        let pid = Pid::from_child(&self.child);
        let seen = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        if let Err(error) = seen {
            tracing::warn!(name = self.name, %error, "could not wait for a child process");
        }
        if let Some(mut input) = self.watcher.stdin.take() {
            // Fails only if the watcher is gone already.
            let _ = input.write_all(b"\n");
        }
        let _ = self.watcher.wait();
        if let Some(pid_file) = &self.pid_file {
            let _ = fs::remove_file(pid_file);
        }
        let mut reaped = lock(&self.reaped);
        let status = self
            .child
            .wait()
            .expect("our own child, which only this thread reaps");
        *reaped = true;
        drop(reaped);
        tracing::info!(name = self.name, %status, "ended");
        status
    }
}

/// Starts the shell that kills the child when we are gone. It has its own process group, as the child has.
fn watch_over(child: &Child) -> std::io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", WATCHER, &child.id().to_string()])
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// A flag cannot be left half changed by a panic.
fn lock(flag: &Mutex<bool>) -> MutexGuard<'_, bool> {
    flag.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_lines(file: &Path) -> Vec<String> {
    let bytes = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect()
}
