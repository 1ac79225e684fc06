//! A view built anew beside the one that is served, and what both say at the same position.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foldline_core::AggregateId;
use foldline_views::{Build, Generation, Snapshot, ViewReader, ViewStore};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::build::{BuildError, Builder, Goal, Progress, Site, program};
use crate::compare::{Comparison, Counts, RowDifference, first_by_one};
use crate::trace::{EventPlace, Step, Traced};

/// How near a build must be to what is served before a moment is held fast for the comparison.
const NEAR: u64 = 20_000;
/// How long the history may take to come as far as the view.
const TRUST_MAX: Duration = Duration::from_secs(60);
/// Of a row's events, so many are named.
const EVENTS_MAX: usize = 50;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Rebuild {
    /// The view.
    pub view: String,
    /// Begin from the beginning, whatever was built before.
    pub anew: bool,
    /// How many of the rows that differ are reported; all are counted.
    pub rows: usize,
    /// For how many of them the events are read again, to find where both begin to differ.
    pub traced: usize,
}

/// A generation, in a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// Its number.
    pub generation: i64,
    /// The version of the declaration that it is made by.
    pub version: u32,
    /// Aggregates that are parked in it.
    pub parked: Vec<String>,
}

/// What a rebuild has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The view.
    pub view: String,
    /// What clients see.
    pub served: Side,
    /// What was built.
    pub built: Side,
    /// Where both stood when they were compared: for each partition of an aggregate type the offset of the next event.
    pub position: BTreeMap<String, i64>,
    /// How many rows are what.
    pub rows: Counts,
    /// The rows that differ, by id.
    pub differences: Vec<RowDifference>,
    /// How many more of them there are.
    pub not_shown: u64,
    /// Events that were folded.
    pub events: u64,
    /// How long that took.
    pub seconds: f64,
    /// Whether clients see what was built.
    pub switched: bool,
}

impl Report {
    /// Whether both say the same.
    pub fn is_empty(&self) -> bool {
        self.rows.changed + self.rows.missing + self.rows.extra == 0
    }
}

/// Builds, compares, and says what differs. The builder can serve what was built. Blocking.
pub fn rebuild(
    site: &Site,
    handle: &Handle,
    rebuild: &Rebuild,
    mut tell: impl FnMut(Progress),
) -> Result<(Report, Builder), BuildError> {
    let mut reader = site.store.reader()?;
    let mut builder = open(site, handle, rebuild, &mut *reader)?;
    let began = Instant::now();
    loop {
        let goal = served_goal(site, &mut *reader, &builder)?;
        if builder.progress(&goal).left < NEAR {
            break;
        }
        builder.build(&goal, &mut tell)?;
    }
    // What is served stands still in this snapshot, while the projector goes on.
    let (goal, snapshot) = held_still(site, &mut *reader, &builder)?;
    builder.build(&goal, &mut tell)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut built_reader = site.store.reader()?;
    let built = built_reader.snapshot()?;
    let mut report = compared(rebuild, &builder, &*snapshot, &*built)?;
    report.position = goal
        .ends()
        .map(|((aggregate, partition), end)| (format!("{aggregate}/{partition}"), *end))
        .collect();
    report.events = builder.progress(&goal).events;
    report.seconds = seconds;
    drop((snapshot, built));
    trace(site, handle, rebuild, &goal, &mut report.differences)?;
    Ok((report, builder))
}

fn open(
    site: &Site,
    handle: &Handle,
    rebuild: &Rebuild,
    reader: &mut dyn ViewReader,
) -> Result<Builder, BuildError> {
    let program = program();
    let program = program.as_str();
    let anew = Build::Anew { program };
    let build = if rebuild.anew {
        anew
    } else {
        Build::Resume { program }
    };
    let open = |build| handle.block_on(Box::pin(Builder::open(site, &rebuild.view, build)));
    let builder = open(build)?;
    // Built beside a view that stands still, it may have gone past it.
    if builder.is_beyond(&served_goal(site, reader, &builder)?) {
        return open(anew);
    }
    Ok(builder)
}

