//! One more command handler beside that of a system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use foldline_kafka::KafkaSettings;
use foldline_stack::{Child, Port, Quiet};

use crate::client::Client;
use crate::stack;

/// A line that is slow makes a start slow.
const READY_MAX: Duration = Duration::from_secs(180);

/// A command handler. Dropping it kills it.
pub struct Handler {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    state: PathBuf,
}

impl Handler {
    /// Starts one with this name among its like, and a folder of its own.
    pub async fn launch(kafka: &KafkaSettings, instance: &str, program: &str) -> Self {
        Self::launch_with(kafka, instance, program, &[]).await
    }

    /// As [`launch`](Self::launch), with more arguments.
    pub async fn launch_with(kafka: &KafkaSettings, instance: &str, program: &str, more: &[&str]) -> Self {
        let mut handler = Self::prepare(kafka, instance, program, more).await;
        handler.start_again();
        handler
    }

    /// As [`launch_with`](Self::launch_with), and does not start it.
    pub async fn prepare(kafka: &KafkaSettings, instance: &str, program: &str, more: &[&str]) -> Self {
        let folder = stack::folder().join(stack::unique_name("handler"));
        let child = Child::open("command-handler", &folder, &Port::any(), &Quiet).await;
        let child = child.expect("a folder and a port");
        let state = folder.join("state");
        let listen = format!("127.0.0.1:{}", child.port());
        let arguments = [
            ["--listen", &listen],
            ["--log-format", "text"],
            ["--auth", "none"],
            ["--instance", instance],
            ["--bootstrap-servers", &kafka.bootstrap_servers],
            ["--schema-registry", &kafka.schema_registry],
            ["--topic-prefix", &kafka.topic_prefix],
            ["--state-dir", &state.display().to_string()],
        ];
        let arguments = arguments.as_flattened().iter().chain(more);
        Self {
            child,
            program: program.into(),
            arguments: arguments.map(|argument| (*argument).to_owned()).collect(),
            state,
        }
    }

    /// Starts it, while it is not running.
    pub fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("command-handler").args(&self.arguments);
        self.child.start(command).expect("a command handler starts");
    }

    /// Loses its disk, while it is not running.
    pub fn lose_its_disk(&self) {
        fs::remove_dir_all(&self.state).expect("a state folder");
    }

    /// SIGKILL; returns when it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await;
    }

    /// Returns when it says that it is ready.
    pub async fn wait_until_ready(&self) {
        let write = self.write();
        let ready = self.child.ready(READY_MAX, || write.is_ready()).await;
        if let Err(error) = ready {
            panic!("the command handler is not ready: {error}\n{}", self.log());
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.child.pid().is_some()
    }

    /// SIGTERM; returns when it is gone.
    pub async fn stop(&mut self) {
        self.child.stop().await;
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.child.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.child.resume();
    }

    /// A client of its write API.
    pub fn write(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.child.port()))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.child.log()).unwrap_or_default()
    }
}
