//! Views that are served in a form other than they are declared in: each is built beside what is served, on a thread of
//! its own, and takes its place when it has caught up. Everything else goes on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_service::Shutdown;
use foldline_views::{Build, ViewReader, ViewStore};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};

use crate::build::{BuildError, Builder, Goal, Progress, Site, program};
use crate::metrics;

/// How often it is said how far a build is.
const SAY: Duration = Duration::from_secs(10);
/// Between two tries to open the log.
const RETRY: Duration = Duration::from_secs(1);

/// The builds that go on beside the loop.
pub(crate) struct Beside {
    builds: JoinSet<()>,
    signs: Arc<Signs>,
}

/// What the loop looks at.
#[derive(Clone)]
pub(crate) struct BesideWatch(Arc<Signs>);

#[derive(Default)]
struct Signs {
    has_served: AtomicBool,
    is_to_stop: AtomicBool,
}

impl Beside {
    /// Begins to build these views. Call it in a runtime.
    pub(crate) fn start(site: &Site, views: &[String], shutdown: &Shutdown) -> Self {
        let signs = Arc::new(Signs::default());
        let mut builds = JoinSet::new();
        for view in views {
            let (site, view, signs, shutdown) =
                (site.clone(), view.clone(), Arc::clone(&signs), shutdown.clone());
            builds.spawn(async move {
                let build = BesideBuild {
                    site,
                    view,
                    signs,
                    shutdown,
                };
                build.run().await;
            });
        }
        Self { builds, signs }
    }

    pub(crate) fn watch(&self) -> BesideWatch {
        BesideWatch(Arc::clone(&self.signs))
    }

    /// Returns when nothing is built any more. What was built stays, and is gone on with.
    pub(crate) async fn stop(mut self) {
        self.signs.is_to_stop.store(true, Ordering::SeqCst);
        while self.builds.join_next().await.is_some() {}
    }
}

impl BesideWatch {
    /// Whether a build has taken the place of what was served.
    pub(crate) fn has_served(&self) -> bool {
        self.0.has_served.load(Ordering::SeqCst)
    }
}

struct BesideBuild {
    site: Site,
    view: String,
    signs: Arc<Signs>,
    shutdown: Shutdown,
}

impl BesideBuild {
    /// Until it is served, by us or by somebody else.
    async fn run(self) {
        let build = Arc::new(self);
        while !build.is_to_stop() {
            let (here, handle) = (Arc::clone(&build), Handle::current());
            let built = spawn_blocking(move || here.build(&handle)).await;
            match built {
                Ok(Ok(())) => return,
                Ok(Err(error)) if error.is_taken_over() => {
                    tracing::warn!(view = build.view, %error, "another process builds the view");
                    return build.wait_for_the_other().await;
                }
                // Kafka or the registry is away, or the store is: what was built stays.
                Ok(Err(error)) => {
                    tracing::error!(view = build.view, %error, "the view is not built; trying again")
                }
                Err(panic) => {
                    tracing::error!(view = build.view, %panic, "the view is not built; trying again")
                }
            }
            let _ = tokio::time::timeout(RETRY, build.shutdown.wait()).await;
        }
    }

    fn build(&self, handle: &Handle) -> Result<(), BuildError> {
        let program = program();
        let build = Build::Resume { program: &program };
        let opened = Box::pin(Builder::open(&self.site, &self.view, build));
        let mut builder = handle.block_on(opened)?;
        tracing::info!(
            view = self.view,
            generation = builder.generation(),
            "building the view beside the one that is served"
        );
        let mut reader = self.site.store.reader()?;
        let mut said = Instant::now();
        while !self.is_to_stop() {
            let goal = self.goal(&mut *reader, &builder)?;
            let is_there = builder.step(&goal)?;
            let progress = builder.progress(&goal);
            metrics::building(&self.view, progress.left);
            if is_there {
                return self.serve(builder, &mut *reader);
            }
            if said.elapsed() >= SAY {
                said = Instant::now();
                self.say(progress);
            }
        }
        Ok(())
    }

    fn goal(&self, reader: &mut dyn ViewReader, builder: &Builder) -> Result<Goal, BuildError> {
        let snapshot = reader.snapshot()?;
        Ok(Goal::of_history(&*snapshot, &self.site.domains, builder.view())?)
    }

    fn serve(&self, builder: Builder, reader: &mut dyn ViewReader) -> Result<(), BuildError> {
        let generation = builder.generation();
        builder.serve(reader, &self.site.domains, |_| {})?;
        tracing::info!(
            view = self.view,
            generation,
            "the view is served as it is declared now"
        );
        self.signs.has_served.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn say(&self, progress: Progress) {
        tracing::info!(
            view = self.view,
            events = progress.events,
            left = progress.left,
            "still building the view"
        );
    }

    async fn wait_for_the_other(&self) {
        while !self.is_to_stop() {
            match self.is_served() {
                Ok(true) => return self.signs.has_served.store(true, Ordering::SeqCst),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot see whether the view is served"),
            }
            let _ = tokio::time::timeout(RETRY, self.shutdown.wait()).await;
        }
    }

    fn is_served(&self) -> Result<bool, BuildError> {
        let mut reader = self.site.store.reader()?;
        let missing = reader.snapshot()?.missing(&self.site.domains)?;
        Ok(!missing.contains(&self.view))
    }

    fn is_to_stop(&self) -> bool {
        self.shutdown.is_triggered() || self.signs.is_to_stop.load(Ordering::SeqCst)
    }
}
