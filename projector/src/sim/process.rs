//! A projector: its loop, and the build beside it, each a coroutine that runs what the real threads run.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use foldline_core::{AggregateId, Sequence};
use foldline_service::Shutdown;
use foldline_views::{
    Batch, Build, CheckpointKey, CommitError, Parked, Position, Row, StoreError, ViewReader, ViewStore,
    ViewWriter,
};
use generator::{Generator, Gn};
use tokio::runtime::Handle;

use super::bugs::Bug;
use super::world::{Killed, World};
use crate::beside::BesideWatch;
use crate::build::{BuildError, Builder, Goal, Site};
use crate::hands::Hands;
use crate::pipeline::Pipeline;
use crate::project::Projector;
use crate::run::{Ended, Loop, open_commands, open_log, projector};
use crate::status::Status;

/// In words.
const STACK: usize = 1 << 16;
const BATCH_MAX: usize = 6;

type Coroutine = Generator<'static, (), ()>;

/// Why a coroutine has ended, if it has.
type End = Arc<Mutex<Option<Result<(), String>>>>;

/// A projector that was started.
pub(super) struct Process {
    threads: Vec<(Coroutine, End)>,
    pub(super) is_frozen: bool,
}

impl Process {
    /// Starts it: the loop, and a build of each view that is served in another form.
    pub(super) fn start(site: &Site, world: &World, handle: &Handle) -> Self {
        let (site, world, handle) = (site.clone(), world.clone(), handle.clone());
        let watch = BesideWatch::default();
        let follow = {
            let (site, world, handle, watch) = (site.clone(), world.clone(), handle.clone(), watch.clone());
            move || follow(&site, &world, &handle, &watch)
        };
        let build = move || build(&site, &world, &handle, &watch);
        Self {
            threads: vec![thread(follow), thread(build)],
            is_frozen: false,
        }
    }

    /// Lets one of its threads go on, if there is one that can.
    pub(super) fn resume(&mut self, thread: usize) {
        let (body, _) = &mut self.threads[thread];
        if !body.is_done() {
            body.resume();
        }
    }

    /// As SIGKILL does it: nothing of it goes on.
    pub(super) fn kill(&mut self) {
        for (body, _) in &mut self.threads {
            body.cancel();
        }
    }

    /// Why a thread of it has ended, if one has: the loop's reason first.
    pub(super) fn end(&self, thread: usize) -> Option<Result<(), String>> {
        let end = self.threads[thread]
            .1
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        end.clone()
    }
}

fn thread(body: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> (Coroutine, End) {
    let end = End::default();
    let told = Arc::clone(&end);
    let body = move || {
        let ended = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(ended) => ended.map_err(|error| format!("{error:#}")),
            Err(panic) if panic.is::<Killed>() => Err(KILLED.to_owned()),
            Err(panic) => resume_unwind(panic),
        };
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    };
    (Gn::new_opt(STACK, body), end)
}

/// What the end of a thread says that was killed where it had no turn to give.
pub(super) const KILLED: &str = "killed";

/// What `run` does, without waiting for Kafka.
fn follow(site: &Site, world: &World, handle: &Handle, watch: &BesideWatch) -> anyhow::Result<()> {
    let (shutdown, status) = (Shutdown::new(), Status::default());
    loop {
        let mut writer: Box<dyn ViewWriter> = Box::new(Mistaken {
            writer: site.store.writer(&site.domains, &site.cluster_id)?,
            world: world.clone(),
        });
        let projector: Projector = projector(&site.domains, writer.as_mut())?;
        let open = open_log(site, &projector, &shutdown, &status);
        let log = handle.block_on(open)?.expect("it is not to stop");
        let positions = writer.checkpoints()?;
        let open = open_commands(site, &projector, positions, &shutdown, &status);
        let commands = handle.block_on(open)?.expect("it is not to stop");
        let mut this = Loop {
            log,
            commands,
            projector,
            pipeline: Pipeline::new(Hands::One),
            batch_max: BATCH_MAX,
            shutdown: shutdown.clone(),
            status: status.clone(),
            caught_up: false,
            beside: watch.clone(),
            site: site.clone(),
            handle: handle.clone(),
        };
        match this.run(writer.as_mut())? {
            Ended::Stopped => return Ok(()),
            Ended::Switched => watch.begin_again(),
        }
        world.note("went on with another generation");
    }
}

