//! `foldline dev`, as `cargo run` starts it, on ports and in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foldline_stack::{Child, Port, Quiet};

use crate::stack;

const UP_MAX: Duration = Duration::from_secs(120);

/// The whole system, as a new user starts it.
pub struct Dev {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    /// By service. Found here and not by the program: it does not know which are those of a service of another test that is
    /// just started again, whose clients would then be answered by this system.
    ports: [(&'static str, u16); SERVICES.len()],
}

const SERVICES: [&str; 5] = ["query-api", "command-handler", "projector", "kafka", "registry"];

impl Dev {
    /// Starts it, and returns when it says that everything is up.
    pub async fn start(test: &str, program: &str) -> Self {
        let folder = stack::folder().join(stack::unique_name(test));
        let child = Child::open("dev", &folder.join("dev"), &Port::any(), &Quiet)
            .await
            .expect("a folder");
        let mut dev = Self {
            child,
            program: program.into(),
            folder,
            ports: SERVICES.map(|service| (service, stack::free_port())),
        };
        dev.restart().await;
        dev
    }

    /// Starts it again on the same data.
    pub async fn restart(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("dev").arg("--data").arg(self.data());
        command
            .arg("--cache")
            .arg(stack::workspace().join(".foldline/cache"));
        for (service, port) in &self.ports {
            command.args([format!("--port-{service}"), port.to_string()]);
        }
        self.child.start(command).expect("dev starts");
        let is_up = async || self.output().contains("Everything is up");
        self.child.ready(UP_MAX, is_up).await.expect("everything is up");
    }

    /// SIGTERM; returns when it is gone.
    pub async fn stop(&mut self) {
        self.child.stop().await;
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.child.log()).unwrap_or_default()
    }

    /// An address that it has printed: `write API`, `read API`, `projector`, `Kafka`, `schemas`.
    pub fn address(&self, what: &str) -> String {
        let output = self.output();
        let mut lines = output
            .lines()
            .skip_while(|line| !line.starts_with("Everything is up"));
        let line = lines.find_map(|line| line.trim_start().strip_prefix(what));
        line.unwrap_or_else(|| panic!("no {what} in {output}"))
            .trim()
            .to_owned()
    }

    /// The program that it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it keeps: the folder that is `.foldline/data` after `cargo run`.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it tells the user to paste.
    pub fn commands_to_paste(&self) -> Vec<String> {
        let output = self.output();
        let lines = output
            .lines()
            .skip_while(|line| !line.starts_with("Paste these"))
            .skip(1);
        lines
            .take_while(|line| line.starts_with("  "))
            .map(|line| line.trim().to_owned())
            .collect()
    }
}
