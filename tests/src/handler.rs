//! One more command handler beside that of a system.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use foldline_kafka::KafkaSettings;
use foldline_stack::{Child, Port, Quiet};

use crate::client::Client;
use crate::stack;

const READY_MAX: Duration = Duration::from_secs(60);

/// A command handler. Dropping it kills it.
pub struct Handler {
    child: Child,
}

impl Handler {
    /// Starts one with this name among its like, and a folder of its own.
    pub async fn launch(kafka: &KafkaSettings, instance: &str, program: &str) -> Self {
        let folder = stack::folder().join(stack::unique_name("handler"));
        let child = Child::open("command-handler", &folder, &Port::any(), &Quiet).await;
        let mut child = child.expect("a folder and a port");
        let mut command = Command::new(program);
        command
            .arg("command-handler")
            .args(["--listen", &format!("127.0.0.1:{}", child.port())])
            .args(["--log-format", "text"])
            .args(["--instance", instance])
            .args(["--bootstrap-servers", &kafka.bootstrap_servers])
            .args(["--schema-registry", &kafka.schema_registry])
            .args(["--topic-prefix", &kafka.topic_prefix])
            .arg("--state-dir")
            .arg(folder.join("state"));
        child.start(command).expect("a command handler starts");
        Self { child }
    }

    /// Returns when it says that it is ready.
    pub async fn wait_until_ready(&self) {
        let write = self.write();
        let ready = self.child.ready(READY_MAX, || write.is_ready()).await;
        if let Err(error) = ready {
            panic!("the command handler is not ready: {error}\n{}", self.log());
        }
    }

    /// Waits until it ends by itself.
    pub async fn ended(&self) -> ExitStatus {
        self.child.ended().await
    }

    /// SIGTERM; returns when it is gone.
    pub async fn stop(&mut self) {
        self.child.stop().await;
    }

    /// A client of its write API.
    pub fn write(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.child.port()))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.child.log()).unwrap_or_default()
    }
}
