//! A program's folder of data: one process at a time, and nobody left over from the last one.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{Progress, StackError, Step};

/// How long a left-over process may take to end after SIGTERM.
const LEFTOVER_STOP_MAX: Duration = Duration::from_secs(5);
/// How long a new child may take to become its program.
const BECOMING_MAX: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    /// The operating system gives the lock back when this process ends, however it ends.
    _lock: File,
}

impl Home {
    /// Makes the folder if need be, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StackError> {
        let doing = || format!("open the data folder {}", path.display());
        fs::create_dir_all(path).map_err(StackError::io(doing()))?;
        // Absolute, because the children run in it and because it is how a left-over process is recognised.
        let path = path.canonicalize().map_err(StackError::io(doing()))?;
        let lock = File::create(path.join("lock")).map_err(StackError::io(doing()))?;
        let started_at = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                // A child that another thread is just starting holds our files open until it has become its program:
                // a lock that was given back a moment ago may seem to be held.
                Err(TryLockError::WouldBlock) if started_at.elapsed() < BECOMING_MAX => {
                    thread::sleep(LOOK_AGAIN)
                }
                Err(TryLockError::WouldBlock) => return Err(StackError::DataInUse { data: path }),
                Err(TryLockError::Error(error)) => return Err(StackError::io(doing())(error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A new folder for what Java unpacks of its archives, as a flag for it. A process that is killed leaves that behind: here it goes
    /// with the next start, and not into everybody's folder for such files, which would grow.
    pub(crate) fn temporary(&self) -> Result<String, StackError> {
        let folder = self.join("tmp");
        let doing = || format!("empty {}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(StackError::io(doing()))?;
        }
        fs::create_dir(&folder).map_err(StackError::io(doing()))?;
        Ok(format!("-Djava.io.tmpdir={}", folder.display()))
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.join("pid")
    }

    /// Keeps one log of the run before: the last lines of a crash are wanted after the next start too.
    pub(crate) fn rotate(&self, log: &Path) -> Result<(), StackError> {
        let previous = log.with_extension("log.previous");
        match fs::rename(log, &previous) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StackError::io(format!("rename {}", log.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// Stops a process that an earlier run started on this folder and did not get to stop. We hold the lock,
    /// so nobody else can have started it just now.
    pub(crate) async fn stop_leftover(&self, progress: &dyn Progress) {
        let pid_file = self.pid_file();
        let Some(pid) = fs::read_to_string(&pid_file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
        else {
            return;
        };
        if let Some(target) = Pid::from_raw(pid)
            && self.is_named_by(target)
        {
            progress.step(&Step::StoppingLeftover {
                pid: pid.unsigned_abs(),
            });
            // SIGCONT, because a stopped process would keep SIGTERM for later.
            for (signal, wait) in [
                (Signal::CONT, Duration::ZERO),
                (Signal::TERM, LEFTOVER_STOP_MAX),
                (Signal::KILL, LEFTOVER_STOP_MAX),
            ] {
                // Refused only if the process is gone, which is what we want.
                let _ = kill_process(target, signal);
                if self.is_gone_within(target, wait).await {
                    break;
                }
            }
        }
        let _ = fs::remove_file(pid_file);
    }

    async fn is_gone_within(&self, pid: Pid, wait: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while self.is_named_by(pid) {
            if waited >= wait {
                return false;
            }
            sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
        true
    }

    /// Whether the process's command line names this folder. A process id alone proves nothing: ids are used
    /// again. A dead one that nobody has reaped has no command line.
    fn is_named_by(&self, pid: Pid) -> bool {
        let Some(command) = command_line(pid) else {
            return false;
        };
        command.contains(&format!("{}/", self.path.display()))
    }
}

fn command_line(pid: Pid) -> Option<String> {
    let pid = pid.as_raw_nonzero();
    let bytes = if Path::new("/proc/self/cmdline").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).ok()?
    } else {
        // macOS and the BSDs.
        Command::new("ps")
            .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
            .output()
            .ok()?
            .stdout
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
