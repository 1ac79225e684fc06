use clap::Args;
use foldline_core::Timestamp;
use foldline_views::{Generation, Snapshot, ViewStore};
use serde_json::{Value, json};

use super::Place;

/// Show every generation of every view.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    place: Place,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &ListOptions) -> anyhow::Result<()> {
    let mut reader = options.place.store().reader()?;
    let snapshot = reader.snapshot()?;
    let all = snapshot.generations()?;
    if options.json {
        let items = all.iter().map(|one| item(&*snapshot, one));
        let items: Vec<Value> = items.collect::<anyhow::Result<_>>()?;
        println!("{}", json!(items));
        return Ok(());
    }
    println!(
        "{:<16} {:>10} {:>7}  {:<8} {:<24} parked",
        "view", "generation", "version", "state", "begun"
    );
    for one in &all {
        println!(
            "{:<16} {:>10} {:>7}  {:<8} {:<24} {}",
            one.view,
            one.number,
            one.version,
            state(one),
            time(one.made_at),
            snapshot.parked_of(&one.view, one.number)?.len(),
        );
    }
    Ok(())
}

/// What a generation is to clients.
fn state(one: &Generation) -> &'static str {
    match (one.is_served, one.served_at) {
        (true, _) => "served",
        (false, Some(_)) => "kept",
        (false, None) => "built",
    }
}

fn time(at: Timestamp) -> String {
    at.to_string()
}

fn item(snapshot: &dyn Snapshot, one: &Generation) -> anyhow::Result<Value> {
    let positions = snapshot.positions_of(&one.view, one.number)?;
    let positions = positions.into_iter().map(|(key, position)| {
        (
            format!("{}/{}", key.aggregate, key.partition),
            position.next_offset.into(),
        )
    });
    let positions: serde_json::Map<String, Value> = positions.collect();
    Ok(json!({
        "view": one.view,
        "generation": one.number,
        "version": one.version,
        "state": state(one),
        "form": one.shape,
        "program": one.program,
        "made_at": time(one.made_at),
        "served_at": one.served_at.map(time),
        "parked": snapshot.parked_of(&one.view, one.number)?.len(),
        "position": positions,
    }))
}
