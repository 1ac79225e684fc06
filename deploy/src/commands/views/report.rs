//! A report, for people.

use foldline_projector::{EventPlace, Kind, Report, RowDifference, Side};
use serde_json::Value;

/// Of a row's events, so many stand in its line.
const EVENTS_MAX: usize = 8;

pub(super) fn print(report: &Report) {
    println!(
        "{}: generation {} (version {}) was built, generation {} (version {}) is served",
        report.view,
        report.built.generation,
        report.built.version,
        report.served.generation,
        report.served.version
    );
    println!("{}", speed(report));
    let rows = report.rows;
    println!(
        "at the same position: {} rows equal, {} changed, {} missing, {} extra",
        rows.equal, rows.changed, rows.missing, rows.extra
    );
    for difference in &report.differences {
        print_row(difference);
    }
    if report.not_shown > 0 {
        println!("and {} more rows that differ (--rows)", report.not_shown);
    }
    for (side, what) in [(&report.served, "served"), (&report.built, "built")] {
        print_parked(side, what);
    }
}

/// Below 2^53, as all counts here are, nothing is lost.
#[allow(clippy::cast_precision_loss, reason = "it is shown to people, rounded")]
fn speed(report: &Report) -> String {
    let seconds = report.seconds.max(0.001);
    format!(
        "{} events folded in {:.1} s ({:.0} events/s)",
        report.events,
        report.seconds,
        report.events as f64 / seconds
    )
}

fn print_row(difference: &RowDifference) {
    let kind = match difference.kind {
        Kind::Changed => "changed",
        Kind::Missing => "missing (served, and not built)",
        Kind::Extra => "extra (built, and not served)",
    };
    println!("{} {kind}", difference.id);
    for field in &difference.fields {
        let show = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        println!(
            "    {}: served {}, built {}",
            field.field,
            show(&field.served),
            show(&field.built)
        );
    }
    if let Some(first) = &difference.first_difference {
        println!("    first: {} ({})", place(&first.event), first.found);
    }
    let events = difference.events.iter().take(EVENTS_MAX).map(|event| {
        let sequence = event
            .sequence
            .map_or("?".to_owned(), |sequence| sequence.to_string());
        format!("{sequence} {}", event.event_type)
    });
    let events: Vec<String> = events.collect();
    if !events.is_empty() {
        let more = if difference.events.len() > events.len() {
            ", ..."
        } else {
            ""
        };
        println!("    events: {}{more}", events.join(", "));
    }
}

fn place(event: &EventPlace) -> String {
    let sequence = event
        .sequence
        .map_or("?".to_owned(), |sequence| sequence.to_string());
    format!(
        "{} {} sequence {sequence} {}, partition {} offset {}",
        event.aggregate, event.id, event.event_type, event.partition, event.offset
    )
}

fn print_parked(side: &Side, what: &str) {
    for parked in &side.parked {
        println!("parked in what is {what}: {parked}");
    }
}
