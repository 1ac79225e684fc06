//! What a check says.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::findings::{Example, Findings};
use crate::refold::Counts;

/// What a check has read, compared and found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether there was a recording to compare with: if not, decisions and snapshots were compared, with the log.
    pub has_recording: bool,
    /// What was read.
    pub counts: Counts,
    /// What was compared with the recording.
    pub compared: Compared,
    /// What has changed.
    pub findings: Findings,
    /// What follows from it for the code.
    pub advice: Vec<String>,
}

/// How much was compared with a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Aggregates: each in its state after every event.
    pub aggregates: u64,
    /// Rows of views.
    pub rows: u64,
    /// States, without a recording: with the snapshots that the system keeps.
    pub snapshots: u64,
}

/// How much of a value is shown.
const VALUE_MAX: usize = 120;

/// Groups that are shown; `--json` has all.
const GROUPS_MAX: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            events,
            commands,
            gone,
            not_rerun,
        } = self.counts;
        writeln!(
            f,
            "{events} events were read, {commands} commands decided once more"
        )?;
        if gone > 0 {
            writeln!(f, "{gone} commands are gone by retention: they were not checked")?;
        }
        if not_rerun > 0 {
            writeln!(
                f,
                "{not_rerun} commands were not checked: repetitions, dry runs, too early ones, and those of aggregates \
                 that cannot be read"
            )?;
        }
        let Compared {
            aggregates,
            rows,
            snapshots,
        } = self.compared;
        if self.has_recording {
            writeln!(
                f,
                "{aggregates} aggregates and {rows} rows were compared with the recording"
            )?;
        } else {
            writeln!(
                f,
                "{snapshots} states were compared with snapshots, and no rows: that takes a recording of the running \
                 version (--against)"
            )?;
        }
        for (key, group) in self.findings.groups.iter().take(GROUPS_MAX) {
            let accepted = if group.accepted { ", accepted" } else { "" };
            writeln!(f, "\n{key}: {}{accepted}", group.count)?;
            group
                .examples
                .iter()
                .try_for_each(|example| writeln!(f, "    {example}"))?;
        }
        let hidden = self.findings.groups.len().saturating_sub(GROUPS_MAX);
        if hidden > 0 {
            writeln!(f, "\nand {hidden} more kinds of findings: --json has them")?;
        }
        self.advice
            .iter()
            .try_for_each(|advice| writeln!(f, "\n{advice}"))
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.at.is_empty() {
            write!(f, ", {}", self.at)?;
        }
        match (&self.before, &self.after) {
            (None, None) => Ok(()),
            (None, Some(after)) => write!(f, ": now {}", brief(after)),
            (Some(before), None) => write!(f, ": was {}, and is not there any more", brief(before)),
            (Some(before), Some(after)) => write!(f, ": was {}, now {}", brief(before), brief(after)),
        }
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