/// What a build beside the loop does, until it is served.
fn build(site: &Site, world: &World, handle: &Handle, watch: &BesideWatch) -> anyhow::Result<()> {
    // The loop makes the store.
    let mut reader = loop {
        world.give();
        if let Ok(reader) = site.store.reader() {
            break reader;
        }
    };
    let missing = reader.snapshot()?.missing(&site.domains)?;
    for view in missing {
        match build_one(site, world, handle, &view, reader.as_mut()) {
            Ok(()) => watch.has_been_served(),
            // Another process builds it, or has served it.
            Err(error) if error.is_taken_over() => world.note("build taken over"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn build_one(
    site: &Site,
    world: &World,
    handle: &Handle,
    view: &str,
    reader: &mut dyn ViewReader,
) -> Result<(), BuildError> {
    let build = Build::Resume { program: "tomorrow" };
    let mut builder = handle.block_on(Box::pin(Builder::open(site, view, build)))?;
    world.note("build begun");
    loop {
        let goal = Goal::of_history(&*reader.snapshot()?, &site.domains, builder.view())?;
        let is_there = builder.step(&goal)?;
        if world.has(Bug::ServesBehind) {
            let mut desk = site.store.desk()?;
            desk.serve(view, builder.generation()).expect("it is there");
            return Ok(());
        }
        if is_there {
            break;
        }
    }
    world.alone(|| builder.serve(reader, &site.domains, |_| {}))?;
    world.note("build served");
    Ok(())
}

/// The writer, and what some of the planted mistakes make of it.
struct Mistaken {
    writer: Box<dyn ViewWriter>,
    world: World,
}

impl Mistaken {
    /// In two transactions, which may be taken apart.
    fn commit_in_two(&mut self, batch: &Batch, places_first: bool) -> Result<(), CommitError> {
        let places = Batch {
            moves: batch.moves.clone(),
            ..Batch::default()
        };
        let mut rest = batch.clone();
        rest.moves.clear();
        let (first, second) = if places_first {
            (places, rest)
        } else {
            (rest, places)
        };
        self.writer.commit(&first)?;
        self.world.give();
        self.writer.commit(&second)
    }
}

impl ViewWriter for Mistaken {
    fn checkpoints(&mut self) -> Result<HashMap<CheckpointKey, Position>, StoreError> {
        self.writer.checkpoints()
    }

    fn parked(&mut self) -> Result<Vec<Parked>, StoreError> {
        self.writer.parked()
    }

    fn retries(&mut self) -> Result<Vec<Parked>, StoreError> {
        self.writer.retries()
    }

    fn beside(&self) -> &[String] {
        self.writer.beside()
    }

    fn load(&mut self, view: &str, ids: &[AggregateId]) -> Result<Vec<Row>, StoreError> {
        self.writer.load(view, ids)
    }

    fn sequences(
        &mut self,
        aggregate: &str,
        ids: &[AggregateId],
    ) -> Result<HashMap<AggregateId, Sequence>, StoreError> {
        self.writer.sequences(aggregate, ids)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        match () {
            () if self.world.has(Bug::PlacesFirst) => self.commit_in_two(batch, true),
            () if self.world.has(Bug::RowsFirst) => self.commit_in_two(batch, false),
            () if self.world.has(Bug::LosesCommit) && self.world.once_in(10) => Ok(()),
            () => self.writer.commit(batch),
        }
    }
}
