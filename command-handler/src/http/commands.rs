//! `POST {path}/{id}/commands`: any command, to an aggregate that exists or is to be made.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Request, State};
use axum::response::Response;
use foldline_core::{AggregateId, AnyCommand, CommandMeta, Timestamp};
use foldline_service::{Caller, Problem};
use serde_json::Value;
use tracing::debug;

use super::headers::Asked;
use super::{Surface, access, answer, body, link_of, problem};

pub(super) async fn post_command(
    State(surface): State<Surface>,
    Path(id): Path<String>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    access::to_any(&surface, &caller)?;
    let id: AggregateId = id.parse().map_err(|error| problem::id(&error))?;
    let asked = Asked::read(request.headers(), request.uri(), &caller, &surface.api)?;
    let sent = body::read(request, &surface.api).await?;
    let (_, command) = surface
        .aggregate
        .command_from_json(&sent, None)
        .map_err(|errors| problem::form(surface.aggregate.info(), errors))?;
    submit(&surface, &caller, id, asked, &command, &sent).await
}

/// Hands a command in whose form is right, if the caller may send it, and answers with its outcome.
pub(super) async fn submit(
    surface: &Surface,
    caller: &Caller,
    id: AggregateId,
    mut asked: Asked,
    command: &AnyCommand,
    sent: &Value,
) -> Result<Response, Problem> {
    access::check(surface, caller, &id, command, &mut asked)?;
    let Surface { api, aggregate } = surface;
    let (command_id, preference) = (asked.command_id, asked.preference);
    let link = link_of(aggregate.info(), &id);
    debug!(%command_id, aggregate = link, dry_run = asked.dry_run, "a command");
    if asked.dry_run {
        let rehearsed = api
            .commands
            .rehearse(aggregate, meta_of(id, asked), command)
            .await;
        let rehearsed = rehearsed.map_err(|reason| problem::not_taken(&reason))?;
        let reads_history = access::reads_history(surface, caller, rehearsed.owner.as_deref());
        return Ok(answer::rehearsed(
            aggregate.info(),
            &rehearsed,
            reads_history,
            sent,
        ));
    }
    let trace = asked.trace.clone();
    let wait = preference.wait(api);
    let submitted = api
        .commands
        .submit(aggregate, meta_of(id, asked), command, trace.as_deref(), wait)
        .await;
    match submitted {
        Ok(Some(result)) => Ok(answer::decided(api, aggregate.info(), &result, preference, sent)),
        Ok(None) => Ok(answer::pending(api, &link, command_id, preference)),
        Err(reason) => Err(problem::not_taken(&reason).with("command_id", command_id.to_string())),
    }
}

fn meta_of(aggregate_id: AggregateId, asked: Asked) -> CommandMeta {
    CommandMeta {
        command_id: asked.command_id,
        // Its codec sets it.
        command_type: String::new(),
        aggregate_id,
        issued_at: now(),
        correlation_id: asked.correlation_id,
        causation_id: asked.causation_id,
        actor: asked.actor,
        expected_sequence: asked.expected_sequence,
        consistency_token: asked.consistency_token,
        dry_run: asked.dry_run,
    }
}

/// The one clock of the write path: decisions only see what it says here.
fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
