use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// How far a long command is: one moving line on a terminal, and nothing where there is none.
#[derive(Clone)]
pub(crate) struct Line(ProgressBar);

impl Line {
    pub(crate) fn new() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let style = style.expect("the template is right");
        Self(ProgressBar::new_spinner().with_style(style))
    }

    pub(crate) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.tick();
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
