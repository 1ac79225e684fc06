//! What has changed, in words.

use anyhow::{Context, bail};
use clap::Args;
use foldline_core::{Contract, Domains, contracts, schema_changes};
use serde_json::Value;

use super::Kept;

/// Which versions are compared.
#[derive(Debug, Args)]
pub(crate) struct DiffOptions {
    #[command(flatten)]
    kept: Kept,
    /// The topic without prefix, `restaurant.orders.events` [default: all].
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
    /// The older version [default: the newest that is kept].
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(u32).range(1..))]
    from: Option<u32>,
    /// The newer version [default: the code's schema].
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(u32).range(1..))]
    to: Option<u32>,
}

/// One of the two that are compared.
struct Version {
    name: String,
    text: String,
}

impl DiffOptions {
    pub(super) fn run(&self, domains: &Domains) -> anyhow::Result<()> {
        let all = contracts(domains);
        let is_wanted =
            |contract: &&Contract| self.topic.as_ref().is_none_or(|topic| *topic == contract.topic());
        let wanted: Vec<_> = all.iter().filter(is_wanted).collect();
        if wanted.is_empty() {
            let topics: Vec<_> = all.iter().map(Contract::topic).collect();
            bail!("there is no such topic; there are {}", topics.join(", "));
        }
        let (mut told, mut misfits) = (0, 0);
        for contract in wanted {
            let changes = self.changes(contract)?;
            told += usize::from(!changes.is_empty());
            misfits += usize::from(changes.iter().any(|line| line.starts_with(MISFIT)));
            changes.iter().for_each(|line| println!("{line}"));
        }
        if told == 0 {
            println!("nothing has changed");
        }
        match misfits {
            0 => Ok(()),
            _ => bail!("{misfits} schemas do not fit: records would become unreadable"),
        }
    }

    /// What there is to say of one; nothing, if nothing has changed.
    fn changes(&self, contract: &Contract) -> anyhow::Result<Vec<String>> {
        let kept = contract.kept(|path| self.kept.read(path));
        let version = |number: u32| {
            let text = usize::try_from(number - 1)
                .ok()
                .and_then(|at| kept.get(at))
                .cloned();
            let name = format!("v{number}");
            let text = text.with_context(|| format!("{} has no version {number}", contract.topic()))?;
            anyhow::Ok(Version { name, text })
        };
        let newest = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let (older, newer) = match (self.from.unwrap_or(newest), self.to) {
            (0, _) => return Ok(vec![format!("{}: new, and not kept yet", contract.topic())]),
            (from, Some(to)) => (version(from)?, version(to)?),
            (from, None) => {
                let (name, text) = ("the code".to_owned(), contract.schema.clone());
                (version(from)?, Version { name, text })
            }
        };
        if older.text == newer.text {
            return Ok(vec![]);
        }
        let read = |version: &Version| serde_json::from_str::<Value>(&version.text);
        let changes = schema_changes(&read(&older)?, &read(&newer)?);
        let mut lines = vec![format!(
            "{}: from {} to {}",
            contract.topic(),
            older.name,
            newer.name
        )];
        lines.extend(changes.iter().map(|change| format!("  {change}")));
        lines.push(match contract.conflict(&older.text, &newer.text) {
            None => format!("  {}", fits(contract)),
            Some(problem) => format!("{MISFIT}: {problem}"),
        });
        Ok(lines)
    }
}

const MISFIT: &str = "  it does not fit";

fn fits(contract: &Contract) -> &'static str {
    match contract.kind {
        foldline_core::ContractKind::Commands => "it fits: the newer reads what the older has written",
        _ => "it fits: each reads what the other has written",
    }
}
