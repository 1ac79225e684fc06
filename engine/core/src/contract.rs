//! The schemas as files: `schemas/<domain>/<aggregate>/<commands|events|results|snapshots>/v1.avsc`.
//!
//! A version that was ever released is kept and never edited: topics hold its records for ever, and so do the
//! producers and consumers that were written against it.

use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

use crate::{AggregateInfo, Domains, RecordCodec, result_codec, snapshot_codec};

/// The schema of one topic, as the code has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Which of an aggregate's topics.
    pub kind: ContractKind,
    /// Where its versions are kept, below `schemas/`.
    pub folder: PathBuf,
    /// The schema, as it stands in a file.
    pub schema: String,
}

/// Which of an aggregate's topics a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractKind {
    /// We read what others have written, perhaps by an older version.
    Commands,
    /// Others read what we write, perhaps by an older version, and we read what we ever wrote.
    Events,
    /// As events.
    Results,
    /// As events: during an upgrade, older and newer command handlers begin from the same snapshots.
    Snapshots,
}

/// The schema of every topic.
pub fn contracts(domains: &Domains) -> Vec<Contract> {
    let of = |kind: ContractKind, info: &AggregateInfo, codec: &RecordCodec| Contract {
        kind,
        folder: [&info.domain, &info.name, kind.name()].iter().collect(),
        schema: format!("{:#}\n", codec.schema()),
    };
    domains
        .aggregates()
        .iter()
        .flat_map(|aggregate| {
            let info = aggregate.info();
            [
                of(ContractKind::Events, info, aggregate.event_codec()),
                of(ContractKind::Commands, info, aggregate.command_codec()),
                of(ContractKind::Results, info, &result_codec(info)),
                of(ContractKind::Snapshots, info, &snapshot_codec(info)),
            ]
        })
        .collect()
}

/// The files of the schemas, if none was ever released: paths below `schemas/`, and their text.
pub fn schema_files(domains: &Domains) -> Vec<(PathBuf, String)> {
    next_schema_files(domains, |_| None)
}

/// The files that are to be written beside those that are kept, which `read` reads: a new version of each
/// schema that has changed since its newest one. Empty when code and files agree.
pub fn next_schema_files(
    domains: &Domains,
    read: impl Fn(&Path) -> Option<String>,
) -> Vec<(PathBuf, String)> {
    let next = |contract: Contract| {
        let kept = contract.kept(&read);
        let is_new = kept.last() != Some(&contract.schema);
        is_new.then(|| (contract.file(kept.len() + 1), contract.schema))
    };
    contracts(domains).into_iter().filter_map(next).collect()
}

impl ContractKind {
    /// The last part of the topic's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Events => "events",
            Self::Results => "results",
            Self::Snapshots => "snapshots",
        }
    }
}

impl Contract {
    /// The topic's name, without prefix: `restaurant.orders.events`.
    pub fn topic(&self) -> String {
        let parts = self.folder.iter().map(|part| part.to_string_lossy());
        parts.collect::<Vec<_>>().join(".")
    }

    /// The file of a version, from 1, below `schemas/`.
    pub fn file(&self, version: usize) -> PathBuf {
        self.folder.join(format!("v{version}.avsc"))
    }

    /// Every version that is kept, the oldest first; `read` reads a file below `schemas/`.
    pub fn kept(&self, read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
        (1..).map_while(|version| read(&self.file(version))).collect()
    }

    /// Why a newer version cannot stand beside an older one. For commands only the newer one must read what the
    /// older one wrote; for the others both must read each other.
    pub fn conflict(&self, older: &str, newer: &str) -> Option<String> {
        let read = |text: &str| Schema::parse_str(text).map_err(|error| error.to_string());
        let (older, newer) = match (read(older), read(newer)) {
            (Ok(older), Ok(newer)) => (older, newer),
            (Err(problem), _) | (_, Err(problem)) => return Some(problem),
        };
        let backward = cannot_read(
            "the newer version cannot read the older one's records",
            &newer,
            &older,
        );
        backward.or_else(|| match self.kind {
            ContractKind::Commands => None,
            ContractKind::Events | ContractKind::Results | ContractKind::Snapshots => cannot_read(
                "the older version cannot read the newer one's records",
                &older,
                &newer,
            ),
        })
    }

