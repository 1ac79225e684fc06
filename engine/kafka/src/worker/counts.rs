//! What is counted of a batch: once for all of a kind, because a counter costs more than a decision.

use std::collections::HashMap;

use super::outcome::Made;
use crate::catalog::Catalog;

#[derive(Default)]
pub(super) struct Counts<'a> {
    /// By aggregate type, command and outcome.
    commands: HashMap<(usize, &'a str, &'a str), u64>,
    events: HashMap<usize, u64>,
    dead_letters: HashMap<usize, u64>,
}

impl<'a> Counts<'a> {
    pub(super) fn decided(&mut self, index: usize, made: &'a Made) {
        let result = &made.result;
        let outcome = match (result.dry_run, result.replayed) {
            (true, _) => "dry-run",
            (false, true) => "replayed",
            (false, false) => &result.outcome,
        };
        *self
            .commands
            .entry((index, &result.command_type, outcome))
            .or_default() += 1;
        *self.events.entry(index).or_default() += made.events.len() as u64;
    }

    pub(super) fn dead_letter(&mut self, index: usize) {
        *self.dead_letters.entry(index).or_default() += 1;
    }

    pub(super) fn tell(self, catalog: &Catalog) {
        let name = |index: usize| catalog.types()[index].name.clone();
        for ((index, command, outcome), count) in self.commands {
            let labels = [
                ("aggregate", name(index)),
                ("command", command.to_owned()),
                ("outcome", outcome.to_owned()),
            ];
            metrics::counter!("foldline_commands_total", &labels).increment(count);
        }
        for (index, count) in self.events {
            metrics::counter!("foldline_events_appended_total", "aggregate" => name(index)).increment(count);
        }
        for (index, count) in self.dead_letters {
            let topic = catalog.types()[index].commands.name.clone();
            let labels = [("source", topic), ("stage", "decode".to_owned())];
            metrics::counter!("foldline_dead_letters_total", &labels).increment(count);
        }
    }
}
