use axum::response::{IntoResponse, Response};
use foldline_core::Token;
use foldline_service::{Action, Problem};
use foldline_views::StoreError;
use http::StatusCode;
use serde_json::{Map, Value};

use super::call::{CONSISTENCY_TOKEN, Call, set};
use crate::consistency::ReadError;
use crate::known::Seen;
use crate::params::BadParameter;
use crate::past::{PastError, UNBUILT_FOR};
use crate::streams::Full;

/// Why a read has no answer.
pub(super) enum Failure {
    /// The query cannot be taken apart.
    Query,
    Parameter(BadParameter),
    /// A header cannot be understood.
    Header {
        header: &'static str,
        detail: String,
    },
    /// The client wants a form that there is none of.
    NotAcceptable {
        offered: Vec<&'static str>,
    },
    /// The caller has no scope to do this with any of it.
    Forbidden {
        what: String,
        action: Action,
    },
    /// As many streams as there may be.
    Full(Full),
    Read(ReadError),
    /// What was asked of the past has no answer.
    Past {
        /// The parameter that names the moment.
        parameter: &'static str,
        path: String,
        error: Box<PastError>,
        seen: Seen,
    },
    /// Nothing is at this path, in a store that has seen this.
    NotFound {
        path: String,
        seen: Seen,
    },
    /// What the path names is no id, so nothing was read to say that there is nothing.
    NoId {
        path: String,
    },
}

impl From<BadParameter> for Failure {
    fn from(error: BadParameter) -> Self {
        Self::Parameter(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl Failure {
    /// What was asked of the past with this parameter, in a history that has seen this.
    pub(super) fn past(call: &Call, parameter: &'static str, error: PastError, seen: Seen) -> Self {
        let path = call.path.clone();
        match error {
            PastError::Nothing => Self::NotFound { path, seen },
            PastError::Store(error) => Self::Read(error.into()),
            error => Self::Past {
                parameter,
                path,
                error: error.into(),
                seen,
            },
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Past {
                parameter,
                path,
                error,
                seen,
            } => {
                let mut response = past(parameter, &path, &error).into_response();
                set(response.headers_mut(), CONSISTENCY_TOKEN, &seen.to_string());
                response
            }
            Self::Query => {
                let problem = invalid_parameter();
                problem.detail("the query is not name=value&...").into_response()
            }
            Self::Parameter(error) => bad_parameter(error).into_response(),
            Self::Header { header, detail } => {
                let title = "A header cannot be understood";
                let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid-header", title);
                problem.detail(detail).with("header", header).into_response()
            }
            Self::NotAcceptable { offered } => not_acceptable(&offered).into_response(),
            Self::Forbidden { what, action } => Problem::needs_scope(&what, action).into_response(),
            Self::Full(full) => too_many_streams(full).into_response(),
            Self::NotFound { path, seen } => {
                let mut response = not_found(&path).into_response();
                set(response.headers_mut(), CONSISTENCY_TOKEN, &seen.to_string());
                response
            }
            Self::NoId { path } => not_found(&path).into_response(),
            Self::Read(ReadError::Token(error)) => Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid-consistency-token",
                "The consistency token cannot be understood",
            )
            .detail(error.to_string())
            .into_response(),
            Self::Read(ReadError::Behind {
                projection,
                wanted,
                seen,
            }) => behind(&projection, &wanted, &seen),
            Self::Read(ReadError::Overtaken) => {
                let detail = "the history is being read anew, and has not come as far as the views";
                view_behind("history").detail(detail).into_response()
            }
            Self::Read(ReadError::UnknownKey(_)) => {
                let detail = "a key by which personal values are opened is not known here, or not yet";
                unavailable().detail(detail).into_response()
            }
            Self::Read(ReadError::Store(error)) => store(&error).into_response(),
        }
    }
}

fn past(parameter: &str, path: &str, error: &PastError) -> Problem {
    let problem = |status: StatusCode, code: &str, title: &str| {
        Problem::new(status, code, title).detail(format!("{parameter}: {error}"))
    };
    match error {
        PastError::Future { now, .. } => {
            let problem = problem(
                StatusCode::BAD_REQUEST,
                "moment-in-the-future",
                "The moment has not come yet",
            );
            problem.with("parameter", parameter).with("now", now.to_string())
        }
        PastError::Sequence { newest, .. } => {
            let problem = problem(
                StatusCode::NOT_FOUND,
                "sequence-not-reached",
                "The aggregate has not come that far",
            );
            problem.with("parameter", parameter).with("newest", *newest)
        }
        PastError::NotYet { began_at } => {
            let problem = problem(
                StatusCode::NOT_FOUND,
                "not-there-yet",
                "There was nothing here then",
            );
            problem
                .with("parameter", parameter)
                .with("began_at", began_at.to_string())
                .next("see it as it is", "GET", path)
        }
        PastError::Meaningless(detail) => bad_parameter(BadParameter {
            parameter: parameter.to_owned(),
            detail: detail.clone(),
            allowed: Vec::new(),
        }),
        PastError::TooLong => problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "history-too-long",
            "The history is too long to be folded when somebody asks",
        ),
        PastError::Building => {
            let problem = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "past-being-built",
                "The list of that moment is being built",
            );
            problem.retry_after(2)
        }
        PastError::Unbuilt => unavailable()
            .detail(format!("{parameter}: {error}"))
            .retry_after(UNBUILT_FOR.as_secs()),
        PastError::Behind(view) => view_behind(view).detail(format!("{parameter}: {error}")),
        PastError::Nothing | PastError::Store(_) | PastError::Told(_) => {
            tracing::error!(%error, "cannot read the history");
            unavailable()
        }
    }
}

