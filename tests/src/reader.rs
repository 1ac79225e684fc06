//! One more query API beside that of a system, on the same views.

use std::process::Command;
use std::time::Duration;

use foldline_stack::{Child, Port, Quiet};

use crate::client::Client;
use crate::stack;
use crate::system::System;

const READY_MAX: Duration = Duration::from_secs(60);

/// A query API. Dropping it kills it.
pub struct Reader {
    child: Child,
}

impl Reader {
    /// Starts one, with so many open files as its soft limit.
    pub async fn launch(system: &System, program: &str, files: u32) -> Self {
        let folder = stack::folder().join(stack::unique_name("reader"));
        let child = Child::open("query-api", &folder, &Port::any(), &Quiet).await;
        let mut child = child.expect("a folder and a port");
        let views = system.views_folder().join("views.db");
        let mut command = Command::new("sh");
        let limited = format!("ulimit -Sn {files} && exec \"$@\"");
        command.args(["-c", &limited, "sh", program, "query-api"]);
        command.args(["--listen", &format!("127.0.0.1:{}", child.port())]);
        command.args(["--log-format", "text", "--views", &views.display().to_string()]);
        command.args(["--topic-prefix", &system.kafka.topic_prefix]);
        command.args(["--bootstrap-servers", &system.kafka.bootstrap_servers]);
        command.args(["--auth", "none"]);
        child.start(command).expect("a query API starts");
        let reader = Self { child };
        let read = reader.read();
        let ready = reader.child.ready(READY_MAX, || read.is_ready()).await;
        if let Err(error) = ready {
            panic!("the query API is not ready: {error}");
        }
        reader
    }

    /// A client of it.
    pub fn read(&self) -> Client {
        Client::new(&format!("http://{}", self.address()))
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.child.port())
    }

    /// What it has in memory, in bytes.
    pub fn memory(&self) -> usize {
        let pid = std::fs::read_to_string(self.child.folder().join("pid")).expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<usize>().ok());
        kilobytes.expect("a size") * 1024
    }
}
