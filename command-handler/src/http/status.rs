//! `GET /commands/{command_id}`: what became of a command, however it came in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use foldline_core::{AggregateInfo, CommandResult, Outcome, Token};
use foldline_service::{Caller, Problem, Reach};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use serde_json::{Value, json};
use uuid::Uuid;

use super::headers::Preference;
use super::{Api, answer, problem};
use crate::CommandStatus;

pub(super) async fn get_command(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: Uuid = id.parse().map_err(|_| problem::command_id(&id))?;
    let no_store = [(CACHE_CONTROL, "no-store")];
    // Asked without a wish, it says what it knows.
    let wait = Preference::read(&headers)
        .wait
        .map_or(Duration::ZERO, Duration::from_secs)
        .min(api.wait_max);
    let status = api
        .commands
        .status(id, wait)
        .await
        .map_err(|reason| problem::no_status(&reason))?;
    if !may_see(&api, &caller, &status)? {
        return Err(problem::unknown_command(id));
    }
    match status {
        CommandStatus::Unknown => Err(problem::unknown_command(id)),
        CommandStatus::Pending => {
            let body = json!({
                "command_id": id,
                "status": "pending",
                "links": { "outcome": answer::outcome_link(id) },
            });
            Ok((no_store, [(RETRY_AFTER, "1")], axum::Json(body)).into_response())
        }
        CommandStatus::DeadLettered(letter) => {
            let body = json!({
                "command_id": id,
                "status": "dead-lettered",
                "problem": problem::dead_lettered(id, &letter),
                "command": letter.command,
                "dead_letter": letter.set_aside,
                "links": { "outcome": answer::outcome_link(id) },
            });
            Ok((no_store, axum::Json(body)).into_response())
        }
        CommandStatus::Decided(result) => Ok((no_store, axum::Json(outcome(&api, &result))).into_response()),
    }
}

/// Whether the caller may see it: who may command what it is about, or who has sent it. That a command is pending says
/// nothing of it.
fn may_see(api: &Api, caller: &Caller, status: &CommandStatus) -> Result<bool, Problem> {
    match status {
        CommandStatus::Unknown | CommandStatus::Pending => Ok(true),
        CommandStatus::DeadLettered(letter) => {
            // It could not be read, so nobody knows whose it is.
            let kinds = api.domains.aggregates().iter();
            let names = kinds.map(|kind| kind.info().qualified_name());
            let name = of_topic(names, &letter.command.topic);
            Ok(name.is_some_and(|name| caller.writes_any(&name) == Reach::All))
        }
        CommandStatus::Decided(result) => {
            let aggregates = api.domains.aggregates();
            let of_result = type_of(api, result).map(AggregateInfo::qualified_name);
            let mut aggregates = aggregates
                .iter()
                .filter(|kind| Some(kind.info().qualified_name()) == of_result);
            let Some(kind) = aggregates.next() else {
                // Of a domain that was installed once: no scope is for it.
                return Ok(caller.is_anyone());
            };
            let reach = caller.writes_any(&kind.info().qualified_name());
            if reach == Reach::All || reach.has(result.actor.as_deref()) {
                return Ok(true);
            }
            let known = api.commands.state(kind, &result.aggregate_id);
            let known = known.map_err(|reason| problem::unreadable(&reason))?;
            let owner = known.and_then(|(state, _)| kind.owner(&state, &result.aggregate_id));
            Ok(reach.has(owner.as_deref()))
        }
    }
}

/// The aggregate type of a command topic, which is named after it, behind a prefix. Where the name of one type ends another's,
/// `market.orders` that of `supermarket.orders`, the longer one is meant: the shorter one's scopes are not for it.
fn of_topic(names: impl Iterator<Item = String>, topic: &str) -> Option<String> {
    names
        .filter(|name| topic.ends_with(&format!("{name}.commands")))
        .max_by_key(String::len)
}

fn outcome(api: &Api, result: &CommandResult) -> Value {
    let Some(info) = type_of(api, result) else {
        // Of a domain that was installed once: its outcome stands, and no link leads anywhere.
        return json!({
            "command_id": result.command_id,
            "command_type": result.command_type,
            "status": result.outcome,
            "aggregate_id": result.aggregate_id,
            "sequence": result.sequence,
        });
    };
    match result.decided() {
        Outcome::Accepted(events) => answer::accepted(api, info, result, &events),
        Outcome::Refused(refusal) => json!({
            "command_id": result.command_id,
            "command_type": result.command_type,
            "status": "refused",
            "aggregate": super::link_of(info, &result.aggregate_id),
            "sequence": result.sequence,
            "consistency_token": result.consistency_token,
            "correlation_id": result.correlation_id,
            "decided_at": result.decided_at.to_string(),
            "problem": answer::refused(info, result, &refusal, &Value::Null),
            "links": {
                "commands": format!("{}/commands", super::link_of(info, &result.aggregate_id)),
                "outcome": answer::outcome_link(result.command_id),
            },
        }),
    }
}

/// The type of the aggregate that decided: the only one with such a command, or the one that the token has the
/// place of the command in.
fn type_of<'a>(api: &'a Api, result: &CommandResult) -> Option<&'a AggregateInfo> {
    let has_type = |info: &&AggregateInfo| {
        let mut commands = info.commands.iter();
        !info.is_internal() && commands.any(|command| command.name == result.command_type)
    };
    let infos = api.domains.aggregates().iter().map(|aggregate| aggregate.info());
    let candidates: Vec<&AggregateInfo> = infos.filter(has_type).collect();
    if let [only] = candidates[..] {
        return Some(only);
    }
    let token: Token = result.consistency_token.parse().unwrap_or_default();
    let is_there = |info: &&AggregateInfo| {
        let (name, place) = (info.qualified_name(), result.command_offset);
        token
            .positions()
            .any(|(of, _, offset)| of == name && offset == place)
    };
    candidates.into_iter().find(is_there)
}

#[cfg(test)]
mod tests {
    use super::of_topic;

    #[test]
    fn a_topic_is_of_the_type_with_the_longest_name_that_ends_it() {
        let of = |topic: &str| {
            let names = ["market.orders", "supermarket.orders", "market.stalls"];
            of_topic(names.map(str::to_owned).into_iter(), topic)
        };
        assert_eq!(of("market.orders.commands").as_deref(), Some("market.orders"));
        assert_eq!(of("t1-market.orders.commands").as_deref(), Some("market.orders"));
        assert_eq!(
            of("supermarket.orders.commands").as_deref(),
            Some("supermarket.orders")
        );
        assert_eq!(of("market.orders.events"), None);
        assert_eq!(of("market.carts.commands"), None);
    }
}