fn not_found(path: &str) -> Problem {
    let problem = Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here");
    problem.detail(format!("there is no {path}"))
}

fn not_acceptable(offered: &[&str]) -> Problem {
    let problem = Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not-acceptable",
        "There is no answer in a form that the client accepts",
    );
    problem
        .detail(format!("there is {}", offered.join(", ")))
        .with("offered", offered)
}

fn too_many_streams(Full { most }: Full) -> Problem {
    metrics::counter!("query_streams_refused_total").increment(1);
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-streams",
        "As many streams are open as may be",
    );
    problem
        .detail(format!("{most} streams are open; come again when one has ended"))
        .retry_after(5)
}

fn invalid_parameter() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-parameter",
        "A query parameter means nothing here",
    )
}

fn bad_parameter(error: BadParameter) -> Problem {
    let problem = invalid_parameter()
        .detail(format!("{}: {}", error.parameter, error.detail))
        .with("parameter", error.parameter);
    if error.allowed.is_empty() {
        return problem;
    }
    problem.with("allowed", error.allowed)
}

fn behind(projection: &str, wanted: &Token, seen: &Token) -> Response {
    let detail = format!(
        "the view {projection} has not seen all that the consistency token names; ask again, or wait longer \
         with Prefer: wait=N"
    );
    let mut response = view_behind(projection)
        .detail(detail)
        .with("wanted", positions(wanted))
        .with("seen", positions(seen))
        .into_response();
    set(response.headers_mut(), CONSISTENCY_TOKEN, &seen.to_string());
    response
}

fn view_behind(projection: &str) -> Problem {
    let title = "The view has not come that far yet";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "view-behind", title);
    problem.with("view", projection).retry_after(1)
}

/// The offsets of commands, by aggregate type and partition.
fn positions(token: &Token) -> Map<String, Value> {
    token
        .positions()
        .map(|(aggregate, partition, offset)| (format!("{aggregate}/{partition}"), offset.into()))
        .collect()
}

fn unavailable() -> Problem {
    let title = "The views cannot be read now";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title).retry_after(1)
}

fn store(error: &StoreError) -> Problem {
    let away = unavailable();
    match error {
        StoreError::NotThere(_) => away.detail("there are no views yet: the projector has not made them"),
        StoreError::OtherPlace => bad_parameter(BadParameter {
            parameter: "cursor".to_owned(),
            detail: error.to_string(),
            allowed: Vec::new(),
        }),
        StoreError::NoView(_) | StoreError::OtherForm { .. } => away.detail(error.to_string()),
        StoreError::Database(_) | StoreError::NoGeneration { .. } | StoreError::Corrupt { .. } => {
            // What it says is for whoever runs us, not for clients.
            tracing::error!(%error, "cannot read the views");
            away
        }
    }
}
