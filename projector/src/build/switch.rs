//! The switch: a generation that has been built is brought to where the served one stands, and served.

use std::time::Duration;

use foldline_core::Domains;
use foldline_views::ViewReader;

use super::{BuildError, Builder, Goal, Progress};

/// How long everybody else who writes may be kept waiting. The projector tries for longer.
const HELD_MAX: Duration = Duration::from_secs(2);
/// How often it is tried.
const TRIES: u32 = 20;

impl Builder {
    /// Catches up with what is served and takes its place. Nobody writes to the store in the last moment of it, so that
    /// nothing comes in between; readers notice nothing.
    pub fn serve(
        mut self,
        reader: &mut dyn ViewReader,
        domains: &Domains,
        mut tell: impl FnMut(Progress),
    ) -> Result<(), BuildError> {
        for _ in 0..TRIES {
            let near = Goal::of_history(&*reader.snapshot()?, domains, self.view())?;
            self.build(&near, &mut tell)?;
            if self.serve_now(reader, domains)? {
                return Ok(());
            }
        }
        Err(BuildError::NotThere(HELD_MAX * TRIES))
    }

    /// False if what is missing does not come in time: then nothing has happened.
    fn serve_now(&mut self, reader: &mut dyn ViewReader, domains: &Domains) -> Result<bool, BuildError> {
        let Self { writer, fold } = self;
        let mut held = writer.hold()?;
        let served = held.served()?;
        // Read while nobody writes: the history stands still as well.
        let trusted = Goal::of_history(&*reader.snapshot()?, domains, &fold.view)?;
        let Some(goal) = trusted.at(domains, &fold.view, served) else {
            return Ok(false);
        };
        if !fold.gather(&goal, HELD_MAX)? {
            return Ok(false);
        }
        fold.fold(&mut *held, &goal)?;
        held.serve()?;
        Ok(true)
    }
}
