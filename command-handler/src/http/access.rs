//! What a caller may ask of an aggregate.

use foldline_core::{AggregateId, AnyCommand};
use foldline_service::{Action, Caller, Problem, Reach};

use super::headers::Asked;
use super::{Surface, problem};

/// Whether the caller may send any command to this type of aggregates.
pub(super) fn to_any(surface: &Surface, caller: &Caller) -> Result<Reach, Problem> {
    let name = surface.aggregate.info().qualified_name();
    let reach = caller.writes_any(&name);
    if reach.is_something() {
        Ok(reach)
    } else {
        Err(Problem::needs_scope(&name, Action::Write))
    }
}

/// Whether the caller may send this command, or all of these, to the aggregate. As owners never change, it is enough to
/// look at what is known here. For who may command own ones only, what makes an aggregate makes it: it is decided under
/// the condition that there is none yet, which may be another's that is not known here.
pub(super) fn check(
    surface: &Surface,
    caller: &Caller,
    id: &AggregateId,
    command: &AnyCommand,
    asked: &mut Asked,
) -> Result<(), Problem> {
    let Surface { api, aggregate } = surface;
    let name = aggregate.info().qualified_name();
    let reach = caller.writes(&name, &aggregate.command_types(command));
    match &reach {
        Reach::All => return Ok(()),
        Reach::Nothing => return Err(Problem::needs_scope(&name, Action::Write)),
        Reach::Own(_) => {}
    }
    let named = aggregate.named_owner(id, command);
    if named.is_some() {
        asked.expected_sequence.get_or_insert(0);
    }
    let known = api.commands.state(aggregate, id);
    let owner = match known.map_err(|reason| problem::unreadable(&reason))? {
        Some((state, _)) => aggregate.owner(&state, id),
        None if asked.expected_sequence == Some(0) => named,
        None => None,
    };
    if reach.has(owner.as_deref()) {
        Ok(())
    } else {
        Err(Problem::not_own(&name))
    }
}

/// Whether the caller may command this aggregate at all, if it is there.
pub(super) fn to_one(surface: &Surface, caller: &Caller, id: &AggregateId) -> Result<(), Problem> {
    let reach = to_any(surface, caller)?;
    let Surface { api, aggregate } = surface;
    let known = api.commands.state(aggregate, id);
    let known = known.map_err(|reason| problem::unreadable(&reason))?;
    let owner = known.and_then(|(state, _)| aggregate.owner(&state, id));
    if reach.has(owner.as_deref()) {
        Ok(())
    } else {
        Err(Problem::not_own(&aggregate.info().qualified_name()))
    }
}

/// Whether the caller may read the history of an aggregate of this owner, and so its state and what is in its events: by the
/// rule that the read API has for them.
pub(super) fn reads_history(surface: &Surface, caller: &Caller, owner: Option<&str>) -> bool {
    let name = surface.aggregate.info().qualified_name();
    caller.reads_history(&name).has(owner)
}
