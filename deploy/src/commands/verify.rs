use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use foldline_core::{AggregateType, Domains, Finding};
use foldline_kafka::{KafkaSettings, LogReport, TypeReport, VerifyProgress, verify_logs};

use crate::commands::progress::Line;

/// Read events and results alone, and find whatever is not as it was written.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    kafka: KafkaSettings,
    /// Only this aggregate type, `restaurant.orders`; may be given several times [default: all].
    #[arg(long, value_name = "NAME")]
    aggregate: Vec<String>,
    /// What an earlier run has printed with --json: whatever it has read must still be there, unchanged.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Print the report as JSON. Kept where nobody can write who can write to Kafka, it is for --expect.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: VerifyOptions, domains: Domains) -> anyhow::Result<()> {
    let aggregates = chosen(&domains, &options.aggregate)?;
    let expected = options.expect.as_ref().map(read_report).transpose()?;
    let (started_at, line) = (Instant::now(), Line::new());
    let tell = {
        let line = line.clone();
        move |progress: VerifyProgress| line.say(&said(&progress))
    };
    let report = verify_logs(&options.kafka, &aggregates, expected.as_ref(), tell).await;
    line.end();
    let report = report?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print(&report, &options.kafka),
    }
    let (events, took) = (sum(&report, |of| of.events), started_at.elapsed());
    let results = sum(&report, |of| of.results);
    // Slower than a thousand days.
    #[allow(clippy::cast_precision_loss)]
    let rate = events as f64 / took.as_secs_f64();
    eprintln!("{events} events and {results} results in {took:.1?}: {rate:.0} events/s");
    let findings = sum(&report, |of| of.findings.len() as u64);
    if findings > 0 {
        bail!("the log is not as it was written: {findings} findings");
    }
    Ok(())
}

fn chosen(domains: &Domains, names: &[String]) -> anyhow::Result<Vec<Arc<dyn AggregateType>>> {
    if names.is_empty() {
        return Ok(domains.aggregates().to_vec());
    }
    let find = |name: &String| {
        let found = domains
            .aggregates()
            .iter()
            .find(|aggregate| aggregate.info().qualified_name() == *name);
        found
            .cloned()
            .with_context(|| format!("there is no aggregate type {name:?}"))
    };
    names.iter().map(find).collect()
}

fn read_report(file: &PathBuf) -> anyhow::Result<LogReport> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of `foldline verify --json`", file.display()))
}

fn said(progress: &VerifyProgress) -> String {
    let read = progress.events + progress.results;
    let percent = read.saturating_mul(100) / progress.offsets.max(1);
    #[allow(clippy::cast_precision_loss)]
    let rate = progress.events as f64 / progress.elapsed.as_secs_f64().max(0.001);
    format!(
        "{} events, {} results read, {percent} %, {rate:.0} events/s",
        progress.events, progress.results
    )
}

fn print(report: &LogReport, kafka: &KafkaSettings) {
    for of in &report.types {
        println!(
            "{}: {} events of {} aggregates, {} results; {}",
            of.aggregate_type,
            of.events,
            of.aggregates,
            of.results,
            match of.findings.len() {
                0 => "as they were written".to_owned(),
                count => format!("{count} findings"),
            }
        );
        println!("  digest {}", of.digest);
        if of.unchained > 0 {
            println!(
                "  {} events are of writers that named no event before them",
                of.unchained
            );
        }
        for finding in &of.findings {
            println!("  {}", line(of, finding, kafka));
        }
    }
}

fn line(of: &TypeReport, finding: &Finding, kafka: &KafkaSettings) -> String {
    let event = match (&finding.aggregate_id, finding.sequence) {
        (Some(id), Some(sequence)) => format!("event {sequence} of {id}: "),
        (Some(id), None) => format!("{id}: "),
        (None, _) => String::new(),
    };
    format!(
        "{:<10} {}{}.{}/{}@{}: {event}{}",
        finding.kind.to_string(),
        kafka.topic_prefix,
        of.aggregate_type,
        finding.log.name(),
        finding.partition,
        finding.offset,
        finding.detail
    )
}

fn sum(report: &LogReport, of: impl Fn(&TypeReport) -> u64) -> u64 {
    report.types.iter().map(of).sum()
}
