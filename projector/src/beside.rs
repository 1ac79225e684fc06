//! Views that are served in a form other than they are declared in: each is built beside what is served, on a thread of
//! its own, and takes its place when it has caught up. Everything else goes on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldline_service::Shutdown;
use foldline_views::{Build, StoreError, ViewReader, ViewStore};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};

use crate::build::{BuildError, Builder, Goal, Progress, Site, program};
use crate::metrics;

/// How often it is said how far a build is.
const SAY: Duration = Duration::from_secs(10);
/// How long nothing may come of the build of another process: it may have ended, and then nobody builds. Who compares before
/// a switch builds nothing meanwhile, so not too short.
const STILL_MAX: Duration = Duration::from_mins(5);
/// Between two tries to open the log.
const RETRY: Duration = Duration::from_secs(1);

/// The builds that go on beside the loop.
pub(crate) struct Beside {
    builds: JoinSet<()>,
    signs: Arc<Signs>,
}

/// What the loop looks at.
#[derive(Clone, Default)]
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
                    still_max: STILL_MAX,
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

    /// What a build does at its end.
    #[cfg(test)]
    pub(crate) fn has_been_served(&self) {
        self.0.has_served.store(true, Ordering::SeqCst);
    }

    /// What the loop's next start does, with a watch of its own.
    #[cfg(test)]
    pub(crate) fn begin_again(&self) {
        self.0.has_served.store(false, Ordering::SeqCst);
    }
}

struct BesideBuild {
    site: Site,
    view: String,
    signs: Arc<Signs>,
    shutdown: Shutdown,
    still_max: Duration,
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
                    if build.wait_for_the_other().await {
                        return;
                    }
                    tracing::warn!(
                        view = build.view,
                        "nothing comes of the other build: building the view again"
                    );
                    continue;
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

    /// True when the view is served, or when this is to stop; false if what the other one builds stands still.
    ///
    /// Of two projectors that start at once, the one that comes to build later may be the one that has to end, because
    /// the other one has opened the store after it: then whoever goes on must not wait for it.
    async fn wait_for_the_other(&self) -> bool {
        let (mut seen, mut moved_at) = (None, Instant::now());
        while !self.is_to_stop() {
            match self.built() {
                Ok(None) => {
                    self.signs.has_served.store(true, Ordering::SeqCst);
                    return true;
                }
                Ok(built) if built != seen => (seen, moved_at) = (built, Instant::now()),
                Ok(_) if moved_at.elapsed() > self.still_max => return false,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot see whether the view is served"),
            }
            let _ = tokio::time::timeout(RETRY.min(self.still_max), self.shutdown.wait()).await;
        }
        true
    }

    /// By generation that is not served, how many places of the log lie behind it; `None` if the view is served.
    fn built(&self) -> Result<Option<Vec<(i64, i64)>>, BuildError> {
        let mut reader = self.site.store.reader()?;
        let snapshot = reader.snapshot()?;
        if !snapshot.missing(&self.site.domains)?.contains(&self.view) {
            return Ok(None);
        }
        let all = snapshot.generations()?.into_iter();
        let built = all.filter(|one| one.view == self.view && !one.is_served);
        let built = built.map(|one| {
            let stands = snapshot.positions_of(&self.view, one.number)?;
            let behind = stands.iter().map(|(_, position)| position.next_offset).sum();
            Ok((one.number, behind))
        });
        Ok(Some(built.collect::<Result<_, StoreError>>()?))
    }

    fn is_to_stop(&self) -> bool {
        self.shutdown.is_triggered() || self.signs.is_to_stop.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use foldline_service::Shutdown;
    use foldline_views::{Build, ViewStore};

    use super::{BesideBuild, BesideWatch, Signs};
    use crate::build::Builder;
    use crate::sim::{site_of_today, site_of_tomorrow};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_build_that_was_taken_over_by_one_who_has_ended_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        // Today's view is served; tomorrow's has to be built.
        let today = site_of_today(&path);
        drop(today.store.writer(&today.domains, &today.cluster_id).unwrap());
        let site = site_of_tomorrow(&path);
        let mut writer = site.store.writer(&site.domains, &site.cluster_id).unwrap();
        assert_eq!(writer.beside(), ["tabs"]);
        let signs = Arc::new(Signs::default());
        let build = BesideBuild {
            site: site.clone(),
            view: "tabs".to_owned(),
            signs: Arc::clone(&signs),
            shutdown: Shutdown::new(),
            still_max: Duration::from_millis(300),
        };
        let other = Builder::open(&site, "tabs", Build::Anew { program: "another" })
            .await
            .unwrap();
        let waits = build.wait_for_the_other();
        drop(other);
        assert!(!waits.await, "it waits for nobody");

        // The history stands where the log ends, at nothing.
        assert!(writer.checkpoints().unwrap().is_empty());
        tokio::time::timeout(Duration::from_secs(60), build.run())
            .await
            .unwrap();
        assert!(BesideWatch(signs).has_served());
    }
}
