//! Every error of the write API that is not a rule's no; each code has a page in `docs/errors/`.

use std::time::Duration;

use axum::response::Response;
use foldline_core::{AggregateInfo, FormErrors, InvalidId, TokenError};
use foldline_service::{Problem, title_of};
use http::StatusCode;
use tracing::error;

use crate::{DeadLettered, NoStatus, NotTaken, Unreadable};

pub(super) fn not_json_type() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Unsupported media type",
    )
    .detail("a command is JSON: send it with Content-Type: application/json")
}

pub(super) fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is too large",
    )
    .detail(format!("a command has at most {bytes_max} bytes"))
    .with("bytes_max", bytes_max)
}

pub(super) fn too_slow(within: Duration) -> Problem {
    let seconds = within.as_secs_f64();
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "request-timeout",
        "The body came too slowly",
    )
    .detail(format!("the body of a request must have come within {seconds} s"))
    .advice("send it again on a new connection, under the same Idempotency-Key: nothing was done")
}

pub(super) fn unread_body(rejection: &Response) -> Problem {
    Problem::new(rejection.status(), "bad-request", "The body could not be read")
}

pub(super) fn malformed_json(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON")
        .detail(error.to_string())
        .error("", error.to_string())
        .with("line", error.line())
        .with("column", error.column())
}

pub(super) fn form(info: &AggregateInfo, errors: FormErrors) -> Problem {
    let problem = not_of_the_form(errors.to_string()).next(
        "see the form of each command, as JSON Schema",
        "GET",
        format!("{}/commands", info.path),
    );
    let add = |problem: Problem, error: foldline_core::FormError| problem.error(error.pointer, error.detail);
    errors.0.into_iter().fold(problem, add)
}

fn not_of_the_form(detail: String) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-command",
        "The command has not the form that it must have",
    )
    .detail(detail)
}

pub(super) fn header(name: &str, why: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-header",
        "A header cannot be understood",
    )
    .detail(format!("{name} {why}"))
    .with("header", name)
}

pub(super) fn parameter(found: &str) -> Problem {
    let found: String = found.chars().take(64).collect();
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-parameter",
        "A parameter cannot be understood",
    )
    .detail(format!(
        "{found:?} means nothing here; dry_run=true or dry_run=false does"
    ))
    .with("parameter", found.split('=').next().unwrap_or_default())
    .with("allowed", vec!["dry_run"])
}

pub(super) fn token(error: &TokenError) -> Problem {
    let title = "The consistency token cannot be understood";
    Problem::new(StatusCode::BAD_REQUEST, "invalid-consistency-token", title)
        .detail(error.to_string())
        .with("header", "Consistency-Token")
}

pub(super) fn id(error: &InvalidId) -> Problem {
    invalid_id(error.to_string())
}

pub(super) fn command_id(found: &str) -> Problem {
    let found: String = found.chars().take(64).collect();
    invalid_id(format!("a command's id is a UUID, and {found:?} is none"))
}

fn invalid_id(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-id", "The id cannot be one").detail(detail)
}

pub(super) fn unknown_command(id: uuid::Uuid) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown-command",
        "There is no such command",
    )
    .detail("no command with this id is in the log, decided or not")
    .with("command_id", id.to_string())
    .advice("if its answer was lost, send it again under the same Idempotency-Key")
}

pub(super) fn dead_lettered(id: uuid::Uuid, letter: &DeadLettered) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "dead-lettered",
        title_of("dead-lettered"),
    )
    .detail(&*letter.reason)
    .with("command_id", id.to_string())
    .advice("send it in the form that it must have: under the same id, because it has no outcome")
    .next(
        "see the forms, keys and partitions of the topics",
        "GET",
        "/asyncapi.json",
    )
}

/// What became of a command cannot be told now.
pub(super) fn no_status(reason: &NoStatus) -> Problem {
    match reason {
        NoStatus::Unreadable(reason) => unreadable(reason),
        NoStatus::NotNow(why) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            title_of("unavailable"),
        )
        .detail(&**why)
        .retry_after(1),
    }
}

pub(super) fn not_ready() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-ready",
        "The service is not ready",
    )
    .detail("the command handler is still starting: Kafka or the schema registry may be away")
    .retry_after(1)
}

/// The command is not in the log: the client is to send it again, or another one in its place.
pub(super) fn not_taken(reason: &NotTaken) -> Problem {
    let unavailable = |code, title| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, title);
    match reason {
        NotTaken::Full => unavailable("overloaded", "Too many commands are waiting")
            .detail(reason.to_string())
            .retry_after(1),
        NotTaken::Unavailable(_) => unavailable("kafka-unavailable", "Kafka does not take commands")
            .detail(reason.to_string())
            .retry_after(5),
        NotTaken::Unreadable(_) => not_of_the_form(reason.to_string()).advice(
            "look at the aggregate's id, at Correlation-Id, Causation-Id and X-Actor, and at the token's \
                 subject too: they are written into the command",
        ),
        NotTaken::Bug(why) => {
            error!(why, "a command of the right form cannot be written");
            internal()
        }
    }
}

pub(super) fn unreadable(reason: &Unreadable) -> Problem {
    error!(%reason, "the local store cannot be read");
    internal()
}

fn internal() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "Internal Server Error",
    )
}
