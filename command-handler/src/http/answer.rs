//! The outcome of a command as an answer.

use axum::response::{IntoResponse, Response};
use foldline_core::{AggregateInfo, CommandResult, Outcome, RecordedEvent, Refusal, RefusalKind, Sequence};
use foldline_service::{Problem, title_of};
use http::header::{CACHE_CONTROL, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::headers::Preference;
use super::{Api, link_of};
use crate::Rehearsed;

/// The answer to a request whose command was decided; `sent` is the command as the client wrote it.
pub(super) fn decided(
    api: &Api,
    info: &AggregateInfo,
    result: &CommandResult,
    preference: Preference,
    sent: &Value,
) -> Response {
    let mut response = match result.decided() {
        Outcome::Accepted(events) => {
            let status = if is_created(&events) {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            let mut response = (status, axum::Json(accepted(api, info, result, &events))).into_response();
            set(response.headers_mut(), LOCATION, &view_of(api, info, result));
            response
        }
        Outcome::Refused(refusal) => refused(info, result, &refusal, sent).into_response(),
    };
    let headers = response.headers_mut();
    set_etag(headers, result.sequence);
    set(
        headers,
        HeaderName::from_static("consistency-token"),
        &result.consistency_token,
    );
    finish(headers, preference.applied(false, api));
    response
}

/// The answer to a request whose command is in the log and not decided yet.
pub(super) fn pending(api: &Api, aggregate: &str, command_id: Uuid, preference: Preference) -> Response {
    let outcome = outcome_link(command_id);
    let body = json!({
        "command_id": command_id,
        "status": "pending",
        "aggregate": aggregate,
        "links": { "outcome": outcome },
    });
    let mut response = (StatusCode::ACCEPTED, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    set(headers, LOCATION, &outcome);
    set(headers, RETRY_AFTER, "1");
    finish(headers, preference.applied(true, api));
    response
}

/// The answer to a dry run: the events and the state that there would be, or the refusal. Who may not read the history is
/// told of the events what a real answer tells, and no state: to ask for a dry run must not show more than to read.
pub(super) fn rehearsed(
    info: &AggregateInfo,
    rehearsed: &Rehearsed,
    reads_history: bool,
    sent: &Value,
) -> Response {
    let result = &rehearsed.result;
    let mut response = match result.decided() {
        Outcome::Refused(refusal) => refused(info, result, &refusal, sent)
            .with("dry_run", true)
            .into_response(),
        Outcome::Accepted(events) => {
            let mut body = json!({
                "command_type": result.command_type,
                "status": "accepted",
                "dry_run": true,
                "aggregate": link_of(info, &result.aggregate_id),
                "sequence": result.sequence,
                "events": events,
                "consistency_token": result.consistency_token,
            });
            if reads_history {
                body["events"] = rehearsed.events.clone().into();
                body["state"] = rehearsed.state.clone();
            }
            axum::Json(body).into_response()
        }
    };
    let headers = response.headers_mut();
    set(
        headers,
        HeaderName::from_static("consistency-token"),
        &result.consistency_token,
    );
    finish(headers, None);
    response
}

/// The body of an accepted command's outcome.
pub(super) fn accepted(
    api: &Api,
    info: &AggregateInfo,
    result: &CommandResult,
    events: &[RecordedEvent],
) -> Value {
    let aggregate = link_of(info, &result.aggregate_id);
    let view = view_of(api, info, result);
    let links = json!({
        "view": view,
        "events": format!("{view}/events"),
        "commands": format!("{aggregate}/commands"),
        "outcome": outcome_link(result.command_id),
    });
    json!({
        "command_id": result.command_id,
        "command_type": result.command_type,
        "status": "accepted",
        "aggregate": aggregate,
        "sequence": result.sequence,
        "events": events,
        "consistency_token": result.consistency_token,
        "correlation_id": result.correlation_id,
        "decided_at": result.decided_at.to_string(),
        "replayed": result.replayed,
        "links": links,
    })
}

/// A refused command's outcome as a problem.
pub(super) fn refused(
    info: &AggregateInfo,
    result: &CommandResult,
    refusal: &Refusal,
    sent: &Value,
) -> Problem {
    let problem = Problem::new(status_of(refusal.kind), &refusal.code, title_of(&refusal.code))
        .detail(&*refusal.detail)
        .with("code", &*refusal.code)
        .with("command_id", result.command_id.to_string())
        .with("command_type", &*result.command_type)
        .with("aggregate", link_of(info, &result.aggregate_id))
        .with("sequence", result.sequence)
        .with("consistency_token", &*result.consistency_token)
        .with("replayed", result.replayed);
    let problem = next(problem, info, result, refusal);
    match &refusal.field {
        Some(field) => problem.error(pointer_to(refusal.step, field, sent), &*refusal.detail),
        None if sent.is_array() => problem.error(format!("/{}", refusal.step), &*refusal.detail),
        None => problem,
    }
}

fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::State => StatusCode::CONFLICT,
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        RefusalKind::UnknownAggregate => StatusCode::NOT_FOUND,
        RefusalKind::Sequence => StatusCode::PRECONDITION_FAILED,
        RefusalKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        RefusalKind::Value | RefusalKind::UnknownReference | RefusalKind::CommandId => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }
}

/// What the client can do about a refusal.
fn next(problem: Problem, info: &AggregateInfo, result: &CommandResult, refusal: &Refusal) -> Problem {
    let aggregate = link_of(info, &result.aggregate_id);
    let (possible, outcome) = (format!("{aggregate}/commands"), outcome_link(result.command_id));
    let forms = format!("{}/commands", info.path);
    match refusal.kind {
        _ if refusal.code == "token-not-reached" => {
            problem.advice("send it again, under the same Idempotency-Key: this was no outcome for ever")
        }
        RefusalKind::State => {
            let problem = problem.next("see which commands are possible now", "GET", possible);
            match &refusal.field {
                Some(_) => {
                    problem.advice("or send it with another value, under an Idempotency-Key of its own")
                }
                None => problem,
            }
        }
        RefusalKind::Sequence => problem
            .next(
                "see what it is now, and which commands are possible",
                "GET",
                &*possible,
            )
            .next(
                &format!(
                    "send it again {}, under an Idempotency-Key of its own",
                    at(result.sequence)
                ),
                "POST",
                possible,
            ),
        RefusalKind::UnknownAggregate => problem.next("make one", "POST", info.path),
        RefusalKind::CommandId => problem
            .next("see what became of the command that has this id", "GET", outcome)
            .advice("send this one under an Idempotency-Key of its own"),
        RefusalKind::Failed => problem
            .next("see whether the outcome is still this", "GET", outcome)
            .advice("tell whoever runs the service, with the trace_id: it is a bug in the domain"),
        RefusalKind::Value | RefusalKind::Malformed | RefusalKind::UnknownReference => problem
            .advice("send it with another value, under an Idempotency-Key of its own")
            .next("see the form of each command, as JSON Schema", "GET", forms),
    }
}

/// The precondition that holds now.
fn at(sequence: Sequence) -> String {
    match sequence {
        0 => "with If-None-Match: *".to_owned(),
        sequence => format!("with If-Match: \"{sequence}\""),
    }
}

/// The field as the client wrote it: rules know `menu_item`, and the client may have sent `menuItem`. In a list, of
/// the command that was refused.
fn pointer_to(step: i32, field: &str, sent: &Value) -> String {
    let (entry, command) = match sent.as_array() {
        Some(list) => (
            format!("/{step}"),
            usize::try_from(step).ok().and_then(|step| list.get(step)),
        ),
        None => (String::new(), Some(sent)),
    };
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let written = command.and_then(Value::as_object).and_then(|fields| {
        let mut names = fields.keys();
        names.find(|name| plain(name) == plain(field))
    });
    format!("{entry}/{}", written.map_or(field, String::as_str))
}

fn is_created(events: &[RecordedEvent]) -> bool {
    events.first().is_some_and(|event| event.sequence == 1)
}

fn view_of(api: &Api, info: &AggregateInfo, result: &CommandResult) -> String {
    format!("{}{}", api.query_api, link_of(info, &result.aggregate_id))
}

pub(super) fn outcome_link(command_id: Uuid) -> String {
    format!("/commands/{command_id}")
}

/// What does not exist has no ETag.
pub(super) fn set_etag(headers: &mut HeaderMap, sequence: Sequence) {
    if sequence > 0 {
        set(headers, ETAG, &format!("\"{sequence}\""));
    }
}

fn finish(headers: &mut HeaderMap, applied: Option<String>) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(applied) = applied {
        set(headers, HeaderName::from_static("preference-applied"), &applied);
    }
}

/// Our own links and tokens are ASCII, so nothing is left out here.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::pointer_to;

    #[test]
    fn a_field_is_named_as_the_client_wrote_it() {
        assert_eq!(
            pointer_to(0, "menu_item", &json!({ "type": "X", "menuItem": 1 })),
            "/menuItem"
        );
        assert_eq!(
            pointer_to(0, "menu_item", &json!({ "menu_item": 1 })),
            "/menu_item"
        );
        assert_eq!(pointer_to(0, "menu_item", &json!({})), "/menu_item");
    }
}
