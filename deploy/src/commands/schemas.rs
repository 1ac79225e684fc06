mod diff;
mod online;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use foldline_core::{ASYNC_API_FILE, Domains, async_api_text, contracts, next_schema_files};
use foldline_kafka::{KafkaSettings, register_schemas};

use self::diff::DiffOptions;

/// Write, check and register the Avro schemas.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemasCommand {
    /// Register the schemas of the code, and set which changes of them are allowed from then on.
    Register {
        #[command(flatten)]
        kafka: KafkaSettings,
    },
    /// Write each schema that has changed beside its kept versions, as the next one. No version is ever changed.
    Write(Kept),
    /// Check that the newest kept versions are the code's schemas, and that all versions fit.
    Check(CheckOptions),
    /// Say in words what has changed since the newest kept version, or between two versions, and what follows.
    Diff(DiffOptions),
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    kept: Kept,
    /// Ask the registry too: what it has, what it allows, and whether it would take the code's schemas.
    #[arg(long)]
    online: bool,
    #[command(flatten)]
    kafka: KafkaSettings,
}

/// Where the versions are kept.
#[derive(Debug, Args)]
pub(crate) struct Kept {
    /// The folder of the kept schemas.
    #[arg(
        long,
        env = "FOLDLINE_SCHEMAS",
        default_value = "schemas",
        value_name = "FOLDER"
    )]
    dir: PathBuf,
}

pub(crate) async fn run(command: SchemasCommand, domains: Domains) -> anyhow::Result<()> {
    match command {
        SchemasCommand::Register { kafka } => register(&kafka, &domains).await,
        SchemasCommand::Write(kept) => kept.write(&domains),
        SchemasCommand::Check(options) => options.run(&domains).await,
        SchemasCommand::Diff(options) => options.run(&domains),
    }
}

async fn register(kafka: &KafkaSettings, domains: &Domains) -> anyhow::Result<()> {
    for registered in register_schemas(kafka, domains).await? {
        let new = if registered.new { " (new)" } else { "" };
        println!("{} has id {}{new}", registered.subject, registered.id);
    }
    Ok(())
}

impl CheckOptions {
    async fn run(&self, domains: &Domains) -> anyhow::Result<()> {
        self.kept.check(domains)?;
        if !self.online {
            return Ok(());
        }
        let problems = online::check(&self.kafka, domains, |path| self.kept.read(path)).await?;
        if !problems.is_empty() {
            bail!(
                "{} problems in the registry:\n{}",
                problems.len(),
                problems.join("\n")
            );
        }
        println!("{}: it fits the code", self.kafka.schema_registry);
        Ok(())
    }
}

impl Kept {
    fn write(&self, domains: &Domains) -> anyhow::Result<()> {
        let next = next_schema_files(domains, |path| self.read(path));
        // All or nothing: half a contract would look like a whole one.
        let written = |path: &Path| next.iter().find(|(new, _)| new == path);
        let with_next = |path: &Path| {
            let new = written(path).map(|(_, text)| text.clone());
            new.or_else(|| self.read(path))
        };
        let conflicts = conflicts(domains, with_next);
        if !conflicts.is_empty() {
            bail!(
                "nothing is written, because records would become unreadable:\n{}",
                conflicts.join("\n")
            );
        }
        for (path, text) in &next {
            let file = self.dir.join(path);
            write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            println!("{}", file.display());
        }
        println!("{} schemas written to {}", next.len(), self.dir.display());
        self.write_async_api(domains)
    }

    /// The document says how it is now: it has no versions, those are the schemas' own.
    fn write_async_api(&self, domains: &Domains) -> anyhow::Result<()> {
        let (file, text) = (self.dir.join(ASYNC_API_FILE), async_api_text(domains));
        if self.read(Path::new(ASYNC_API_FILE)).as_ref() != Some(&text) {
            fs::create_dir_all(&self.dir)
                .and_then(|()| fs::write(&file, text))
                .with_context(|| format!("cannot write {}", file.display()))?;
            println!("{}", file.display());
        }
        Ok(())
    }

