use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;

use crate::data::Home;
use crate::port::number_of;
use crate::process::{Launch, Process};
use crate::{Port, Progress, StackError};

/// Any other program as a child, with what the broker and the registry have: it does not outlive this process, has a
/// folder of its own and a log in it, and is killed when it is dropped.
///
/// Its command line must name a file in its folder. That is how the next run finds it, should it be left over.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    // Before `home`, because fields are dropped in this order: the process goes before the lock on its data.
    process: Option<Process>,
    home: Home,
    port: u16,
}

impl Child {
    /// Opens the folder, stops what an earlier run has left there, and chooses the port; nothing runs yet.
    pub async fn open(
        name: &'static str,
        folder: &Path,
        port: &Port,
        progress: &dyn Progress,
    ) -> Result<Self, StackError> {
        let home = Home::open(folder)?;
        home.stop_leftover(progress).await;
        let port = number_of(&port.reserve(name)?)?;
        Ok(Self {
            name,
            process: None,
            home,
            port,
        })
    }

    /// Starts it, with its output in [`log`](Self::log).
    pub fn start(&mut self, command: Command) -> Result<(), StackError> {
        let log = self.log();
        self.home.rotate(&log)?;
        let process = Process::spawn(Launch {
            name: self.name,
            command,
            output: log.clone(),
            log,
            pid_file: Some(self.home.pid_file()),
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until `answers` says yes. Fails at once if the program ends, and at the bound.
    pub async fn ready<F>(&self, within: Duration, answers: impl Fn() -> F) -> Result<(), StackError>
    where
        F: Future<Output = bool>,
    {
        match &self.process {
            Some(process) => process.ready(within, answers).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until it ends by itself; for ever if it was not started.
    pub async fn ended(&self) -> ExitStatus {
        match &self.process {
            Some(process) => process.wait().await,
            None => std::future::pending().await,
        }
    }

    /// An orderly end: SIGTERM, and SIGKILL if that takes too long.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// `kill -9`; returns when it is gone.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Holds it with SIGSTOP.
    pub fn pause(&self) {
        self.process
            .iter()
            .for_each(|process| process.signal(Signal::STOP));
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process
            .iter()
            .for_each(|process| process.signal(Signal::CONT));
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process
            .as_ref()
            .filter(|process| process.status().is_none())
            .map(Process::pid)
    }

    /// What it is called towards the user.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The port that was found for it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, an absolute path.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Where its output goes. The log of the run before is kept beside it.
    pub fn log(&self) -> PathBuf {
        self.home.join(&format!("{}.log", self.name))
    }

    /// The last thing that it has said.
    pub fn last_line(&self) -> Option<String> {
        let (_, lines) = self.process.as_ref()?.last_lines();
        lines.lines().last().map(str::to_owned)
    }
}
