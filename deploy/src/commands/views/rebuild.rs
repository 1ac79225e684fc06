use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use foldline_core::Domains;
use foldline_kafka::KafkaSettings;
use foldline_projector::{BATCH_MAX, BuildError, Builder, Progress, Rebuild, Report, Site, rebuild};
use foldline_views::ViewStore;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Handle;

use super::{Place, report, trace};

/// Build a view from the events, beside the generation that is served.
#[derive(Debug, Args)]
pub(crate) struct RebuildOptions {
    #[command(flatten)]
    pub(super) kafka: KafkaSettings,
    #[command(flatten)]
    pub(super) place: Place,
    /// The view.
    name: String,
    /// Serve what was built, in one moment, once it has been compared and is up to date.
    #[arg(long)]
    switch: bool,
    /// Begin from the beginning, although this program has begun before.
    #[arg(long)]
    anew: bool,
    /// A program that has made what is served: its fold of the rows that differ tells the first event after which both
    /// differ. It has to know `views trace`.
    #[arg(long, value_name = "PROGRAM")]
    compare_with: Option<PathBuf>,
    /// How many of the rows that differ are shown. All are counted.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    rows: usize,
    /// For how many of them the first event that matters is looked for, in the log.
    #[arg(long, default_value_t = 100, value_name = "N")]
    trace: usize,
    /// How many events are folded and written at once, at most. The projector waits for each of these commits.
    #[arg(long, default_value_t = BATCH_MAX, value_name = "EVENTS")]
    batch_max: usize,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

impl RebuildOptions {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How many rows are traced.
    pub(super) fn traced(&self) -> usize {
        self.trace
    }
}

pub(super) async fn run(options: RebuildOptions, domains: Domains) -> anyhow::Result<()> {
    let mut site = options.place.site(&options.kafka, &domains).await?;
    site.batch_max = options.batch_max.max(1);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || build(&options, &site, &handle)).await?
}

fn build(options: &RebuildOptions, site: &Site, handle: &Handle) -> anyhow::Result<()> {
    let wanted = Rebuild {
        view: options.name.clone(),
        anew: options.anew,
        rows: options.rows,
        traced: options.trace,
    };
    let bar = Bar::new();
    let (mut report, builder) = rebuild(site, handle, &wanted, |progress| bar.tell(progress))?;
    bar.clear();
    let compared = match &options.compare_with {
        Some(program) => trace::compare(options, program, site, handle, &mut report.differences),
        None => Ok(()),
    };
    // The report comes before whatever fails: what cannot be switched to has been compared all the same.
    if !options.json {
        report::print(&report);
    }
    let ended = match compared {
        Ok(()) if options.switch => serve(builder, site).map_err(anyhow::Error::from),
        compared => compared.context("the folds of both programs were not compared"),
    };
    report.switched = options.switch && ended.is_ok();
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else if ended.is_ok() {
        say_what_is_served(&report);
    }
    ended
}

fn serve(builder: Builder, site: &Site) -> Result<(), BuildError> {
    let mut reader = site.store.reader()?;
    builder.serve(&mut *reader, &site.domains, |_| {})
}

fn say_what_is_served(report: &Report) {
    let Report {
        view, built, served, ..
    } = report;
    if report.switched {
        println!(
            "generation {} is served now; `foldline views rollback {view}` goes back to generation {}",
            built.generation, served.generation
        );
    } else {
        println!("nothing is switched; `foldline views rebuild {view} --switch` catches up and serves it");
    }
}

/// Events per second, and the time that is left. On a terminal only.
struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl Bar {
    fn new() -> Self {
        let style = "{bar:32} {percent:>3} %  {msg}  {eta} left";
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            began: Instant::now(),
        }
    }

    fn tell(&self, progress: Progress) {
        self.bar.set_length(progress.done + progress.left);
        self.bar.set_position(progress.done);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let rate = progress.events.saturating_mul(1000) / millis.max(1);
        self.bar
            .set_message(format!("{} events, {rate} events/s", progress.events));
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
