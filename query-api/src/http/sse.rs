//! Server-sent events, as text.

use std::fmt::Write;

/// When a client that has lost its connection comes back.
pub(super) const RETRY: &str = "retry: 1000\n\n";

/// Says nothing, so that nobody on the way takes the connection for dead.
pub(super) const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// Adds an event. Ids and kinds have no line breaks.
pub(super) fn event(text: &mut String, id: &str, kind: Option<&str>, data: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "id: {id}");
    if let Some(kind) = kind {
        let _ = writeln!(text, "event: {kind}");
    }
    for line in data.lines() {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
}

/// Moves the client on without an event: one without data is not told to whoever listens, but its id counts.
pub(super) fn place(id: &str) -> String {
    format!("id: {id}\n\n")
}
