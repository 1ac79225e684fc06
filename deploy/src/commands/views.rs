//! `foldline views`: generations of views.

mod list;
mod rebuild;
mod report;
mod trace;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use foldline_core::Domains;
use foldline_kafka::{KafkaLogs, KafkaSettings, check_topics};
use foldline_projector::{BATCH_MAX, Builder, Site, VIEWS_FILE};
use foldline_views::{Build, Generation, SqliteStore, ViewStore};
use tokio::runtime::Handle;

/// Build views anew beside those that are served, compare them, switch and go back.
#[derive(Debug, Subcommand)]
pub(crate) enum ViewsCommand {
    /// Show every generation of every view: which one is served, where it stands, what is parked.
    List(list::ListOptions),
    /// Build a view from the events, beside the generation that is served, and report every row that differs. A build
    /// that was interrupted goes on where it was.
    Rebuild(Box<rebuild::RebuildOptions>),
    /// Serve the generation that was served before, brought up to date first.
    Rollback(RollbackOptions),
    /// Remove a generation that is not served.
    Drop(DropOptions),
    /// Fold single rows event by event, and show what each event makes of them.
    Trace(trace::TraceOptions),
}

/// Where the views are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The folder of the view database, views.db: the projector's data-dir.
    #[arg(
        long,
        env = "FOLDLINE_PROJECTOR_DATA_DIR",
        default_value = ".foldline/projector",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackOptions {
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    place: Place,
    /// The view.
    name: String,
    /// The generation to serve. Without it: the one that was served last before the present one.
    #[arg(long, value_name = "NUMBER")]
    to: Option<i64>,
    /// Serve it where it stands, however far behind. Reads with a consistency token wait for it in vain until a projector
    /// that has its form goes on with it.
    #[arg(long)]
    as_it_stands: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DropOptions {
    #[command(flatten)]
    place: Place,
    /// The view.
    name: String,
    /// The generation.
    generation: i64,
}

impl Place {
    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::new(self.data_dir.join(VIEWS_FILE))
    }

    /// With Kafka, whose topics are checked.
    async fn site(&self, kafka: &KafkaSettings, domains: &Domains) -> anyhow::Result<Site> {
        let cluster = check_topics(kafka, domains).await?;
        Ok(Site {
            cluster_id: cluster.id.clone(),
            logs: Arc::new(KafkaLogs {
                kafka: kafka.clone(),
                cluster,
            }),
            store: self.store(),
            domains: domains.clone(),
            batch_max: BATCH_MAX,
        })
    }
}

pub(crate) async fn run(command: ViewsCommand, domains: Domains) -> anyhow::Result<()> {
    match command {
        ViewsCommand::List(options) => list::run(&options),
        ViewsCommand::Rebuild(options) => rebuild::run(*options, domains).await,
        ViewsCommand::Rollback(options) => rollback(options, domains).await,
        ViewsCommand::Drop(options) => drop_one(&options),
        ViewsCommand::Trace(options) => trace::run(options, domains).await,
    }
}

fn drop_one(options: &DropOptions) -> anyhow::Result<()> {
    let mut desk = options.place.store().desk()?;
    desk.remove(&options.name, options.generation)?;
    println!("generation {} of {} is removed", options.generation, options.name);
    Ok(())
}

async fn rollback(options: RollbackOptions, domains: Domains) -> anyhow::Result<()> {
    let site = options.place.site(&options.kafka, &domains).await?;
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || go_back(&options, &site, &handle)).await?
}

fn go_back(options: &RollbackOptions, site: &Site, handle: &Handle) -> anyhow::Result<()> {
    let view = options.name.as_str();
    let mut reader = site.store.reader()?;
    let all = reader.snapshot()?.generations()?;
    let target = target(&all, view, options.to)?;
    let number = target.number;
    if options.as_it_stands {
        site.store.desk()?.serve(view, number)?;
        println!("generation {number} of {view} is served, as it stands");
        return Ok(());
    }
    if !has_our_form(site, &target)? {
        bail!(
            "generation {number} of {view} has another form than this program: only the program that made it can bring \
             it up to date. Run `foldline views rollback {view}` of that program, or serve it --as-it-stands"
        );
    }
    let builder = handle.block_on(Box::pin(Builder::open(site, view, Build::Kept(number))))?;
    builder
        .serve(&mut *reader, &site.domains, |_| {})
        .with_context(|| format!("generation {number} of {view} is not served"))?;
    println!("generation {number} of {view} is up to date, and served");
    Ok(())
}

/// The generation to go back to.
fn target(all: &[Generation], view: &str, to: Option<i64>) -> anyhow::Result<Generation> {
    let of_view = all.iter().filter(|one| one.view == view && !one.is_served);
    let found = match to {
        Some(number) => of_view.into_iter().find(|one| one.number == number),
        None => of_view
            .filter(|one| one.served_at.is_some())
            .max_by_key(|one| one.served_at),
    };
    let what = to.map_or_else(
        || "generation that was served before".to_owned(),
        |number| format!("generation {number} that is not served"),
    );
    found
        .cloned()
        .with_context(|| format!("{view} has no {what}; see `foldline views list`"))
}

/// Whether the generation is of the form that this program declares.
fn has_our_form(site: &Site, target: &Generation) -> anyhow::Result<bool> {
    let view = site
        .domains
        .views()
        .iter()
        .find(|known| known.info().name == target.view);
    let view = view.with_context(|| format!("this program has no view {}", target.view))?;
    Ok(target.is_made_by(view.info()))
}
