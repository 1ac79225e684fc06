//! A dry run: the same decision, and nothing of it is written.

use std::num::NonZeroUsize;
use std::sync::Arc;

use foldline_core::personal::reveal;
use foldline_core::{CommandResult, DecodedCommand, EventMeta};
use lru::LruCache;
use serde_json::Value;

use super::Shared;
use super::decide::{Deciding, Decision, Step};
use super::intake::{Content, Taken};
use crate::catalog::Installed;

/// What would become of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// Its outcome, and the sequence that it leads to.
    pub result: CommandResult,
    /// The events that it would make, with their payloads.
    pub events: Vec<(EventMeta, Value)>,
    /// The aggregate's state afterwards; `Null` if it would be refused.
    pub state: Value,
    /// Whose the aggregate is, by that state: who asks may not be the one who reads it.
    pub owner: Option<String>,
}

/// Decides on what is known in this process. An error is a passing one, as text.
pub(crate) fn rehearse(
    shared: &Shared,
    installed: &Arc<Installed>,
    command: DecodedCommand,
) -> Result<Rehearsed, String> {
    let aggregate = &installed.aggregate;
    let slice = installed.slice_of(&command.meta.aggregate_id);
    let content = Content::Command(Box::new(command));
    let taken = Taken {
        slice,
        offset: NOWHERE,
        traceparent: None,
        content,
    };
    let Content::Command(command) = &taken.content else {
        unreachable!("it was put in above")
    };
    let mut cache = LruCache::new(NonZeroUsize::MIN);
    let mut deciding = Deciding::new(shared, &mut cache, None);
    let made = match deciding
        .step(&taken, command, &[])
        .map_err(|error| error.to_string())?
    {
        Step::Made(made) => made,
        Step::Wants(_) => return Err("a dry run reserves nothing".to_owned()),
    };
    let mut decisions = [Decision::Made(made)];
    deciding
        .state_tokens(std::slice::from_ref(&taken), &mut decisions)
        .map_err(|error| error.to_string())?;
    let [Decision::Made(made)] = decisions else {
        unreachable!("it was put in above")
    };
    let (events, state, owner) = match made.rehearsed {
        // Opened, as a read would show it: the HTTP layer leaves it out for who may not read it.
        Some((events, state)) => {
            let owner = aggregate.owner(&state, &made.result.aggregate_id);
            (events, reveal(|| aggregate.state_json(&state)), owner)
        }
        None => (Vec::new(), Value::Null, None),
    };
    let shown = events
        .into_iter()
        .map(|event| (event.meta, reveal(|| aggregate.event_json(&event.event))));
    Ok(Rehearsed {
        events: shown.collect(),
        state,
        owner,
        result: made.result,
    })
}

/// A dry run lies in no topic.
const NOWHERE: i64 = -1;
