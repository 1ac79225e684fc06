mod rows;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, Offsets, Person, Receipt, erase};

use self::rows::QueryApi;
use crate::commands::progress::Line;

const REPEAT: &str = "the erasure is not complete, and can be repeated";

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
    /// Write the receipt there as well, behind what is there. Keep it: the log holds no other.
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
    options.rows.check()?;
    let mut file = options.receipt.as_deref().map(open).transpose()?;
    let line = Line::new();
    let mut receipt = None;
    let erased = erase(&options.kafka, &domains, person, &mut receipt, |doing| {
        line.say(doing);
    })
    .await;
    let mut asked = Ok(false);
    if let (Ok(()), Some(receipt)) = (&erased, &mut receipt) {
        line.say("asking the query API for the rows");
        asked = options.rows.shows_as_erased(&receipt.rows).await;
        receipt.rows_were_asked_for = *asked.as_ref().unwrap_or(&false);
    }
    line.end();
    let Some(receipt) = receipt else {
        return erased.context(REPEAT);
    };
    // Whatever else has failed: what was removed and given up stands nowhere else.
    let kept = show(&receipt, options.json, file.as_mut());
    erased.context(REPEAT)?;
    kept?;
    asked?;
    refuse_the_clear(&receipt)
}

/// Before anything is done: a file that cannot be written to must not be found when there is a receipt for it. What it has
/// stays: a receipt of an erasure that is repeated does not have what the one before has removed.
fn open(file: &Path) -> anyhow::Result<File> {
    let opened = File::options().create(true).append(true).open(file);
    opened.with_context(|| format!("cannot write {}", file.display()))
}

/// In both places, although one of them fails.
fn show(receipt: &Receipt, as_json: bool, file: Option<&mut File>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(receipt)?;
    let kept = file.map_or(Ok(()), |file| writeln!(file, "{text}"));
    match as_json {
        true => println!("{text}"),
        false => told(receipt).iter().for_each(|line| println!("{line}")),
    }
    kept.context("cannot write the receipt to its file")
}

fn refuse_the_clear(receipt: &Receipt) -> anyhow::Result<()> {
    let left = count(&receipt.in_the_clear);
    if left > 0 {
        bail!(
            "{left} events of {} are from before their fields were marked as personal, and hold them in the clear for ever",
            receipt.subject
        );
    }
    Ok(())
}

/// The receipt, for people.
fn told(receipt: &Receipt) -> Vec<String> {
    let subject = &receipt.subject;
    let mut lines = match receipt.is_complete {
        true => what_is_there(receipt),
        false => vec![format!(
            "{subject} is marked as erased; of the rest, this was done:"
        )],
    };
    lines.extend(receipt.removed.iter().map(|removed| {
        let (topic, partition) = (&removed.topic, removed.partition);
        format!(
            "  removed {topic}/{partition} from {} to {}",
            removed.from,
            removed.to - 1
        )
    }));
    let released = receipt.released.iter();
    lines.extend(released.map(|released| format!("  given up {} {}", released.claims, released.claim)));
    if receipt.is_complete {
        let gone_by = &receipt.gone_from_disk_by;
        lines.push(format!(
            "  what was removed is in no file of Kafka's any more from {gone_by} on"
        ));
    }
    lines
}

fn what_is_there(receipt: &Receipt) -> Vec<String> {
    let again = match receipt.was_erased {
        true => ", as it was before",
        false => "",
    };
    let mut lines = vec![
        format!(
            "{} is erased{again}: the key {} is gone",
            receipt.subject, receipt.key_id
        ),
        format!(
            "  {} events of {} aggregates are still there; {} records hold values that nobody can read any more",
            receipt.events,
            receipt.aggregates,
            count(&receipt.sealed)
        ),
    ];
    let shown = match receipt.rows_were_asked_for {
        true => "is shown as erased",
        false => "was not asked for: --query-api does",
    };
    lines.extend(receipt.rows.iter().map(|row| format!("  {row} {shown}")));
    lines
}

fn count(records: &[Offsets]) -> usize {
    records.iter().map(|of| of.offsets.len()).sum()
}

#[cfg(test)]
mod tests {
    use foldline_kafka::Receipt;
    use serde_json::json;

    use super::{open, show, told};

    fn receipt(is_complete: bool) -> Receipt {
        let receipt = json!({
            "subject": "restaurant.customers/ada", "key_id": "k", "key_topic": "restaurant.keys",
            "erased_at": "2026-11-28T14:20:11Z", "was_erased": false, "is_complete": is_complete,
            "sealed": [], "in_the_clear": [],
            "removed": [{"topic": "restaurant.customers.commands", "partition": 3, "from": 0, "to": 118}],
            "released": [{"claims": "restaurant.customers-email", "claim": "c"}],
            "rows": ["/customers/ada"], "rows_were_asked_for": false,
            "gone_from_disk_by": "2026-11-28T14:26:11Z", "aggregates": 1, "events": 2,
        });
        serde_json::from_value(receipt).unwrap()
    }

    #[test]
    fn what_was_not_completed_says_what_was_done_and_claims_nothing_else() {
        let lines = [
            "restaurant.customers/ada is marked as erased; of the rest, this was done:",
            "  removed restaurant.customers.commands/3 from 0 to 117",
            "  given up restaurant.customers-email c",
        ];
        assert_eq!(told(&receipt(false)), lines);
        let whole = told(&receipt(true)).join("\n");
        for said in [
            lines[1],
            lines[2],
            "the key k is gone",
            "was not asked for",
            "14:26:11Z",
        ] {
            assert!(whole.contains(said), "{said}: {whole}");
        }
    }

    #[test]
    fn a_receipt_is_written_behind_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipt.json");
        for is_complete in [false, true] {
            show(&receipt(is_complete), true, Some(&mut open(&path).unwrap())).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let kept = serde_json::Deserializer::from_str(&text).into_iter::<Receipt>();
        let kept: Vec<Receipt> = kept.map(Result::unwrap).collect();
        assert_eq!(kept, [receipt(false), receipt(true)]);

        let error = open(&folder.path().join("nowhere/receipt.json")).unwrap_err();
        assert!(error.to_string().contains("nowhere/receipt.json"), "{error}");
    }
}
