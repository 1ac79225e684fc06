//! What was parked, tried again: the events of the one aggregate from where it stopped, in one transaction. Everything
//! else about it is the fold of any batch.

use std::collections::HashMap;
use std::time::Duration;

use foldline_core::Domains;
use foldline_kafka::{EventLogError, LogRecord};
use foldline_views::{CheckpointKey, HISTORY, Parked, Position, StoreError, ViewWriter};
use tokio::runtime::Handle;

use crate::build::Site;
use crate::project::{Projector, id_of};
use crate::step::{StepError, fold_batch, written};

/// How long a poll waits for a record.
const IDLE: Duration = Duration::from_millis(100);
/// How many records are read at once.
const READ_MAX: usize = 5000;

/// It was not tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetryError {
    /// The events cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tries everything again that somebody has asked for; what the history has parked comes first, because views follow it.
pub(crate) fn retry_all(
    site: &Site,
    handle: &Handle,
    projector: &mut Projector,
    writer: &mut dyn ViewWriter,
) -> Result<(), RetryError> {
    let mut asked = writer.retries()?;
    asked.sort_by_key(|parked| {
        (
            parked.projection != HISTORY,
            parked.projection.clone(),
            parked.id.clone(),
        )
    });
    for parked in asked {
        retry(site, handle, projector, writer, &parked)?;
    }
    Ok(())
}

fn retry(
    site: &Site,
    handle: &Handle,
    projector: &mut Projector,
    writer: &mut dyn ViewWriter,
    parked: &Parked,
) -> Result<(), RetryError> {
    let records = records(site, handle, projector, parked)?;
    let events = records.len();
    let again = projector.again(&site.domains, parked);
    let mut batch = fold_batch(&again, writer, &again.plan(records))?.batch;
    // The checkpoint stands behind all of this: the others have gone on.
    batch.moves.clear();
    batch.unparked.push(parked.key());
    written(writer, &batch)?;
    projector.accept(&batch);
    let (projection, aggregate, id) = (&parked.projection, &parked.aggregate, &parked.id);
    match batch.parked.first() {
        None => tracing::info!(projection, aggregate, %id, events, "a parked aggregate follows again"),
        Some(Parked { offset, reason, .. }) => {
            tracing::error!(projection, aggregate, %id, offset, reason, "a parked aggregate failed again");
        }
    }
    Ok(())
}

/// The events of the aggregate that the projection has passed since it was parked.
fn records(
    site: &Site,
    handle: &Handle,
    projector: &Projector,
    parked: &Parked,
) -> Result<Vec<LogRecord>, RetryError> {
    let kinds = projector.aggregates();
    let is_it = |name: String| name == parked.aggregate;
    let kinds: Vec<_> = kinds
        .into_iter()
        .filter(|kind| is_it(kind.info().qualified_name()))
        .collect();
    let end = projector
        .position_of(&parked.projection, &parked.aggregate, parked.partition)
        .next_offset;
    let start = |_: &str, partition| match partition == parked.partition {
        true => parked.offset,
        // Nothing of the other partitions is wanted.
        false => {
            projector
                .position_of(&parked.projection, &parked.aggregate, partition)
                .next_offset
        }
    };
    let mut log = handle.block_on(site.logs.events(&kinds, &start))?;
    let (mut found, mut next) = (Vec::new(), parked.offset);
    while next < end {
        for record in log.poll(READ_MAX, IDLE)? {
            if record.partition != parked.partition {
                continue;
            }
            next = record.offset + 1;
            if record.offset < end && id_of(&record) == parked.id {
                found.push(record);
            }
        }
    }
    Ok(found)
}

impl Projector {
    /// The same, of which only this projection has not seen this aggregate from where it was parked on.
    fn again(&self, domains: &Domains, parked: &Parked) -> Self {
        let seen = Position {
            next_offset: i64::MAX,
            command_offset: i64::MAX,
        };
        let mut positions: HashMap<CheckpointKey, Position> = HashMap::new();
        for key in self.keys_of(&parked.aggregate, parked.partition) {
            let position = match key.projection == parked.projection {
                true => Position {
                    next_offset: parked.offset,
                    command_offset: -1,
                },
                false => seen,
            };
            positions.insert(key, position);
        }
        let others = self.all_parked().filter(|other| other.key() != parked.key());
        Self::without(domains, &self.beside(domains), positions, others.cloned())
    }

    /// The views of the domains that it does not follow.
    fn beside(&self, domains: &Domains) -> Vec<String> {
        let names = domains.views().iter().map(|view| view.info().name);
        names
            .filter(|name| !self.follows(name))
            .map(str::to_owned)
            .collect()
    }
}
