use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use foldline_core::{AggregateId, Domains};
use foldline_kafka::KafkaSettings;
use foldline_projector::{Goal, RowDifference, RowTrace, Site, Traced, first_by_both};
use foldline_views::ViewStore;
use tokio::runtime::Handle;

use super::Place;
use super::rebuild::RebuildOptions;

/// Fold single rows event by event.
#[derive(Debug, Args)]
pub(crate) struct TraceOptions {
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    place: Place,
    /// The view.
    name: String,
    /// The rows.
    #[arg(required = true)]
    rows: Vec<AggregateId>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: TraceOptions, domains: Domains) -> anyhow::Result<()> {
    let site = options.place.site(&options.kafka, &domains).await?;
    let traced = read(&site, &options.name, &options.rows).await?;
    let rows = traced.rows();
    if options.json {
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    for row in &rows {
        print(row);
    }
    Ok(())
}

fn print(row: &RowTrace) {
    println!("{}: {} events", row.id, row.steps.len());
    for step in &row.steps {
        let event = &step.event;
        let sequence = event
            .sequence
            .map_or("?".to_owned(), |sequence| sequence.to_string());
        let made = step.row.as_ref().map_or("no row".to_owned(), ToString::to_string);
        let failed = step
            .failed
            .as_ref()
            .map_or(String::new(), |why| format!(" (failed: {why})"));
        println!(
            "  {} {} {sequence} {}: {made}{failed}",
            event.aggregate, event.id, event.event_type
        );
    }
}

/// The events of the rows, as far as the history has come.
async fn read(site: &Site, view: &str, rows: &[AggregateId]) -> anyhow::Result<Traced> {
    let known = site
        .domains
        .views()
        .iter()
        .find(|known| known.info().name == view);
    let info = known
        .with_context(|| format!("there is no view {view:?}"))?
        .info();
    let goal = {
        let mut reader = site.store.reader()?;
        let snapshot = reader.snapshot()?;
        Goal::of_history(&*snapshot, &site.domains, info)?
    };
    Ok(Box::pin(Traced::read(site, view, rows, &goal)).await?)
}

/// Finds the first event after which the folds of this program and of another one differ.
pub(super) fn compare(
    options: &RebuildOptions,
    program: &Path,
    site: &Site,
    handle: &Handle,
    differences: &mut [RowDifference],
) -> anyhow::Result<()> {
    let traced = differences.len().min(options.traced());
    let differences = &mut differences[..traced];
    let ids: Vec<AggregateId> = differences.iter().filter_map(|one| one.id.parse().ok()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let theirs = trace_of(options, program, &ids)?;
    let ours = handle.block_on(read(site, options.name(), &ids))?.rows();
    for difference in differences {
        let of = |rows: &'_ [RowTrace]| rows.iter().find(|row| row.id == difference.id).cloned();
        let (Some(theirs), Some(ours)) = (of(&theirs), of(&ours)) else {
            continue;
        };
        if let Some(first) = first_by_both(&theirs, &ours) {
            difference.first_difference = Some(first);
        }
    }
    Ok(())
}

/// What the other program makes of the rows.
fn trace_of(options: &RebuildOptions, program: &Path, ids: &[AggregateId]) -> anyhow::Result<Vec<RowTrace>> {
    let output = asking(options, program, ids).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} views trace: {}", program.display(), output.status);
    }
    let read = serde_json::from_slice(&output.stdout);
    read.with_context(|| format!("{} views trace says something else than rows", program.display()))
}

fn asking(options: &RebuildOptions, program: &Path, ids: &[AggregateId]) -> Command {
    let mut command = Command::new(program);
    // What is in our file is among the arguments, and the file may have keys that only `rebuild` knows.
    command.env_remove("FOLDLINE_CONFIG");
    command.args(["views", "trace", "--json"]);
    command.args(options.kafka.arguments());
    command.arg("--data-dir").arg(&options.place.data_dir);
    // An id may begin with a hyphen.
    command.args(["--", options.name()]);
    command.args(ids.iter().map(AggregateId::as_str));
    command
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use foldline_core::AggregateId;

    use super::asking;
    use crate::commands::views::rebuild::RebuildOptions;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        options: RebuildOptions,
    }

    #[test]
    fn the_other_program_is_told_who_we_are_to_kafka_and_takes_no_id_for_an_option() {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "kestrel-canary").unwrap();
        let password = format!("--kafka-password-file={}", password.display());
        let identity = [
            "--kafka-protocol=sasl_plaintext",
            "--kafka-mechanism=PLAIN",
            "--kafka-username=ada",
            &password,
        ];
        let given = ["rebuild", "menu"].into_iter().chain(identity);
        let options = Program::parse_from(given).options;
        let ids = ["-x", "y"].map(|id| id.parse::<AggregateId>().unwrap());
        let command = asking(&options, Path::new("older"), &ids);
        let told: Vec<&str> = command
            .get_args()
            .map(|argument| argument.to_str().unwrap())
            .collect();
        assert!(
            identity.iter().all(|argument| told.contains(argument)),
            "{told:?}"
        );
        assert!(told.ends_with(&["--", "menu", "-x", "y"]), "{told:?}");
        assert!(!told.concat().contains("canary"), "{told:?}");
    }
}
