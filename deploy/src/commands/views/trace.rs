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
    let mut command = Command::new(program);
    command.args(["views", "trace", "--json"]);
    command.args(["--bootstrap-servers", &options.kafka.bootstrap_servers]);
    command.args(["--schema-registry", &options.kafka.schema_registry]);
    command.args(["--topic-prefix", &options.kafka.topic_prefix]);
    for (key, value) in &options.kafka.kafka_properties {
        command.args(["--kafka", &format!("{key}={value}")]);
    }
    command.arg("--data-dir").arg(&options.place.data_dir);
    command
        .arg(options.name())
        .args(ids.iter().map(AggregateId::as_str));
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} views trace: {}", program.display(), output.status);
    }
    let read = serde_json::from_slice(&output.stdout);
    read.with_context(|| format!("{} views trace says something else than rows", program.display()))
}
