use foldline_core::Timestamp;
use foldline_kafka::DeadLetter;
use foldline_views::ParkedEntry;
use serde_json::{Value, json};

use super::{Desk, Letter};

/// A line of the list.
struct Line {
    letter: Letter,
    at: Option<Timestamp>,
    reason: String,
    /// `open`, `retried`, `dropped: it was a test`.
    state: String,
    is_open: bool,
}

pub(super) fn run(desk: &Desk, all: bool, as_json: bool) -> anyhow::Result<()> {
    let commands = desk.letters.all()?;
    let parked = desk.parked()?;
    let lines = commands
        .iter()
        .map(of_command)
        .chain(parked.iter().map(of_parked));
    let lines: Vec<Line> = lines.filter(|line| all || line.is_open).collect();
    if as_json {
        println!("{}", Value::from_iter(lines.iter().map(item)));
        return Ok(());
    }
    for line in &lines {
        let at = line.at.map(|at| at.to_string()).unwrap_or_default();
        println!("{}  {at}  {}", line.letter, line.state);
        println!("    {}", line.reason);
    }
    let open = lines.iter().filter(|line| line.is_open).count();
    println!("{open} open");
    Ok(())
}

fn of_command(letter: &DeadLetter) -> Line {
    let state = letter.note.as_ref().map(|note| match note.reason.as_str() {
        "" => note.done.name().to_owned(),
        reason => format!("{}: {reason}", note.done.name()),
    });
    Line {
        letter: Letter::of_command(letter),
        at: letter.set_aside_at,
        reason: letter.reason(),
        is_open: state.is_none(),
        state: state.unwrap_or_else(|| "open".to_owned()),
    }
}

fn of_parked(entry: &ParkedEntry) -> Line {
    let state = match (&entry.dropped, entry.is_to_be_retried) {
        (_, true) => "to be tried again".to_owned(),
        (Some(reason), false) => format!("dropped: {reason}"),
        (None, false) => "open".to_owned(),
    };
    Line {
        letter: Letter::of_parked(&entry.parked),
        at: Some(entry.parked_at),
        reason: entry.parked.reason.clone(),
        is_open: entry.dropped.is_none() || entry.is_to_be_retried,
        state,
    }
}

fn item(line: &Line) -> Value {
    json!({
        "letter": line.letter.to_string(),
        "at": line.at.map(|at| at.to_string()),
        "reason": line.reason,
        "state": line.state,
        "open": line.is_open,
    })
}