    /// What is wrong with these versions, the oldest first: each must fit every one before it.
    pub fn conflicts(&self, versions: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for (newer, schema) in versions.iter().enumerate() {
            for (older, before) in versions[..newer].iter().enumerate() {
                let (older, newer) = (self.file(older + 1), self.file(newer + 1));
                if let Some(problem) = self.conflict(before, schema) {
                    found.push(format!(
                        "{} after {}: {problem}",
                        newer.display(),
                        older.display()
                    ));
                }
            }
        }
        found
    }
}

fn cannot_read(what: &str, reader: &Schema, writer: &Schema) -> Option<String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => Some(format!("{what}: some values have no place in it")),
        Err(error) => Some(format!("{what}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Contract, contracts, next_schema_files, schema_files};
    use crate::{Claim, Domain, Domains};

    fn domains() -> Domains {
        Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap()
    }

    fn contract(kind: &str) -> Contract {
        let all = contracts(&domains());
        all.into_iter()
            .find(|contract| contract.kind.name() == kind)
            .unwrap()
    }

    /// The schema of a contract after a change of its fields.
    fn changed(contract: &Contract, change: impl Fn(&mut Vec<Value>)) -> String {
        let mut schema: Value = serde_json::from_str(&contract.schema).unwrap();
        change(schema["fields"].as_array_mut().unwrap());
        schema.to_string()
    }

    #[test]
    fn there_is_a_file_for_each_topic() {
        let files = schema_files(&domains());
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "test/claims/events/v1.avsc",
                "test/claims/commands/v1.avsc",
                "test/claims/results/v1.avsc",
                "test/claims/snapshots/v1.avsc"
            ]
        );
    }

    #[test]
    fn a_changed_schema_is_the_next_version_and_an_unchanged_one_is_none() {
        let files = schema_files(&domains());
        let kept = |path: &std::path::Path| {
            let (_, text) = files.iter().find(|(kept, _)| kept == path)?;
            Some(text.clone())
        };
        assert_eq!(next_schema_files(&domains(), kept), []);

        let older = |path: &std::path::Path| match path.to_str()? {
            "test/claims/events/v1.avsc" => Some("{}".to_owned()),
            _ => kept(path),
        };
        let next = next_schema_files(&domains(), older);
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].0.to_str(), Some("test/claims/events/v2.avsc"));
    }

    #[test]
    fn a_new_type_fits_every_version_before_it() {
        let events = contract("events");
        let older = changed(&events, |fields| {
            fields.retain(|field| field["name"] != "value_released");
        });
        assert_eq!(
            events.conflicts(&[older, events.schema.clone(), events.schema.clone()]),
            [""; 0]
        );
    }

    #[test]
    fn a_field_that_old_readers_need_cannot_go_from_events_but_can_from_commands() {
        let without = |kind: &str, name: &str| {
            let contract = contract(kind);
            let newer = changed(&contract, |fields| fields.retain(|field| field["name"] != name));
            contract.conflict(&contract.schema, &newer)
        };
        let problem = without("events", "sequence").unwrap();
        assert!(problem.starts_with("the older version"), "{problem}");
        assert_eq!(without("commands", "issued_at"), None);
    }

    #[test]
    fn a_field_that_old_records_lack_needs_a_default() {
        let commands = contract("commands");
        let newer = changed(&commands, |fields| {
            fields.push(json!({ "name": "tenant", "type": "string" }));
        });
        let problem = commands.conflict(&commands.schema, &newer).unwrap();
        assert!(problem.starts_with("the newer version"), "{problem}");
    }
}