fn served_goal(site: &Site, reader: &mut dyn ViewReader, builder: &Builder) -> Result<Goal, BuildError> {
    Ok(held_still(site, reader, builder)?.0)
}

/// A moment, and where the served generation stands in it.
fn held_still<'a>(
    site: &Site,
    reader: &'a mut dyn ViewReader,
    builder: &Builder,
) -> Result<(Goal, Box<dyn Snapshot + 'a>), BuildError> {
    let began = Instant::now();
    while Goal::of_served(&*reader.snapshot()?, &site.domains, builder.view())?.is_none() {
        if began.elapsed() > TRUST_MAX {
            return Err(BuildError::Untrusted(builder.view().name.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let snapshot = reader.snapshot()?;
    match Goal::of_served(&*snapshot, &site.domains, builder.view())? {
        Some(goal) => Ok((goal, snapshot)),
        None => Err(BuildError::Untrusted(builder.view().name.to_owned())),
    }
}

fn compared(
    rebuild: &Rebuild,
    builder: &Builder,
    served_in: &dyn Snapshot,
    built_in: &dyn Snapshot,
) -> Result<Report, BuildError> {
    let view = builder.view().name;
    let of = |snapshot: &dyn Snapshot, wanted: &dyn Fn(&Generation) -> bool| -> Result<Side, BuildError> {
        let all = snapshot.generations()?;
        let found = all.iter().find(|one| one.view == view && wanted(one));
        let found = found.ok_or_else(|| foldline_views::StoreError::NoView(view.to_owned()))?;
        let parked = snapshot.parked_of(view, found.number)?.into_iter();
        let parked = parked.map(|parked| format!("{} {}: {}", parked.aggregate, parked.id, parked.reason));
        Ok(Side {
            generation: found.number,
            version: found.version,
            parked: parked.collect(),
        })
    };
    let served = of(served_in, &|one| one.is_served)?;
    let built = of(built_in, &|one| one.number == builder.generation())?;
    let comparison = Comparison::of(
        view,
        (served.generation, served_in),
        (built.generation, built_in),
        rebuild.rows,
    )?;
    let Counts {
        changed,
        missing,
        extra,
        ..
    } = comparison.counts;
    let shown = u64::try_from(comparison.differences.len()).unwrap_or_default();
    Ok(Report {
        view: view.to_owned(),
        served,
        built,
        position: BTreeMap::new(),
        rows: comparison.counts,
        not_shown: changed + missing + extra - shown,
        differences: comparison.differences,
        events: 0,
        seconds: 0.0,
        switched: false,
    })
}

/// Reads the events of rows that differ once more, and looks for the first one that matters.
fn trace(
    site: &Site,
    handle: &Handle,
    rebuild: &Rebuild,
    goal: &Goal,
    differences: &mut [RowDifference],
) -> Result<(), BuildError> {
    let traced = rebuild.traced.min(differences.len());
    let differences = &mut differences[..traced];
    let ids = differences
        .iter()
        .filter_map(|difference| difference.id.parse().ok());
    let ids: Vec<AggregateId> = ids.collect();
    if ids.is_empty() {
        return Ok(());
    }
    let traced = handle.block_on(Box::pin(Traced::read(site, &rebuild.view, &ids, goal)))?;
    for difference in differences {
        let Ok(id) = difference.id.parse() else { continue };
        let row = traced.row(&id);
        let events = row
            .steps
            .iter()
            .take(EVENTS_MAX)
            .map(|Step { event, .. }| event.clone());
        difference.events = events.collect::<Vec<EventPlace>>();
        let refold = |order: &[usize]| traced.refold(&id, order);
        difference.first_difference = first_by_one(difference.served.as_ref(), &row, refold);
    }
    Ok(())
}
