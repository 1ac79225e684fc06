mod rows;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, Offsets, Person, Receipt, erase};

use self::rows::QueryApi;
use crate::commands::progress::Line;

/// Throw away the key of all that is sealed about a person, and remove what was not.
#[derive(Debug, Args)]
pub(crate) struct EraseOptions {
    #[command(flatten)]
    kafka: KafkaSettings,
    /// Who, as the API names them: /customers/8659a0d6.
    #[arg(value_name = "PATH")]
    person: String,
    /// That it is meant: nothing of it can be taken back, and commands and dead letters of others are removed too.
    #[arg(long, required = true)]
    yes: bool,
    /// Write the receipt there as well. Keep it: the log holds no other.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    rows: QueryApi,
    /// Print the receipt as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: EraseOptions, domains: Domains) -> anyhow::Result<()> {
    let person = Person::at(&domains, &options.person)?;
    let line = Line::new();
    let erased = erase(&options.kafka, &domains, person, |doing| line.say(doing)).await;
    let asked = match &erased {
        Ok(receipt) => {
            line.say("asking the query API for the rows");
            options.rows.shows_as_erased(&receipt.rows).await
        }
        Err(_) => Ok(false),
    };
    line.end();
    let mut receipt = erased.context("the erasure is not complete, and can be repeated")?;
    // The person is erased all the same, and there is no other receipt.
    receipt.rows_were_asked_for = *asked.as_ref().unwrap_or(&false);
    let text = serde_json::to_string_pretty(&receipt)?;
    if let Some(file) = &options.receipt {
        fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match options.json {
        true => println!("{text}"),
        false => print(&receipt),
    }
    asked?;
    let left = count(&receipt.in_the_clear);
    if left > 0 {
        bail!(
            "{left} events of {} are from before their fields were marked as personal, and hold them in the clear for ever",
            receipt.subject
        );
    }
    Ok(())
}

fn print(receipt: &Receipt) {
    let again = if receipt.was_erased {
        ", as it was before"
    } else {
        ""
    };
    println!(
        "{} is erased{again}: the key {} is gone",
        receipt.subject, receipt.key_id
    );
    println!(
        "  {} events of {} aggregates are still there; {} records hold values that nobody can read any more",
        receipt.events,
        receipt.aggregates,
        count(&receipt.sealed)
    );
    for row in &receipt.rows {
        let shown = match receipt.rows_were_asked_for {
            true => "is shown as erased",
            false => "was not asked for: --query-api does",
        };
        println!("  {row} {shown}");
    }
    for removed in &receipt.removed {
        println!(
            "  removed {}/{} from {} to {}",
            removed.topic,
            removed.partition,
            removed.from,
            removed.to - 1
        );
    }
    for released in &receipt.released {
        println!("  given up {} {}", released.claims, released.claim);
    }
    println!(
        "  what was removed is in no file of Kafka's any more from {} on",
        receipt.gone_from_disk_by
    );
}

fn count(records: &[Offsets]) -> usize {
    records.iter().map(|of| of.offsets.len()).sum()
}
