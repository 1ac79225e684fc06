//! The loop: poll, load, fold, commit, next. It has a thread of its own, and no timer stands in its way: an
//! event is taken as soon as it can be read, with whatever else is there by then.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use foldline_core::Domains;
use foldline_kafka::{Cluster, EventLog, EventLogError, RegistryError, TopicsError, check_topics};
use foldline_service::Shutdown;
use foldline_views::{SqliteStore, ViewStore, ViewWriter};
use tokio::sync::oneshot;

use crate::project::Projector;
use crate::status::Status;
use crate::step::catch_up;
use crate::{Settings, metrics};

/// How long a poll waits for an event; a stop waits as long, if there are none.
const IDLE: Duration = Duration::from_millis(100);
/// How often the lag is told.
const REPORT: Duration = Duration::from_secs(1);
/// Between two tries to reach Kafka or the registry at the start.
const RETRY: Duration = Duration::from_millis(500);

/// Opens everything, and runs the loop until it is to stop.
pub(crate) async fn run(
    settings: &Settings,
    domains: &Domains,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<()> {
    let Some(cluster) = cluster(settings, domains, shutdown, status).await? else {
        return Ok(());
    };
    let (mut writer, projector) = open_store(settings, domains, &cluster).await?;
    let Some(log) = open_log(settings, &projector, &cluster, shutdown, status).await? else {
        return Ok(());
    };
    let mut worker = Loop {
        log,
        projector,
        batch_max: usize::try_from(settings.batch_max).unwrap_or(usize::MAX),
        shutdown: shutdown.clone(),
        status: status.clone(),
        caught_up: false,
    };
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

async fn open_store(
    settings: &Settings,
    domains: &Domains,
    cluster: &Cluster,
) -> anyhow::Result<(Box<dyn ViewWriter>, Projector)> {
    let (path, id, domains) = (settings.views(), cluster.id.clone(), domains.clone());
    let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let mut writer = SqliteStore::new(&path)
            .writer(&domains, &id)
            .with_context(|| format!("cannot open the views at {}", path.display()))?;
        let projector = Projector::new(&domains, writer.checkpoints()?, writer.parked()?);
        Ok((writer, projector))
    });
    opened.await?
}

/// The log, from where the slowest projection stands; `None` if it is to stop before.
async fn open_log(
    settings: &Settings,
    projector: &Projector,
    cluster: &Cluster,
    shutdown: &Shutdown,
    status: &Status,
) -> anyhow::Result<Option<EventLog>> {
    let aggregates = projector.aggregates();
    let start = |aggregate: &str, partition| projector.start(aggregate, partition);
    while !shutdown.is_triggered() {
        match EventLog::open(&settings.kafka, &aggregates, cluster, start).await {
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

struct Loop {
    log: EventLog,
    projector: Projector,
    batch_max: usize,
    shutdown: Shutdown,
    status: Status,
    caught_up: bool,
}

impl Loop {
    fn run(&mut self, writer: &mut dyn ViewWriter) -> anyhow::Result<()> {
        metrics::parked_now(&self.projector);
        let mut reported = Instant::now();
        self.report();
        while !self.shutdown.is_triggered() {
            let records = self.log.poll(self.batch_max, IDLE)?;
            if !records.is_empty() {
                let start = Instant::now();
                let done = catch_up(&mut self.projector, writer, records)?;
                metrics::batch(&done, &self.projector, start.elapsed());
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
            if !self.caught_up && self.log.has_caught_up() {
                self.caught_up = true;
                self.status.ready();
                tracing::info!("the views have all events that were there at the start");
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.report();
            }
        }
        Ok(())
    }

    fn report(&self) {
        let behind = metrics::lag(&self.projector, &self.log.progress());
        if !self.caught_up {
            self.status
                .waits(format!("the views are {behind} records behind the events"));
        }
    }
}
