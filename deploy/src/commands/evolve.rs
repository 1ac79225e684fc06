use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use foldline_core::Domains;
use foldline_evolve::{CheckOptions, Counts, EvolveError, Report, check, read_expected, record};
use foldline_kafka::KafkaSettings;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::spawn_blocking;

/// Find out, before it is deployed, whether this program still means the same by what is in the log.
#[derive(Debug, Subcommand)]
pub(crate) enum EvolveCommand {
    /// Write to a file what this program makes of the log. Done with the version that is running.
    Record(RecordOptions),
    /// Make the same of the log with this program, and list what comes out otherwise. Done with the version that is to be
    /// deployed; needs no registered schema. Ends with 1 if anything has changed.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RecordOptions {
    #[command(flatten)]
    kafka: KafkaSettings,
    /// The file. What it held before is gone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    kafka: KafkaSettings,
    /// What `evolve record` has written. Without it, only decisions and snapshots are compared, with what the log has of them.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The changes that are meant: a file with the heading of a finding on each line, as it is printed, without its count.
    #[arg(long, value_name = "FILE")]
    accept: Option<PathBuf>,
    /// Findings that are shown under each heading, at most.
    #[arg(long, default_value_t = 5, value_name = "N")]
    examples: usize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: EvolveCommand, domains: Domains) -> anyhow::Result<()> {
    match command {
        EvolveCommand::Record(options) => {
            let recorded = spawn_blocking(move || options.record(&domains));
            recorded.await.context("recording")?
        }
        EvolveCommand::Check(arguments) => {
            let checked = spawn_blocking(move || arguments.check(&domains));
            checked.await.context("checking")?
        }
    }
}

impl RecordOptions {
    fn record(&self, domains: &Domains) -> anyhow::Result<()> {
        let file = File::create(&self.out).with_context(|| format!("cannot write {}", self.out.display()))?;
        let Timed { done, took } =
            timed(|progress| record(&self.kafka, domains, BufWriter::new(file), progress))?;
        println!("{}: {}", self.out.display(), pace(done, took));
        Ok(())
    }
}

impl CheckArguments {
    fn check(&self, domains: &Domains) -> anyhow::Result<()> {
        let expected = match &self.accept {
            Some(file) => read_expected(&read(file)?),
            None => Default::default(),
        };
        let options = CheckOptions {
            examples: self.examples,
            expected,
        };
        let mut recording = self.against.as_deref().map(open).transpose()?;
        let Timed { done: report, took } = timed(|progress| {
            let against = recording.as_mut().map(|file| file as &mut dyn BufRead);
            check(&self.kafka, domains, against, &options, progress)
        })?;
        self.print(&report, took)?;
        let unexpected = report.findings.unexpected();
        if unexpected > 0 {
            bail!("{unexpected} findings: this program does not mean the same by what is in the log");
        }
        Ok(())
    }

    fn print(&self, report: &Report, took: Duration) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(report)?);
            return Ok(());
        }
        print!("{report}");
        println!("\n{}", pace(report.counts, took));
        if report.findings.is_clean() {
            println!("nothing has changed that is not accepted");
        }
        Ok(())
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn open(file: &Path) -> anyhow::Result<BufReader<File>> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(BufReader::new(opened))
}

struct Timed<T> {
    done: T,
    took: Duration,
}

/// Does something under a bar on stderr, which is there on a terminal only.
fn timed<T>(
    work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> Result<T, EvolveError>,
) -> Result<Timed<T>, EvolveError> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} events, {per_sec}, {eta} left");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is right"));
    let started_at = Instant::now();
    let done = work(&mut |read, of| {
        bar.set_length(of);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    Ok(Timed {
        done: done?,
        took: started_at.elapsed(),
    })
}

fn pace(counts: Counts, took: Duration) -> String {
    let Counts { events, commands, .. } = counts;
    let seconds = took.as_secs_f64();
    // A rate needs no more digits than a float has.
    #[allow(clippy::cast_precision_loss)]
    let rate = events as f64 / seconds.max(0.001);
    format!("{events} events and {commands} commands in {seconds:.1} s, {rate:.0} events/s")
}
