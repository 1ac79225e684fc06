//! The loop: poll, load, fold, commit, next. It has a thread of its own, and no timer stands in its way: an
//! event is taken as soon as it can be read, with whatever else is there by then.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use foldline_core::Domains;
use foldline_kafka::{
    Cluster, EventLogError, Events, KafkaLogs, LogRecord, RegistryError, TopicsError, check_topics,
};
use foldline_service::Shutdown;
use foldline_views::{COMMANDS, CheckpointKey, CommitError, Position, SqliteStore, ViewStore, ViewWriter};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::ahead::Ahead;
use crate::beside::{Beside, BesideWatch};
use crate::build::Site;
use crate::commands::{self, Commands, CommandsError};
use crate::hands::Hands;
use crate::pipeline::Pipeline;
use crate::project::Projector;
use crate::retry::{RetryError, asked, retry_all};
use crate::status::Status;
use crate::step::{Done, StepError};
use crate::{Settings, metrics};

/// How long a poll waits for an event; a stop waits as long, if there are none.
const IDLE: Duration = Duration::from_millis(100);
/// How often the lag is told.
const REPORT: Duration = Duration::from_secs(1);
/// Between two tries to reach Kafka or the registry at the start.
const RETRY: Duration = Duration::from_millis(500);

/// Opens everything, and runs the loop until it is to stop. When another generation of a view is served than the one it
/// writes, it opens everything again and goes on from where that one stands.
pub(crate) async fn run(
    settings: &Settings,
    domains: &Domains,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<()> {
    let Some(cluster) = cluster(settings, domains, shutdown, status).await? else {
        return Ok(());
    };
    let site = Site {
        store: SqliteStore::new(settings.views()),
        domains: domains.clone(),
        cluster_id: cluster.id.clone(),
        logs: Arc::new(KafkaLogs {
            kafka: settings.kafka.clone(),
            cluster,
        }),
        batch_max: batch_max(settings),
    };
    let mut followed: Option<Vec<String>> = None;
    loop {
        let (mut writer, projector) = open_store(settings, &site).await?;
        check_still_ours(followed.as_deref(), writer.beside())?;
        followed = Some(followed_views(domains, writer.beside()));
        let Some(log) = open_log(&site, &projector, shutdown, status).await? else {
            return Ok(());
        };
        let positions = writer.checkpoints()?;
        let Some(commands) = open_commands(&site, &projector, positions, shutdown, status).await? else {
            return Ok(());
        };
        let beside = Beside::start(&site, writer.beside(), shutdown);
        let worker = Loop {
            log: Box::new(Ahead::start(log, batch_max(settings))?),
            commands,
            projector,
            pipeline: Pipeline::new(Hands::Two),
            batch_max: batch_max(settings),
            shutdown: shutdown.clone(),
            status: status.clone(),
            caught_up: false,
            beside: beside.watch(),
            site: site.clone(),
            handle: Handle::current(),
        };
        let ended = on_a_thread(worker, writer).await;
        beside.stop().await;
        match ended? {
            Ended::Stopped => return Ok(()),
            Ended::Switched => {
                tracing::info!("another generation of a view is served: going on with that one")
            }
        }
    }
}

fn batch_max(settings: &Settings) -> usize {
    usize::try_from(settings.batch_max).unwrap_or(usize::MAX)
}

fn followed_views(domains: &Domains, beside: &[String]) -> Vec<String> {
    let names = domains.views().iter().map(|view| view.info().name);
    names
        .filter(|name| !beside.iter().any(|other| other == name))
        .map(str::to_owned)
        .collect()
}

/// A view that this program has followed and that is served in another form now was switched to by a newer program.
/// Building our own form and switching back would undo that.
fn check_still_ours(followed: Option<&[String]>, beside: &[String]) -> anyhow::Result<()> {
    let lost = beside
        .iter()
        .find(|view| followed.is_some_and(|all| all.contains(view)));
    match lost {
        Some(view) => anyhow::bail!(
            "the view {view} is served in another form now, which this program does not have: start the program that does"
        ),
        None => Ok(()),
    }
}

async fn on_a_thread(mut worker: Loop, mut writer: Box<dyn ViewWriter>) -> anyhow::Result<Ended> {
    let (ended, end) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("projector".to_owned())
        .spawn(move || {
            let result = worker.run(writer.as_mut());
            // The process may end as soon as it has the result: the database is closed before that.
            drop(writer);
            // Nobody listens only if the process is ending anyway.
            let _ = ended.send(result);
        })?;
    match end.await {
        Ok(result) => result,
        Err(_) => {
            let panic = thread.join().is_err();
            anyhow::bail!("the projector's thread ended without a result (panic: {panic})")
        }
    }
}

/// The cluster, once it answers; `None` if it is to stop before.
async fn cluster(
    settings: &Settings,
    domains: &Domains,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<Option<Cluster>> {
    status.waits("Kafka has not answered yet");
    while !shutdown.is_triggered() {
        match check_topics(&settings.kafka, domains).await {
            Ok(cluster) => return Ok(Some(cluster)),
            Err(away @ TopicsError::Unavailable { .. }) => wait_for(&away, shutdown, status).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

async fn open_store(settings: &Settings, site: &Site) -> anyhow::Result<(Box<dyn ViewWriter>, Projector)> {
    let (path, site) = (settings.views(), site.clone());
    let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let mut writer = site
            .store
            .writer(&site.domains, &site.cluster_id)
            .with_context(|| format!("cannot open the views at {}", path.display()))?;
        let projector = projector(&site.domains, writer.as_mut())?;
        Ok((writer, projector))
    });
    opened.await?
}

/// What goes on from where the store stands.
pub(crate) fn projector(domains: &Domains, writer: &mut dyn ViewWriter) -> anyhow::Result<Projector> {
    let (positions, parked) = (writer.checkpoints()?, writer.parked()?);
    Ok(Projector::without(domains, writer.beside(), positions, parked))
}

/// The log, from where the slowest projection stands; `None` if it is to stop before.
pub(crate) async fn open_log(
    site: &Site,
    projector: &Projector,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<Option<Box<dyn Events>>> {
    let aggregates = projector.aggregates();
    let start = |aggregate: &str, partition| projector.start(aggregate, partition);
    let open = async || site.logs.events(&aggregates, &start).await;
    once_there(open, shutdown, status).await
}

/// The results, from where the history has them; `None` if it is to stop before.
pub(crate) async fn open_commands(
    site: &Site,
    projector: &Projector,
    mut positions: HashMap<CheckpointKey, Position>,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<Option<Commands>> {
    positions.retain(|key, _| key.projection == COMMANDS);
    let aggregates = projector.aggregates().into_iter();
    // What the engine keeps for itself is nobody's history.
    let aggregates: Vec<_> = aggregates.filter(|kind| !kind.info().is_internal()).collect();
    let start = |aggregate: &str, partition| {
        let position = positions.get(&commands::key_of(aggregate, partition));
        position.map_or(0, |position| position.next_offset)
    };
    let open = async || site.logs.results(&aggregates, &start).await;
    let log = once_there(open, shutdown, status).await?;
    Ok(log.map(|log| Commands::new(log, positions)))
}

/// Opens a log as soon as Kafka and the registry are there; `None` if it is to stop before.
async fn once_there<L>(
    open: impl AsyncFn() -> Result<L, EventLogError>,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<Option<L>> {
    while !shutdown.is_triggered() {
        match open().await {
            Ok(log) => return Ok(Some(log)),
            Err(
                away @ (EventLogError::Unavailable { .. }
                | EventLogError::Registry(RegistryError::Unavailable { .. })),
            ) => wait_for(&away, shutdown, status).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

async fn wait_for(away: &(dyn std::error::Error + Sync), shutdown: &Shutdown, status: &Status) {
    tracing::warn!(error = %away, "cannot start yet");
    status.waits(away.to_string());
    // A stop ends the wait early.
    let _ = tokio::time::timeout(RETRY, shutdown.wait()).await;
}

pub(crate) struct Loop {
    pub(crate) log: Box<dyn Events>,
    pub(crate) commands: Commands,
    pub(crate) projector: Projector,
    pub(crate) pipeline: Pipeline,
    pub(crate) batch_max: usize,
    pub(crate) shutdown: Shutdown,
    pub(crate) status: Status,
    pub(crate) caught_up: bool,
    pub(crate) beside: BesideWatch,
    pub(crate) site: Site,
    /// Opens a log of its own for what is tried again.
    pub(crate) handle: Handle,
}

/// Why the loop ended.
pub(crate) enum Ended {
    /// It was to.
    Stopped,
    /// Another generation of a view is served.
    Switched,
}

impl Loop {
    pub(crate) fn run(&mut self, writer: &mut dyn ViewWriter) -> anyhow::Result<Ended> {
        metrics::parked_now(&self.projector);
        let mut reported = Instant::now();
        self.report();
        while !self.shutdown.is_triggered() {
            let at_most = if self.pipeline.is_settled() {
                IDLE
            } else {
                Duration::ZERO
            };
            let records = self.log.poll(self.batch_max, at_most)?;
            match self.project(records, writer) {
                Err(StepError::Commit(CommitError::Switched { .. })) => return Ok(Ended::Switched),
                done => done?,
            }
            match self.commands.step(writer) {
                Err(CommandsError::Step(StepError::Commit(CommitError::Switched { .. }))) => {
                    return Ok(Ended::Switched);
                }
                taken => taken?,
            }
            if !self.caught_up && self.pipeline.is_settled() && self.log.has_caught_up() {
                self.caught_up = true;
                self.status.ready();
                tracing::info!("the views have all events that were there at the start");
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.report();
                if !self.retry(writer)? {
                    return Ok(Ended::Switched);
                }
            }
            if self.beside.has_served() {
                return Ok(Ended::Switched);
            }
        }
        Ok(Ended::Stopped)
    }

    /// Takes a batch. A full one waits for the next, which is there already; whatever else is there is in the store at once.
    fn project(&mut self, records: Vec<LogRecord>, writer: &mut dyn ViewWriter) -> Result<(), StepError> {
        let is_full = records.len() >= self.batch_max;
        if !records.is_empty() {
            let done = self.pipeline.take(&mut self.projector, writer, records)?;
            self.tell(done);
        }
        if !is_full {
            let done = self.pipeline.settle(writer)?;
            self.tell(done);
        }
        Ok(())
    }

    fn tell(&self, done: Option<Done>) {
        let Some(done) = done else { return };
        metrics::batch(&done, &self.projector);
        for parked in &done.parked {
            tracing::error!(
                projection = parked.projection,
                aggregate = parked.aggregate,
                id = %parked.id,
                partition = parked.partition,
                offset = parked.offset,
                reason = parked.reason,
                "an aggregate is parked: its later events are not in this view"
            );
        }
    }

    /// Tries again what somebody has asked for. False if another generation is served meanwhile.
    fn retry(&mut self, writer: &mut dyn ViewWriter) -> anyhow::Result<bool> {
        let asked = asked(writer)?;
        if asked.is_empty() {
            return Ok(true);
        }
        match self.pipeline.settle(writer) {
            Err(StepError::Commit(CommitError::Switched { .. })) => return Ok(false),
            done => self.tell(done?),
        }
        match retry_all(
            &self.site,
            &self.handle,
            &self.shutdown,
            &mut self.projector,
            writer,
            asked,
        ) {
            Ok(()) => {}
            Err(RetryError::Step(StepError::Commit(CommitError::Switched { .. }))) => return Ok(false),
            // What was asked for stays asked for.
            Err(RetryError::Log(error)) => tracing::warn!(%error, "what is parked is not tried again yet"),
            Err(error) => return Err(error.into()),
        }
        metrics::parked_now(&self.projector);
        Ok(true)
    }

    fn report(&self) {
        let behind = metrics::lag(&self.projector, &self.log.progress());
        if !self.caught_up {
            self.status
                .waits(format!("the views are {behind} records behind the events"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use foldline_service::Shutdown;
    use foldline_views::{Build, ViewStore};

    use super::{Ended, Loop, open_log, projector};
    use crate::beside::BesideWatch;
    use crate::build::Builder;
    use crate::commands::Commands;
    use crate::hands::Hands;
    use crate::pipeline::Pipeline;
    use crate::sim::site_of_today;
    use crate::status::Status;
    use crate::toy::OneResult;

    #[test]
    fn a_switch_that_results_meet_first_is_gone_on_with_too() {
        let folder = tempfile::tempdir().unwrap();
        let site = site_of_today(&folder.path().join("views.db"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (shutdown, status) = (Shutdown::new(), Status::default());
        let mut writer = site.store.writer(&site.domains, &site.cluster_id).unwrap();
        let projector = projector(&site.domains, writer.as_mut()).unwrap();
        let log = runtime.block_on(open_log(&site, &projector, &shutdown, &status));
        let mut worker = Loop {
            log: log.unwrap().unwrap(),
            commands: Commands::new(Box::new(OneResult::default()), HashMap::new()),
            projector,
            pipeline: Pipeline::new(Hands::Two),
            batch_max: 5,
            shutdown,
            status,
            caught_up: false,
            beside: BesideWatch::default(),
            site: site.clone(),
            handle: runtime.handle().clone(),
        };
        let build = Build::Anew { program: "another" };
        let builder = runtime.block_on(Box::pin(Builder::open(&site, "tabs", build)));
        let mut reader = site.store.reader().unwrap();
        builder
            .unwrap()
            .serve(&mut *reader, &site.domains, |_| {})
            .unwrap();

        let ended = worker.run(writer.as_mut()).unwrap();
        assert!(matches!(ended, Ended::Switched));
    }
}
