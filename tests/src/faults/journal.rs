//! The history file of a run: a line of JSON for each thing that was done, asked, told or read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::check::reads::TokenRead;
use crate::load::Entry;

/// An open history file. Lines are on disk after [`flush`](Self::flush).
pub struct Journal(BufWriter<File>);

impl Journal {
    /// A new file. Panics if there can be none.
    pub fn create(path: &Path) -> Self {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(BufWriter::new(file))
    }

    /// What was done to the system, and what came of it.
    pub fn event(&mut self, event: &Value) {
        self.line(event);
        self.flush();
    }

    /// Commands with their answers.
    pub fn commands(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.line(&json!({"command": entry}));
        }
        self.flush();
    }

    /// Reads with a token.
    pub fn reads(&mut self, reads: &[TokenRead]) {
        for read in reads {
            self.line(&json!({"read": read}));
        }
        self.flush();
    }

    fn line(&mut self, line: &Value) {
        writeln!(self.0, "{line}").expect("the history can be written");
    }

    fn flush(&mut self) {
        self.0.flush().expect("the history can be written");
    }
}