    fn check(&self, domains: &Domains) -> anyhow::Result<()> {
        let mut problems = conflicts(domains, |path| self.read(path));
        for (path, _) in next_schema_files(domains, |path| self.read(path)) {
            let file = self.dir.join(path);
            problems.push(format!(
                "the code's schema is not kept: `foldline schemas write` makes {}",
                file.display()
            ));
        }
        if self.read(Path::new(ASYNC_API_FILE)) != Some(async_api_text(domains)) {
            problems.push(format!(
                "{} is not that of the code: `foldline schemas write` writes it",
                self.dir.join(ASYNC_API_FILE).display()
            ));
        }
        for orphan in self.orphans(domains)? {
            problems.push(format!("no topic has the schema {}", orphan.display()));
        }
        if !problems.is_empty() {
            bail!(
                "{} problems in {}:\n{}",
                problems.len(),
                self.dir.display(),
                problems.join("\n")
            );
        }
        println!(
            "{}: every schema of the code is kept, and all versions fit",
            self.dir.display()
        );
        Ok(())
    }

    fn read(&self, path: &Path) -> Option<String> {
        fs::read_to_string(self.dir.join(path)).ok()
    }

    /// Files that are no version of any contract: renamed aggregates, and gaps in the versions.
    fn orphans(&self, domains: &Domains) -> anyhow::Result<Vec<PathBuf>> {
        let known: BTreeSet<PathBuf> = contracts(domains)
            .iter()
            .flat_map(|contract| {
                let kept = contract.kept(|path| self.read(path));
                (1..=kept.len()).map(|version| self.dir.join(contract.file(version)))
            })
            .collect();
        let mut files = Vec::new();
        list(&self.dir, &mut files).with_context(|| format!("cannot read {}", self.dir.display()))?;
        files.retain(|file| file.extension().is_some_and(|end| end == "avsc") && !known.contains(file));
        files.sort();
        Ok(files)
    }
}

fn conflicts(domains: &Domains, read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let of = |contract: foldline_core::Contract| contract.conflicts(&contract.kept(&read));
    contracts(domains).into_iter().flat_map(of).collect()
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(file).and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
}

/// Every file below a folder; none if there is no folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use foldline_core::{Claim, Domain, Domains};

    use super::Kept;

    fn domains() -> Domains {
        Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap()
    }

    fn kept(folder: &tempfile::TempDir) -> Kept {
        Kept {
            dir: folder.path().join("schemas"),
        }
    }

    #[test]
    fn what_was_written_checks_and_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(&folder);
        let unwritten = kept.check(&domains()).unwrap_err().to_string();
        assert!(unwritten.contains("schemas write"), "{unwritten}");

        kept.write(&domains()).unwrap();
        kept.check(&domains()).unwrap();
        kept.write(&domains()).unwrap();

        assert!(kept.dir.join("test/claims/events/v1.avsc").is_file());
        assert!(!kept.dir.join("test/claims/events/v2.avsc").exists());
    }

    #[test]
    fn a_change_that_makes_records_unreadable_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(&folder);
        kept.write(&domains()).unwrap();
        // As if a released version had a field that the code no longer has.
        let file = kept.dir.join("test/claims/events/v1.avsc");
        let text = fs::read_to_string(&file).unwrap();
        let older = text.replacen("\"sequence\"", "\"place\"", 1);
        assert_ne!(older, text);
        fs::write(&file, &older).unwrap();

        let error = kept.write(&domains()).unwrap_err().to_string();

        assert!(error.contains("nothing is written"), "{error}");
        assert!(error.contains("v2.avsc after"), "{error}");
        assert!(!kept.dir.join("test/claims/events/v2.avsc").exists());
        assert_eq!(fs::read_to_string(&file).unwrap(), older);
    }

    #[test]
    fn a_schema_of_no_topic_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(&folder);
        kept.write(&domains()).unwrap();
        let gap = kept.dir.join("test/claims/events/v3.avsc");
        fs::write(&gap, "{}").unwrap();

        let error = kept.check(&domains()).unwrap_err().to_string();

        assert!(error.contains("no topic has the schema"), "{error}");
        assert!(error.contains("v3.avsc"), "{error}");
    }
}
