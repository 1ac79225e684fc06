//! The commands of `foldline`, on the Kafka and the views of a system.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use foldline_kafka::KafkaSettings;
use serde_json::Value;

use crate::bar::MAKE;

/// Runs commands.
#[derive(Debug, Clone)]
pub struct Cli {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// The projector's folder.
    pub views: PathBuf,
    /// `foldline-under-test`.
    pub program: String,
}

impl Cli {
    /// A command of the program in this make, `views rebuild` with its arguments; Kafka and the folder are added.
    pub fn command(&self, make: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env(MAKE, make).args(words).stdin(Stdio::null());
        let needs_kafka = !matches!(words, ["views", "list" | "drop", ..]);
        if needs_kafka {
            command.args(["--bootstrap-servers", &self.kafka.bootstrap_servers]);
            command.args(["--schema-registry", &self.kafka.schema_registry]);
            command.args(["--topic-prefix", &self.kafka.topic_prefix]);
        }
        command.arg("--data-dir").arg(&self.views);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, make: &str, words: &[&str]) -> Output {
        self.command(make, words).output().expect("the program runs")
    }

    /// Runs it, and returns what it says. Panics if it fails.
    #[track_caller]
    pub fn text(&self, make: &str, words: &[&str]) -> String {
        let output = self.run(make, words);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{words:?} of {make}: {out}\n{err}");
        out
    }

    /// The same, as JSON.
    #[track_caller]
    pub fn json(&self, make: &str, words: &[&str]) -> Value {
        let out = self.text(make, &[words, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Runs it, and returns what it complains of. Panics if it does not.
    #[track_caller]
    pub fn refused(&self, make: &str, words: &[&str]) -> String {
        let output = self.run(make, words);
        assert!(
            !output.status.success(),
            "{words:?} of {make}: {}",
            text(&output.stdout)
        );
        text(&output.stderr)
    }

    /// A program of its own that is this one in a make.
    pub fn program_of(&self, make: &str, folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(format!("foldline-{make}"));
        let script = format!("#!/bin/sh\n{MAKE}={make} exec '{}' \"$@\"\n", self.program);
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
        path
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
