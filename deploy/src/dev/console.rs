use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldline_stack::{Progress, Step};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows what happens, on stderr: a line for each thing that is done, and on a terminal a moving line below them for
/// what is being done.
pub(crate) struct Console {
    is_terminal: bool,
    doing: Mutex<Doing>,
}

#[derive(Default)]
struct Doing {
    things: Vec<String>,
    /// There is one while there are things.
    spinner: Option<ProgressBar>,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
            doing: Mutex::default(),
        }
    }

    /// `what` is being done now: "starting Apache Kafka".
    pub(crate) fn begin(&self, what: &str) {
        if !self.is_terminal {
            return self.line(what);
        }
        let mut doing = self.lock();
        doing.things.push(what.to_owned());
        doing.show();
    }

    /// `what` is done, and `line` says so.
    pub(crate) fn end(&self, what: &str, line: &str) {
        self.line(line);
        let mut doing = self.lock();
        doing.things.retain(|other| other != what);
        doing.show();
    }

    /// Something that is done, or that went wrong.
    pub(crate) fn line(&self, text: &str) {
        // A terminal that is gone is no reason to stop.
        let write = || drop(writeln!(stderr(), "{text}"));
        match &self.lock().spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        }
    }

    /// Nothing is being done any more.
    pub(crate) fn clear(&self) {
        let mut doing = self.lock();
        doing.things.clear();
        doing.show();
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doing {
    fn show(&mut self) {
        if self.things.is_empty() {
            if let Some(spinner) = self.spinner.take() {
                spinner.finish_and_clear();
            }
            return;
        }
        let spinner = self.spinner.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let style = style.expect("the template is right");
            let spinner = ProgressBar::new_spinner().with_style(style);
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        spinner.set_message(self.things.join(", "));
    }
}

impl Progress for Console {
    fn step(&self, step: &Step) {
        match step {
            Step::Starting { .. } => self.begin(&step.to_string()),
            Step::Ready { name, .. } => self.end(&Step::Starting { name }.to_string(), &step.to_string()),
            other => self.line(&other.to_string()),
        }
    }
}
