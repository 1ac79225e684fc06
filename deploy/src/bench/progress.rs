//! What is going on, on stderr: the tables alone go to stdout.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use foldline_stack::{Progress, Step};
use indicatif::{ProgressBar, ProgressStyle};

/// A moving line on a terminal, and plain lines where there is none.
pub(crate) struct Doing(Option<ProgressBar>);

impl Doing {
    pub(crate) fn new() -> Self {
        Self(stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let style = style.expect("the template is right");
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        }))
    }

    /// This begins now.
    pub(crate) fn next(&self, what: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(what.to_owned()),
            None => eprintln!("{what}"),
        }
    }

    /// Nothing is going on any more.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Doing {
    fn step(&self, step: &Step) {
        self.next(&step.to_string());
    }
}
