//! What was parked, tried again: the events of the one aggregate from where it stopped, in one transaction. Everything
//! else about it is the fold of any batch.

use std::collections::HashMap;
use std::time::Duration;

use foldline_core::Domains;
use foldline_kafka::{EventLogError, LogRecord};
use foldline_service::Shutdown;
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

/// What somebody has asked for; what the history has parked comes first, because views follow it.
pub(crate) fn asked(writer: &mut dyn ViewWriter) -> Result<Vec<Parked>, StoreError> {
    let mut asked = writer.retries()?;
    asked.sort_by_key(|parked| {
        (
            parked.projection != HISTORY,
            parked.projection.clone(),
            parked.id.clone(),
        )
    });
    Ok(asked)
}

/// Tries all of it again. The store must have all that the projector has seen: what is tried again is folded up to there. What
/// it has not come to when it is to stop stays asked for.
pub(crate) fn retry_all(
    site: &Site,
    handle: &Handle,
    shutdown: &Shutdown,
    projector: &mut Projector,
    writer: &mut dyn ViewWriter,
    asked: Vec<Parked>,
) -> Result<(), RetryError> {
    for parked in asked {
        if shutdown.is_triggered() {
            break;
        }
        retry(site, handle, shutdown, projector, writer, &parked)?;
    }
    Ok(())
}

fn retry(
    site: &Site,
    handle: &Handle,
    shutdown: &Shutdown,
    projector: &mut Projector,
    writer: &mut dyn ViewWriter,
    parked: &Parked,
) -> Result<(), RetryError> {
    let Some(records) = records(site, handle, shutdown, projector, parked)? else {
        return Ok(());
    };
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

/// The events of the aggregate that the projection has passed since it was parked; `None` if it is to stop before.
fn records(
    site: &Site,
    handle: &Handle,
    shutdown: &Shutdown,
    projector: &Projector,
    parked: &Parked,
) -> Result<Option<Vec<LogRecord>>, RetryError> {
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
        // Kafka may be away for long, and nothing comes then.
        if shutdown.is_triggered() {
            return Ok(None);
        }
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
    Ok(Some(found))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use foldline_core::AggregateType;
    use foldline_kafka::{EventLogError, Events, LogRecord, Logs, Progress, Results, Start};
    use foldline_service::Shutdown;
    use foldline_views::{
        Batch, CheckpointKey, CheckpointMove, HISTORY, Parked, Position, ViewStore, ViewWriter,
    };
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, ready};

    use super::{asked, retry_all};
    use crate::build::Site;
    use crate::run::projector;
    use crate::sim::site_of_today;

    /// Logs of a Kafka that goes away once they are open. Whoever waits for it is asked to stop.
    #[derive(Clone)]
    struct GoneAway(Shutdown);

    impl Logs for GoneAway {
        fn events<'a>(
            &'a self,
            _: &'a [Arc<dyn AggregateType>],
            _: Start<'a>,
        ) -> BoxFuture<'a, Result<Box<dyn Events>, EventLogError>> {
            assert!(!self.0.is_triggered(), "opened although it is to stop");
            ready(Ok(Box::new(self.clone()) as Box<dyn Events>)).boxed()
        }

        fn results<'a>(
            &'a self,
            _: &'a [Arc<dyn AggregateType>],
            _: Start<'a>,
        ) -> BoxFuture<'a, Result<Box<dyn Results>, EventLogError>> {
            unreachable!("nothing of results is parked")
        }
    }

    impl Events for GoneAway {
        fn poll(&mut self, _: usize, _: Duration) -> Result<Vec<LogRecord>, EventLogError> {
            assert!(!self.0.is_triggered(), "asked again although it is to stop");
            self.0.trigger();
            Ok(Vec::new())
        }

        fn has_caught_up(&mut self) -> bool {
            false
        }

        fn progress(&self) -> Vec<Progress> {
            Vec::new()
        }
    }

    fn parked(id: &str, offset: i64) -> Parked {
        Parked {
            projection: HISTORY.to_owned(),
            aggregate: "bar.tabs".to_owned(),
            id: id.parse().unwrap(),
            reason: "it cannot be read".to_owned(),
            partition: 0,
            offset,
        }
    }

    /// The history is at 9 in the partition, and has parked these.
    fn park(writer: &mut dyn ViewWriter, parked: &[Parked]) {
        let batch = Batch {
            parked: parked.to_vec(),
            moves: vec![CheckpointMove {
                key: CheckpointKey {
                    projection: HISTORY.to_owned(),
                    aggregate: "bar.tabs".to_owned(),
                    partition: 0,
                },
                from: Position::START,
                to: Position {
                    next_offset: 9,
                    command_offset: 4,
                },
            }],
            ..Batch::default()
        };
        writer.commit(&batch).unwrap();
    }

    #[test]
    fn who_is_to_stop_waits_for_no_kafka_and_what_was_asked_for_stays_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::new();
        let site = Site {
            logs: Arc::new(GoneAway(shutdown.clone())),
            ..site_of_today(&folder.path().join("views.db"))
        };
        let mut writer = site.store.writer(&site.domains, &site.cluster_id).unwrap();
        let these = [parked("b", 3), parked("d", 5)];
        park(writer.as_mut(), &these);
        let mut desk = site.store.desk().unwrap();
        these.iter().for_each(|one| desk.retry(&one.key()).unwrap());
        let mut projector = projector(&site.domains, writer.as_mut()).unwrap();

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asked = asked(writer.as_mut()).unwrap();
        retry_all(
            &site,
            runtime.handle(),
            &shutdown,
            &mut projector,
            writer.as_mut(),
            asked,
        )
        .unwrap();
        assert_eq!(writer.retries().unwrap(), these);
    }
}
