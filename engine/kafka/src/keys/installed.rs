//! What an aggregate type needs of the keys.

use std::sync::Arc;

use foldline_core::personal::{Opener, Seal, open, seal};
use foldline_core::{AggregateId, AnyEvent, State, Unique};

use super::subject_name;
use crate::catalog::Installed;

impl Installed {
    /// Whom personal values are about that are in this state, or come into it.
    pub(crate) fn subject(&self, state: &State, id: &AggregateId) -> Option<String> {
        self.keys.as_ref()?;
        let info = self.aggregate.info();
        let subject = self.aggregate.subject(state, id)?;
        Some(subject_name(info, &subject))
    }

    /// The state as it is kept: nothing personal of it is in the clear, but what its log has so.
    pub(crate) fn encode_state(&self, state: &State, by: Seal) -> Vec<u8> {
        let encode = || self.aggregate.encode_state(state);
        match self.keys {
            None => encode(),
            Some(_) => seal(by, encode).0,
        }
    }

    /// What `read` reads, with its personal values opened. An error names a key that is missing.
    pub(crate) fn opened<R>(&self, read: impl Fn() -> R) -> Result<R, String> {
        let Some(keys) = &self.keys else {
            return Ok(read());
        };
        let opener: Arc<dyn Opener> = Arc::clone(keys) as _;
        let mut opened = open(&opener, &read);
        if let (_, Some(key)) = opened
            && keys.look_for(key)
        {
            opened = open(&opener, &read);
        }
        match opened {
            (read, None) => Ok(read),
            (_, Some(key)) => Err(format!(
                "the key {key} is missing in {}, and was not erased",
                keys.topic()
            )),
        }
    }

    /// Whether an event says something personal that was not kept before.
    pub(crate) fn says_something_new(&self, event: &AnyEvent) -> bool {
        self.keys.is_some() && seal(Seal::Clear, || self.aggregate.event_json(event)).1 > 0
    }

    /// The values that the state holds and nobody else may, as they are claimed.
    pub(crate) fn unique(&self, state: &State) -> Vec<Unique> {
        let mut values = self.aggregate.unique(state);
        if let Some(keys) = &self.keys {
            for value in &mut values {
                value.value = keys.digest(&self.aggregate.info().name, value.name, &value.value);
            }
        }
        values
    }
}
