//! A batch is committed while the next one is folded: who catches up has work for one thread more.
//!
//! A batch that is folded waits for the next one to be loaded, and is committed while that one is folded. So the fold must see
//! the store as it will be: rows and sequences that the waiting batch has are taken from there. Both have one connection to the
//! store, by turns, and the store has the batches in their order, each with its checkpoints: a process that ends in between
//! reads again what was not committed.

use foldline_kafka::LogRecord;
use foldline_kafka::failpoints::reached;
use foldline_views::ViewWriter;

use crate::hands::Hands;
use crate::project::{Folded, Projector};
use crate::step::{Begun, Done, StepError, commit, loaded};

/// Batches on their way into the store. After an error neither it nor the projector is of use: both have seen what the store has
/// not.
pub(crate) struct Pipeline {
    waiting: Option<Waiting>,
    hands: Hands,
}

/// A batch that is folded, and that the store does not have.
struct Waiting {
    begun: Begun,
    folded: Folded,
}

impl Waiting {
    fn commit(self, writer: &mut dyn ViewWriter) -> Result<Done, StepError> {
        commit(writer, &self.folded.batch)?;
        Ok(self.begun.done(self.folded))
    }
}

impl Pipeline {
    pub(crate) fn new(hands: Hands) -> Self {
        Self { waiting: None, hands }
    }

    /// Whether the store has all that was taken.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_none()
    }

    /// Folds a batch, which waits then, and commits meanwhile the one that has waited, if there is one: that is in the store now.
    pub(crate) fn take(
        &mut self,
        projector: &mut Projector,
        writer: &mut dyn ViewWriter,
        records: Vec<LogRecord>,
    ) -> Result<Option<Done>, StepError> {
        let begun = Begun::with(&records);
        let plan = projector.plan(records);
        let mut needs = projector.needs(&plan);
        let waiting = self.waiting.take();
        let of_waiting = waiting.as_ref().map(|waiting| &waiting.folded.batch);
        let mut known = of_waiting.map(|batch| needs.take_from(batch)).unwrap_or_default();
        known.add(loaded(writer, &needs)?);
        // What was planned goes with it, and not behind a commit that takes longer.
        let at_first = &*projector;
        let fold = move || at_first.fold(&plan, known);
        let (done, folded) = match waiting {
            None => (None, fold()),
            Some(waiting) => {
                reached("loaded-ahead");
                let (done, folded) = self.hands.both(|| waiting.commit(writer), fold);
                (Some(done?), folded)
            }
        };
        projector.accept(&folded.batch);
        self.waiting = Some(Waiting { begun, folded });
        Ok(done)
    }

    /// Commits what waits, if anything does: the store has all then.
    pub(crate) fn settle(&mut self, writer: &mut dyn ViewWriter) -> Result<Option<Done>, StepError> {
        let waiting = self.waiting.take();
        waiting.map(|waiting| waiting.commit(writer)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread;

    use foldline_kafka::LogRecord;
    use foldline_views::{CommitError, ViewWriter};

    use super::Pipeline;
    use crate::hands::Hands;
    use crate::project::Projector;
    use crate::step::StepError;
    use crate::toy::{Log, Memory, Spec, bar, start, unseen};

    fn records(specs: &[Spec]) -> Vec<LogRecord> {
        specs.iter().map(Spec::record).collect()
    }

    fn spent() -> Log {
        let mut log = Log::default();
        log.open("a").spend("a", &["ada"], 1).spend("a", &["ada"], 2);
        log
    }

    fn total(writer: &mut dyn ViewWriter) -> Option<String> {
        let rows = writer.load("tabs", &["a".parse().unwrap()]).unwrap();
        rows.first().map(|row| row.doc.clone())
    }

    #[test]
    fn what_waits_is_not_in_the_store_until_the_next_batch_or_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut projector) = start(&folder.path().join("views.db"));
        let mut pipeline = Pipeline::new(Hands::Two);
        let log = spent();
        let mut take = |pipeline: &mut Pipeline, writer: &mut dyn ViewWriter, specs| {
            pipeline.take(&mut projector, writer, records(specs)).unwrap()
        };
        assert!(take(&mut pipeline, writer.as_mut(), &log.specs[..2]).is_none());
        assert_eq!((total(writer.as_mut()), pipeline.is_settled()), (None, false));
        let first = take(&mut pipeline, writer.as_mut(), &log.specs[2..]).unwrap();
        assert_eq!(first.events, 2);
        assert_eq!(total(writer.as_mut()).unwrap(), r#"{"total":1}"#);
        let second = pipeline.settle(writer.as_mut()).unwrap().unwrap();
        assert_eq!(second.events, 1);
        assert_eq!(total(writer.as_mut()).unwrap(), r#"{"total":3}"#);
        assert!(pipeline.is_settled() && pipeline.settle(writer.as_mut()).unwrap().is_none());
    }

    #[test]
    fn a_projector_that_is_killed_while_a_batch_waits_reads_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let log = spent();
        for end in 1..=log.specs.len() {
            let (mut writer, mut projector) = start(&path);
            let mut pipeline = Pipeline::new(Hands::Two);
            for record in unseen(&projector, &log.specs[..end]) {
                pipeline
                    .take(&mut projector, writer.as_mut(), vec![record])
                    .unwrap();
            }
        }
        let (mut writer, mut projector) = start(&path);
        let mut pipeline = Pipeline::new(Hands::Two);
        assert_eq!(total(writer.as_mut()).unwrap(), r#"{"total":1}"#);
        let last = records(&log.specs[2..]);
        pipeline.take(&mut projector, writer.as_mut(), last).unwrap();
        pipeline.settle(writer.as_mut()).unwrap();
        assert_eq!(total(writer.as_mut()).unwrap(), r#"{"total":3}"#);
    }

    #[test]
    fn who_was_replaced_hears_of_it_with_the_batch_that_waited_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("views.db");
        let log = spent();
        let (mut writer, mut projector) = start(&path);
        let mut pipeline = Pipeline::new(Hands::Two);
        pipeline
            .take(&mut projector, writer.as_mut(), records(&log.specs[..2]))
            .unwrap();
        let (mut successor, _) = start(&path);
        let next = records(&log.specs[2..]);
        let refused = pipeline.take(&mut projector, writer.as_mut(), next);
        assert!(matches!(
            refused,
            Err(StepError::Commit(CommitError::Fenced { .. }))
        ));
        assert_eq!(total(successor.as_mut()), None);
    }

    #[test]
    fn a_batch_that_has_waited_is_committed_by_another_thread_than_the_one_that_folds() {
        let mut projector = Projector::new(bar(), HashMap::new(), []);
        let (mut writer, mut pipeline) = (Memory::default(), Pipeline::new(Hands::Two));
        for spec in &spent().specs {
            let records = records(std::slice::from_ref(spec));
            pipeline.take(&mut projector, &mut writer, records).unwrap();
        }
        pipeline.settle(&mut writer).unwrap();
        let here = thread::current().id();
        let is_here: Vec<bool> = writer.committed_by.iter().map(|thread| *thread == here).collect();
        assert_eq!(is_here, [false, false, true]);
    }
}
